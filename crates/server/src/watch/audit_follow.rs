//! The audit log while it is written: read on, joined, told, and kept only then.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attest::Object;
use jiff::Timestamp;
use kubernetes::Mapping;
use kubernetes::audit_event::{AuditError, AuditEvent};
use tokio::sync::watch;

use super::audit::{AuditJoin, Counts, Reevaluation};
use super::config::WatchConfig;
use super::finding::{Finding, FindingKind, Told};
use super::follow::Sink;
use super::records::Records;
use super::tail::{Read, Tail, TailError};
use crate::service::Clock;

/// How often it is looked whether there is more.
const RHYTHM: Duration = Duration::from_secs(1);
/// Where there is no file for so many looks, nobody writes one, or somebody took it away.
const MISSING: u32 = 3;
/// Lines at once: what is told and not kept yet is told again after a crash.
const LINES: usize = 1000;

/// Takes what is to be evaluated now. It has to see to it before it returns: afterwards nobody reminds it.
pub type Tasks = Arc<dyn Fn(Vec<Reevaluation>) -> Result<(), String> + Send + Sync>;

/// Joins audit events as they come: from a file, or from the API server's webhook backend.
pub struct AuditWatch {
    join: Mutex<(AuditJoin, Box<dyn Records + Send>)>,
    sink: Sink,
    tasks: Tasks,
    clock: Clock,
    cluster: String,
}

impl fmt::Debug for AuditWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditWatch").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// Why a batch was not taken: the API server is to bring it again.
#[derive(Debug)]
pub enum NotTaken {
    /// It is no list of events.
    Malformed(AuditError),
    /// Records cannot be looked up, or tasks are not taken.
    Unavailable(String),
}

impl AuditWatch {
    /// A join whose findings and tasks go there.
    #[must_use]
    pub fn new(
        config: WatchConfig,
        mapping: Mapping,
        records: Box<dyn Records + Send>,
        sink: Sink,
        tasks: Tasks,
        clock: Clock,
    ) -> Self {
        let cluster = mapping.cluster.clone();
        let join = Mutex::new((AuditJoin::new(mapping, config), records));
        Self { join, sink, tasks, clock, cluster }
    }

    /// Takes what the webhook backend of an API server sends: an `EventList`.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn take_batch(&self, body: &[u8]) -> Result<(), NotTaken> {
        let events = AuditEvent::parse_list(body).map_err(NotTaken::Malformed)?;
        let mut joined = self.join.lock().unwrap_or_else(PoisonError::into_inner);
        let (join, records) = &mut *joined;
        let mut found = Vec::new();
        for event in &events {
            found.extend(join.take(event, records.as_mut()).map_err(NotTaken::Unavailable)?);
        }
        self.tell(join, found).map_err(NotTaken::Unavailable)
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.join.lock().unwrap_or_else(PoisonError::into_inner).0.counts()
    }

    /// Reads a file on and on, until `stop` says so; `kept` is where the position is. Blocks: for a thread of its own.
    pub fn follow(&self, path: &Path, kept: &Path, stop: &watch::Receiver<bool>) {
        let blind = format!("{}/{}/audit-log", FindingKind::Blind.name(), self.cluster);
        // an earlier process may have been blind
        let (mut was_blind, mut missing) = (None, 0_u32);
        while !*stop.borrow() {
            // between two files of a rotation there is none for a moment
            missing = if path.exists() { 0 } else { missing.saturating_add(1) };
            let is_there =
                if missing > MISSING { Err(format!("{} is not there", path.display())) } else { Ok(()) };
            let read = self.all_new(path, kept, stop).and(is_there);
            let is_blind = read.is_err();
            if was_blind != Some(is_blind) {
                let told =
                    read.map_or_else(|why| Told::Raised(self.blind(&why)), |()| Told::Over(blind.clone()));
                // what is not taken is told in the next round
                was_blind = (self.sink)(told).ok().map(|()| is_blind);
            }
            std::thread::sleep(RHYTHM);
        }
    }

    /// From the position that is kept: what was read and not seen to is read again.
    fn all_new(&self, path: &Path, kept: &Path, stop: &watch::Receiver<bool>) -> Result<(), String> {
        let failed = |e: TailError| e.to_string();
        let mut tail = Tail::open(path, kept).map_err(failed)?;
        loop {
            let read = tail.read(LINES).map_err(failed)?;
            if read.is_empty() || *stop.borrow() {
                return Ok(());
            }
            self.take_lines(path, read)?;
            tail.keep().map_err(failed)?;
        }
    }

    fn take_lines(&self, path: &Path, read: Vec<Read>) -> Result<(), String> {
        let mut joined = self.join.lock().unwrap_or_else(PoisonError::into_inner);
        let (join, records) = &mut *joined;
        let (mut found, now) = (Vec::new(), (self.clock)());
        let place = |offset: u64| format!("{} at byte {offset}", path.display());
        for one in read {
            match one {
                Read::Line(line, at) => match AuditEvent::parse(&line) {
                    Ok(event) => found.extend(join.take(&event, records.as_mut())?),
                    Err(e) => found.push(join.take_unreadable(&place(at), &e.to_string(), now)),
                },
                Read::TooLong(at) => {
                    found.push(join.take_unreadable(&place(at), "it is longer than any event", now));
                }
                Read::Gap(why) => found.push(self.gap(&why, now)),
            }
        }
        self.tell(join, found)
    }

    /// Tasks first: what is told of a write that nobody evaluates would look as if somebody did.
    fn tell(&self, join: &mut AuditJoin, found: Vec<Finding>) -> Result<(), String> {
        let open = join.drain();
        if !open.is_empty() {
            (self.tasks)(open)?;
        }
        found.into_iter().try_for_each(|finding| (self.sink)(Told::Raised(finding)))
    }

    fn blind(&self, why: &str) -> Finding {
        let title = format!("nobody sees what is written in {}: {why}", self.cluster);
        let details = Object::new().with("cluster", self.cluster.as_str()).with("why", why);
        let about = format!("{}/audit-log", self.cluster);
        Finding::new(FindingKind::Blind, &about, (self.clock)(), &title, details)
    }

    fn gap(&self, why: &str, now: Timestamp) -> Finding {
        let details = Object::new().with("cluster", self.cluster.as_str()).with("why", why);
        let about = format!("{}/{now}", self.cluster);
        let title = format!("a part of the audit log of {} was not read: {why}", self.cluster);
        Finding::new(FindingKind::Gap, &about, now, &title, details)
    }
}

#[cfg(test)]
mod tests;
