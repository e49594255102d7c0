//! The choke point's engine, shared by all threads, and what the adapter needs of its decisions.

use std::fmt;
use std::sync::Arc;

use attest::note::{Checkpoint, Note, NoteKey};
use attest::time::Span;
use attest::{Digest, TrustRoot};
use chokepoint::{
    Admission, Chokepoint, DecideError, Decision, Governing, LastGood, Limits, NewEvent, Record,
};
use jiff::Timestamp;
use policy::{Book, DeploymentRequest};
use tlog::{Blobs, Files as LogFiles, Fill, Journaled, Log, Reader, Room};

use crate::alarm::Recorder;
use crate::webhook::config::Config;

/// The log that decisions are recorded in, opened where keys are read.
pub type DecisionLog = Log<LogFiles>;

/// The engine, and how its log is read.
pub(crate) struct Engine {
    point: Chokepoint<LogFiles>,
    files: LogFiles,
    key: NoteKey,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

/// A decision, and its record where there is one.
#[derive(Clone, Debug)]
pub(crate) struct Ruled {
    pub(crate) decision: Decision,
    /// Index and leaf; nothing where nothing was recorded.
    pub(crate) record: Option<(u64, String)>,
    /// The record, where it must be alarmed at once.
    pub(crate) alarmed: Option<Record>,
}

impl Engine {
    /// Opens the engine under what `begin` says, who may look at the log first. A cache of no bytes keeps nothing.
    pub(crate) fn open(
        log: DecisionLog,
        config: &Config,
        begin: impl FnOnce(Option<LastGood>) -> Result<Governing, String>,
    ) -> Result<Self, String> {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut limits = Limits { level: config.log.level, ..Limits::default() };
        limits.writer.clone_from(&config.log.writer);
        limits.room = Room::of(bytes(config.log.spool));
        limits.cache.bytes = bytes(config.cache);
        let (files, key) = (log.storage().clone(), log.key());
        let log = Journaled::start_with(log, limits.room).map_err(|e| e.to_string())?;
        let last = LastGood::find(&log, &limits.writer).map_err(|e| e.to_string())?;
        let point = Chokepoint::start(begin(last)?, log, limits).map_err(|e| e.to_string())?;
        Ok(Self { point, files, key })
    }

    /// Decides about all, and answers once all records are durable.
    pub(crate) fn decide_all(
        &self,
        requests: Vec<DeploymentRequest>,
        at: Timestamp,
    ) -> Result<Vec<Ruled>, DecideError> {
        let count = requests.len();
        let admissions = self.point.decide_all(requests, at)?;
        // one that has no decision must not be overlooked among those that have
        if admissions.len() != count {
            return Err(DecideError::Stopped);
        }
        let ruled = |one: &Admission| Ruled {
            decision: one.decision().clone(),
            record: id(one),
            alarmed: one.record().cloned(),
        };
        Ok(admissions.iter().map(ruled).collect())
    }

    /// What would be decided; records nothing.
    pub(crate) fn judge(&self, request: DeploymentRequest, at: Timestamp) -> Ruled {
        Ruled { decision: self.point.judge(request, at), record: None, alarmed: None }
    }

    /// Puts new files in force; the last good ones stay where the new do not load.
    pub(crate) fn replace(&self, governing: Governing) -> Result<(), String> {
        self.point.replace_with(governing).map_err(|e| e.to_string())
    }

    /// Decides about one of the reviewed files, and answers once it is on record.
    pub(crate) fn decide_under(
        &self,
        policies: &Arc<Book>,
        request: DeploymentRequest,
        at: Timestamp,
    ) -> Result<Decision, DecideError> {
        self.point.decide_under(policies, request, at).map(|admission| admission.decision().clone())
    }

    /// What would be decided about one, and the trust root that says so.
    pub(crate) fn judge_under(
        &self,
        policies: &Arc<Book>,
        request: DeploymentRequest,
        at: Timestamp,
    ) -> (Decision, Arc<TrustRoot>) {
        self.point.judge_under(policies, request, at)
    }

    /// Puts on record that this writer lives, and with it under which files.
    pub(crate) fn live(&self, at: Timestamp) -> Result<(), DecideError> {
        self.point.heartbeat(at, Span::seconds(3600)).map(drop)
    }

