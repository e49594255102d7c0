//! Why there is no decision, and why a choke point does not open.

use std::fmt;
use std::io;
use std::sync::Arc;

use attest::trust::RolledBack;
use tlog::{AppendError, Level};

use crate::entry::MAX_WRITER;
use crate::record::RecordError;

/// Why there is no decision. The deployment must not go on.
#[derive(Clone, Debug)]
pub enum DecideError {
    /// So many requests are waiting that no more are taken; nothing was decided, and it may be asked again.
    Busy {
        /// How many may wait.
        limit: usize,
    },
    /// The log could not take the record.
    Append(Arc<AppendError>),
    /// An earlier write failed: nothing is decided until the log is opened anew.
    Stopped,
    /// The spool has no room, and its reserve has none for this: nothing was recorded, and it may be asked again.
    Full,
    /// The record is durable on the own disk, and had not reached the level in time.
    NotReached {
        /// The level.
        level: Level,
    },
}

impl fmt::Display for DecideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { limit } => write!(f, "{limit} requests are waiting already; ask again"),
            Self::Append(e) => write!(f, "the decision could not be logged: {e}"),
            Self::Stopped => f.write_str(
                "the log stopped after a failed write; mend the disk and start the choke point anew",
            ),
            Self::Full => f.write_str(
                "the decision log has no room, because its store takes nothing; mend the store and ask again",
            ),
            Self::NotReached { level } => {
                write!(f, "the decision is on record here, and not yet {level}, as it must be; ask again")
            }
        }
    }
}
impl std::error::Error for DecideError {}

/// Why a choke point does not open, or does not take new files.
#[derive(Debug)]
pub enum OpenError {
    /// The newest record cannot be read.
    Record(RecordError),
    /// The trust root is older than the one that was in force.
    RolledBack(RolledBack),
    /// The log's newest entries cannot be had.
    Newest(AppendError),
    /// The event that would put the files on record is so long that no log can hold it.
    TooLong(usize),
    /// No name for a writer.
    Writer(String),
    /// What comes into force could not be put on record.
    NotRecorded(DecideError),
    /// The journal's room could not be had.
    Journal(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(e) => write!(f, "the log cannot say what was in force: {e}"),
            Self::RolledBack(e) => e.fmt(f),
            Self::Newest(e) => write!(f, "the log cannot say what was in force: {e}"),
            Self::TooLong(bytes) => write!(f, "the files in force do not fit on record: {bytes} bytes"),
            Self::Writer(name) => write!(
                f,
                "a writer has a name of 1 to {MAX_WRITER} characters; found {}",
                name.chars().count()
            ),
            Self::NotRecorded(e) => write!(f, "the files are not in force, since that is not on record: {e}"),
            Self::Journal(e) => write!(f, "there is no room for the journal: {e}"),
        }
    }
}
impl std::error::Error for OpenError {}
