//! Sigstore trusted roots from TUF repositories.
//!
//! A TUF repository is a mirror that nobody has to believe: a pinned root says whose signatures count, and every file
//! is checked against it. The workflow of the specification (root chain, timestamp, snapshot, targets, delegations) is
//! the crate `sigstore-tuf`'s; it reads no clock, every check is handed the time. What is ours: what is fetched, within
//! which bounds ([`Web`]), what is kept and when ([`State`]), and that one key never counts as two (`keys`).
//!
//! Nothing that this crate obtains is in force: it comes out as text, which goes into a reviewed trust root.

mod error;
mod files;
mod keys;
mod state;
mod update;
mod web;

pub use error::{Failure, StateError};
pub use files::Source;
pub use state::{Held, State};
pub use update::{TARGET, Verdict, update};
pub use web::Web;
