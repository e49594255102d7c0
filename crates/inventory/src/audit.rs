//! Judges again what runs: under another book or trust root, or at another time.
//!
//! Nothing is remembered of an earlier verdict. What is remembered is the question: a million containers ask far fewer,
//! because replicas of one workload ask the same. Questions are judged in the order of their evidence, so that an
//! envelope is opened once for all that share it, and nothing but one set of evidence a thread is held opened.

mod backtest;
mod exposed;
mod fleet;
mod judge;
mod made_of;
mod report;
mod spelling;
mod verify;

pub use backtest::{NotTried, Range, Tried, backtest, first_since};
pub use exposed::{Exposed, Known, TellExposed, Untold};
pub use fleet::{EvidenceId, Fleet, Question, QuestionId};
pub use judge::{Frozen, Judged, Missing, judge};
pub use made_of::{MadeOf, NotTold};
pub use report::{Group, GroupId, Report, Subject, Turn};
pub use verify::{EvidenceSource, Gathered, OnRecord, ReVerified, Tell, named};
