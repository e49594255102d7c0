//! The decision log of many replicas: pending entries in PostgreSQL, one fenced sequencer.
//!
//! Every replica is a writer: it inserts its entries, and no two writers wait for each other. One of the replicas that
//! have the folder with the tree is the sequencer: it gives entries their index. Three things keep two sequencers from
//! making two trees. The folder's lock says who may write files. An advisory lock in the database says who may try.
//! And every batch is one transaction that moves the checkpoint's row from exactly the state that the sequencer knows
//! to the next, under the sequencer's own number: who was replaced moves nothing, however long it slept.
//!
//! The folder is the truth. It is what `portcullis log` reads, and nothing in the database is served to anybody. What
//! the database says is compared with the folder, and a database that is older than it is refused, never continued.

mod adopt;
mod batch;
mod blobs;
mod config;
mod connect;
mod election;
mod leaf;
mod pending;
mod proof;
mod schema;
mod sequencer;
mod signer;
mod staged;
mod target;

pub use adopt::{AdoptError, Adopted, adopt};
pub use config::{Config, EXAMPLE, Login, Sequencing, Server};
pub use schema::{CreateError, create};
pub use sequencer::{Duty, Health};
pub use target::{OpenError, PostgreSql, open};
