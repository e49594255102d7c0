//! Verdict to decision to record.
//!
//! Floor 2. The only code that makes a [`Decision`]; every choke point calls [`Chokepoint::decide`], so none can be
//! laxer than another. Knows no HTTP, no Kubernetes and no terminal.

pub mod alarm;
mod append;
pub mod breakglass;
mod cache;
mod chokepoint;
mod committer;
mod decision;
mod entry;
mod event;
mod prepared;
mod record;
mod replay;

pub use append::{NotAppended, append};
pub use cache::{CacheCounts, CacheLimits, EvidenceCache};
pub use chokepoint::{Admission, Chokepoint, DecideError, ENGINE, Limits, OpenError};
pub use decision::{Answer, Basis, Decision};
pub use entry::{Entry, Position};
pub use event::{Event, EventKind, NewEvent};
pub use record::{Record, RecordError, Recorded, recorded};
pub use replay::{Replay, Replayer, replay, what_if};
