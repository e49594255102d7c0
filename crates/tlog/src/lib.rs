//! What happened, provably: an RFC 6962 Merkle tree in C2SP `tlog-tiles` form, signed checkpoints, and proofs.
//!
//! Floor 1. Knows nothing of deployments: a leaf is bytes. An append is acknowledged only when it is durable; after
//! a failed write the log stops for good, because a failed fsync may have lost anything.
//!
//! Two ways to append. [`Log::append`] gives a proof at once, and writes tiles and checkpoint for every entry.
//! [`Journaled::commit`] gives a promise once a batch is durable in the journal, and the tree follows.

mod applier;
mod blobs;
mod files;
mod frame;
mod journal;
mod journaled;
mod log;
mod pack;
mod packer;
mod promise;
mod proof;
mod reader;
mod receipt;
mod recover;
mod room;
mod scrub;
mod storage;
mod target;
mod tile;
mod verify;
pub mod witness;
pub mod witnessing;

pub use blobs::{BlobError, Blobs};
pub use files::{Files, write_durably};
pub use journal::{Batch, Journal, JournalFlaw};
pub use journaled::Journaled;
pub use log::{AppendError, Log, LogSigner, OpenLogError, read_checkpoint};
pub use promise::Promise;
pub use proof::{Proof, ProofError, Proven, read_witnessed};
pub use reader::{ReadError, Reader};
pub use receipt::Receipt;
pub use recover::{Located, pending};
pub use room::{Fill, Mark, Purpose, Room};
pub use scrub::PackFlaw;
pub use storage::Storage;
pub use target::{ApplyError, Level, Newest, Target, beyond};
pub use tile::{MAX_ENTRY, root_of};
pub use verify::{Flaw, Verified, verify};
