//! One event on a log that nobody else writes to: for a person at the log's machine, while no choke point runs.

use std::fmt;
use std::io;
use std::sync::{Arc, mpsc};

use attest::TrustRoot;
use attest::trust::RolledBack;
use tlog::{AppendError, Journaled, Log, Promise, Storage};

use crate::committer::{Committer, Group};
use crate::epoch::{LastSeen, open_epoch};
use crate::error::DecideError;
use crate::event::NewEvent;
use crate::limits::Limits;
use crate::prepared::Prepared;
use crate::record::{RecordError, Recorded};

/// Why an event is not on record.
#[derive(Debug)]
pub enum NotAppended {
    /// The newest entries cannot be read.
    Record(RecordError),
    /// An older trust root than one that was in force.
    RolledBack(RolledBack),
    /// The journal cannot be begun.
    Journal(io::Error),
    /// The log did not take it.
    Refused(DecideError),
    /// It is durable, and the tree does not follow.
    Tree(AppendError),
}

impl fmt::Display for NotAppended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(e) => e.fmt(f),
            Self::RolledBack(e) => e.fmt(f),
            Self::Journal(e) => write!(f, "the log's journal cannot be written: {e}"),
            Self::Refused(e) => e.fmt(f),
            Self::Tree(e) => write!(f, "it is durable in the journal, and not in the log's tree: {e}"),
        }
    }
}
impl std::error::Error for NotAppended {}

/// Puts one event on record, and returns once it is in the log's tree. Whoever calls holds the log's lock. Without a trust
/// root, the event names the version that the log does.
///
/// # Errors
/// [`NotAppended`].
pub fn append<S: Storage + Clone + Send + Sync + 'static>(
    log: Log<S>,
    root: Option<&TrustRoot>,
    event: NewEvent,
) -> Result<Promise, NotAppended> {
    let log = Journaled::start(log).map_err(NotAppended::Journal)?;
    let newest = log.newest().map_err(NotAppended::Tree)?;
    let recorded = Recorded::of(&newest).map_err(NotAppended::Record)?;
    let floor = recorded.trust_root_floor;
    root.map_or(Ok(()), |root| root.check_not_older(floor)).map_err(NotAppended::RolledBack)?;
    let version = root.map_or(floor, TrustRoot::version);
    let too_long = |long| NotAppended::Refused(DecideError::Append(Arc::new(AppendError::TooLong(long))));
    let prepared = Prepared::event(event, version).map_err(too_long)?;
    let mut limits = Limits::default();
    if let Some((position, _)) = &recorded.own {
        limits.writer.clone_from(&position.writer);
    }
    let (author, opening) = open_epoch(&recorded, &limits.writer, version);
    let last_seen = Arc::new(LastSeen::new(recorded.last_seen));
    let committer = Committer::start(log, author, last_seen, &limits).map_err(NotAppended::Journal)?;
    committer.send_along(opening.map_err(too_long)?);
    let (reply, answer) = mpsc::sync_channel(1);
    let reply = move |result| {
        // who asked is waiting below
        reply.send(result).ok();
    };
    let group = Group { prepared: vec![prepared], reply: Some(Box::new(reply)), is_admission: false };
    committer.submit(group).map_err(|(e, _)| NotAppended::Refused(e))?;
    let promises = answer.recv().unwrap_or(Err(DecideError::Stopped)).map_err(NotAppended::Refused)?;
    committer.log().settle().map_err(NotAppended::Tree)?;
    promises.into_iter().next().ok_or(NotAppended::Refused(DecideError::Stopped))
}
