//! What runs, beside what was decided: Pods as the API server and their nodes have them, joined with decisions on
//! record; and what the API server's audit log says that was written past us.
//!
//! `follow.rs` is the story of the thread, `pods.rs` what is kept of a Pod, `join.rs` what is found. `audit.rs` joins
//! the audit log, `audit_follow.rs` does it while it is written, `tail.rs` reads its files. Nothing is decided here, and nothing that is found is mended: it is told.

mod audit;
mod audit_follow;
mod config;
mod finding;
mod fleet;
mod follow;
mod join;
mod owners;
mod pods;
mod records;
mod tail;

pub use audit::{AuditJoin, Counts, Reevaluation};
pub use audit_follow::{AuditWatch, NotTaken, Tasks};
pub use config::{EXAMPLE, WatchConfig};
pub use finding::{Finding, FindingKind, Told};
pub use fleet::{Asked, Fleet};
pub use follow::{Sink, Status, Watch, start};
pub use records::{LogRecords, Records};
pub use tail::{Position, Read, Tail, TailError};