    /// Puts an event on record.
    pub(crate) fn record(&self, event: NewEvent) -> Result<(), DecideError> {
        self.point.record(event).map(drop)
    }

    pub(crate) fn book(&self) -> Arc<Book> {
        self.point.book()
    }

    /// Digests of the book and the trust root in force.
    pub(crate) fn digests(&self) -> [String; 2] {
        self.point.digests().map(|digest| digest.to_string())
    }

    /// After a record that may or may not be durable nothing is decided any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.point.is_stopped()
    }

    /// What failed then.
    pub(crate) fn failure(&self) -> Option<String> {
        self.point.failure()
    }

    pub(crate) fn log_size(&self) -> u64 {
        self.point.recorded()
    }

    /// Records that are durable, and not yet in the log's tree.
    pub(crate) fn pending(&self) -> u64 {
        self.point.pending()
    }

    /// Successes of verification that the cache had, had not, and bytes in it.
    pub(crate) fn cache(&self) -> (u64, u64, u64) {
        let counts = self.point.cache().counts();
        (counts.hits.saturating_add(counts.shared), counts.misses, counts.bytes)
    }

    /// Waits until what was answered is in the log's tree.
    pub(crate) fn settle(&self) {
        // what is not in the tree is in the journal, and gets there when the log is opened anew
        self.point.settle().ok();
    }
}

impl Engine {
    /// The folder of the log's tree.
    pub(crate) fn log_files(&self) -> &LogFiles {
        &self.files
    }

    /// The key under which the log is believed.
    pub(crate) fn log_key(&self) -> &NoteKey {
        &self.key
    }

    /// The newest checkpoint that the log's key signed, with its text.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, String> {
        let bytes = tlog::Storage::read(&self.files, "checkpoint").map_err(|e| e.to_string())?;
        let note = bytes.and_then(|bytes| Note::parse(&String::from_utf8(bytes).ok()?));
        let checkpoint = note.filter(|n| n.is_signed_by(&self.key)).and_then(|n| Checkpoint::parse(n.text()));
        checkpoint.ok_or_else(|| "the log has no checkpoint that its key signed".to_owned())
    }

    /// The book and the trust root in force.
    pub(crate) fn in_force(&self) -> (Arc<Book>, Arc<TrustRoot>) {
        self.point.files()
    }

    /// How full the spool is, and why its store is out of reach, where it is.
    pub(crate) fn spool(&self) -> (Fill, Option<String>) {
        (self.point.fill(), self.point.cut_off())
    }

    /// Says that this writer lives, where it has said nothing for so long.
    pub(crate) fn heartbeat(&self, at: Timestamp, every: Span) -> Result<(), String> {
        self.point.heartbeat(at, every).map(drop).map_err(|e| e.to_string())
    }
}

/// What alarms need of the log.
impl Recorder for Engine {
    fn record(&self, event: NewEvent) -> Result<u64, String> {
        self.point.record(event).map(|promise| promise.index()).map_err(|e| e.to_string())
    }

    fn leaves(&self, from: u64) -> Result<Vec<Vec<u8>>, String> {
        const BUNDLE: u64 = 256;
        let size = self.checkpoint()?.size;
        if from >= size {
            return Ok(Vec::new());
        }
        let entries = Reader::new(&self.files, size).entries(from / BUNDLE).map_err(|e| e.to_string())?;
        Ok(entries.into_iter().skip(usize::try_from(from % BUNDLE).unwrap_or(usize::MAX)).collect())
    }

    fn part(&self, digest: &Digest) -> Option<Vec<u8>> {
        Blobs::new(self.files.clone()).get(digest).ok()
    }

    fn origin(&self) -> String {
        self.key.name.clone()
    }
}

/// A decision's name: its record's index and leaf; a rejection has none where the log had no room.
fn id(admission: &Admission) -> Option<(u64, String)> {
    let receipt = admission.receipt()?;
    let leaf = attest::Digest::from_bytes(attest::Algorithm::Sha256, receipt.leaf().to_vec());
    Some((receipt.index(), leaf.map(|leaf| leaf.to_string()).unwrap_or_default()))
}
