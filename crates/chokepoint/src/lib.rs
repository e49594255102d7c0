//! Verdict to decision to record.
//!
//! Floor 2. The only code that makes a [`Decision`]; every choke point calls [`Chokepoint::decide`], so none can be
//! laxer than another. Knows no HTTP, no Kubernetes and no terminal.

pub mod alarm;
mod append;
mod awaiter;
pub mod breakglass;
mod cache;
pub mod chain;
mod chokepoint;
mod committer;
mod decision;
mod elsewhere;
mod entry;
mod epoch;
mod error;
mod event;
mod files;
mod governed;
mod in_force;
mod last_good;
mod limits;
mod prepared;
mod record;
mod recorder;
mod replay;
mod signed;
mod summary;

pub use append::{NotAppended, append};
pub use cache::{CacheCounts, CacheLimits, EvidenceCache};
pub use chokepoint::{Admission, Chokepoint, ENGINE};
pub use decision::{Answer, Basis, Decision};
pub use elsewhere::without_secrets;
pub use entry::{Entry, Position};
pub use error::{DecideError, OpenError};
pub use event::{Event, EventKind, NewEvent};
pub use files::{book_files, is_policy, policy_paths, reviewed_text};
pub use governed::{Governed, History, OF_FILES};
pub use in_force::Governing;
pub use last_good::LastGood;
pub use limits::Limits;
pub use record::{Record, RecordError, Recorded};
pub use replay::{Replay, Replayer, replay, what_if};
pub use signed::{Rests, Signed};
pub use summary::{Passed, Verifier};
