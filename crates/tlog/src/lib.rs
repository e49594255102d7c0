//! What happened, provably: an RFC 6962 Merkle tree in C2SP `tlog-tiles` form, signed checkpoints, and proofs.
//!
//! Floor 1. Knows nothing of deployments: a leaf is bytes. An append is acknowledged only when it is durable; after
//! a failed write the log stops for good, because a failed fsync may have lost anything.

mod blobs;
mod files;
mod log;
mod reader;
mod storage;
mod tile;
mod verify;

pub use blobs::{BlobError, Blobs};
pub use files::{Files, write_durably};
pub use log::{AppendError, Log, OpenLogError, Receipt};
pub use reader::{ReadError, Reader};
pub use storage::Storage;
pub use tile::root_of;
pub use verify::{Flaw, Verified, verify};
