//! The choke point's engine, shared by all threads, and what the adapter needs of its decisions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use attest::note::{Checkpoint, NoteKey};
use attest::time::Span;
use attest::{Digest, TrustRoot};
use chokepoint::{
    Admission, Chokepoint, DecideError, Decision, Governing, LastGood, Limits, NewEvent, Passed, Record,
};
use jiff::Timestamp;
use policy::{Book, DeploymentRequest};
use replicas::{Health, PostgreSql};
use tlog::{Blobs, Files as LogFiles, Fill, Journaled, Log, LogSigner, Reader, Room, read_checkpoint};

use crate::alarm::Recorder;
use crate::webhook::config::Config;
use crate::webhook::own::Own;

/// The log that decisions are recorded in, opened where keys are read.
#[derive(Debug)]
pub enum DecisionLog {
    /// A folder, which only this process writes.
    Files(Box<Log<LogFiles>>),
    /// A database that several replicas share.
    PostgreSql(Box<Shared>),
}

/// A log that several replicas share, as one of them uses it.
pub struct Shared {
    /// The folder of its own spool, whose lock it holds.
    pub spool: LogFiles,
    /// The folder with the tree.
    pub tree: LogFiles,
    /// The log's name and key.
    pub key: NoteKey,
    /// What signs in the spool.
    pub signer: Arc<LogSigner>,
    /// Where entries go.
    pub target: PostgreSql,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({}, {:?})", self.key.name, self.target)
    }
}

/// How much of a process' end or beginning may be spent waiting for a sequencer, which may be another process.
const SEQUENCED_WITHIN: Duration = Duration::from_secs(15);

/// The engine, and how its log is read.
pub(crate) struct Engine {
    point: Chokepoint<LogFiles>,
    files: LogFiles,
    key: NoteKey,
    shared: Option<SharedWith>,
    /// Whether summaries are asked for.
    summarises: bool,
}

/// What there is only where several replicas share the log.
struct SharedWith {
    health: Option<Health>,
    /// Which records are this writer's.
    own: Own,
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
    /// Its number among this writer's entries, and its leaf; nothing where nothing was recorded.
    pub(crate) record: Option<(u64, String)>,
    /// Its name for whoever looks it up: with its writer, where several share the log.
    pub(crate) receipt: Option<String>,
    /// The record, where it must be alarmed at once.
    pub(crate) alarmed: Option<Record>,
    /// What may be signed of it, where that is asked for.
    pub(crate) passed: Option<Passed>,
}

impl Engine {
    /// Opens the engine under what `begin` says, who may look at the log first: nothing is written before that, and the
    /// settings are those of the configuration that it names. A cache of no bytes keeps nothing.
    pub(crate) fn open(
        log: DecisionLog,
        config: &Config,
        begin: impl FnOnce(Option<LastGood>) -> Result<(Governing, Config), String>,
    ) -> Result<Self, String> {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut limits = Limits { level: config.log.level, ..Limits::default() };
        limits.writer.clone_from(&config.log.writer);
        limits.room = Room::of(bytes(config.log.spool));
        let failed = |e: &dyn fmt::Display| e.to_string();
        let (log, storage, key, shared) = match log {
            DecisionLog::Files(log) => {
                let (storage, key) = (log.storage().clone(), log.key());
                (Journaled::start_with(*log, limits.room).map_err(|e| failed(&e))?, storage, key, None)
            }
            DecisionLog::PostgreSql(log) => {
                let Shared { spool, tree, key, signer, target } = *log;
                let shared = SharedWith { health: target.health(), own: Own::new(&limits.writer) };
                let name = format!("{}/{}", key.name, limits.writer);
                let log = Journaled::open(spool, &name, signer, limits.room, Box::new(target));
                (log.map_err(|e| failed(&e))?, tree, key, Some(shared))
            }
        };
        let last = LastGood::find(&log, &storage, &key, &limits.writer).map_err(|e| failed(&e))?;
        let (governing, config) = begin(last)?;
        limits.cache.bytes = bytes(config.cache);
        let point = Chokepoint::start(governing, log, limits).map_err(|e| failed(&e))?;
        Ok(Self { point, files: storage, key, shared, summarises: config.summaries.is_some() })
    }

    /// The same, under the configuration that turned out to be in force.
    pub(crate) fn under(self, config: &Config) -> Self {
        Self { summarises: config.summaries.is_some(), ..self }
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
            receipt: id(one).map(|(number, leaf)| self.receipt(number, &leaf)),
            alarmed: one.record().cloned(),
            passed: if self.summarises { one.passed() } else { None },
        };
        Ok(admissions.iter().map(ruled).collect())
    }

    /// What would be decided; records nothing.
    pub(crate) fn judge(&self, request: DeploymentRequest, at: Timestamp) -> Ruled {
        let decision = self.point.judge(request, at);
        Ruled { decision, record: None, receipt: None, alarmed: None, passed: None }
    }

    fn receipt(&self, number: u64, leaf: &str) -> String {
        match &self.shared {
            None => format!("{number}:{leaf}"),
            Some(shared) => format!("{}/{number}:{leaf}", shared.own.writer()),
        }
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
        // what is not in the tree is in the spool or in the database, and gets there in its time
        self.point.settle_in_tree(SEQUENCED_WITHIN).ok();
    }

    /// Whether other processes write to the log as well.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// How this replica's sequencer is, where it has one.
    pub(crate) fn sequencer(&self) -> Option<&Health> {
        self.shared.as_ref()?.health.as_ref()
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
        let checkpoint = bytes.and_then(|bytes| read_checkpoint(&bytes, &self.key));
        checkpoint.ok_or_else(|| "the log has no checkpoint that its key signed".to_owned())
    }

    /// Reads the tree at the size of the checkpoint. Another process may go on with it, and remove partial tiles: what is
    /// missing is looked for again under the newer checkpoint.
    pub(crate) fn read_tree<T>(
        &self,
        read: impl Fn(&LogFiles, u64) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut size = self.checkpoint()?.size;
        loop {
            let found = read(&self.files, size);
            let newer = self.checkpoint()?.size;
            if found.is_ok() || newer == size {
                return found;
            }
            size = newer;
        }
    }

    /// The book and the trust root in force.
    pub(crate) fn in_force(&self) -> (Arc<Book>, Arc<TrustRoot>) {
        self.point.files()
    }

    /// What opens evidence, and remembers what it found.
    pub(crate) fn opener(&self) -> &dyn attest::Opener {
        self.point.cache()
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
        self.read_tree(|files, size| match &self.shared {
            Some(shared) => shared.own.leaves(files, size, from),
            None if from >= size => Ok(Vec::new()),
            // one writer: its numbers are the log's
            None => bundle_from(files, size, from),
        })
    }

    fn part(&self, digest: &Digest) -> Option<Vec<u8>> {
        Blobs::new(self.files.clone()).get(digest).ok()
    }

    fn origin(&self) -> String {
        self.key.name.clone()
    }
}

/// The records from an index to the end of its bundle.
pub(crate) fn bundle_from(files: &LogFiles, size: u64, index: u64) -> Result<Vec<Vec<u8>>, String> {
    const BUNDLE: u64 = 256;
    let entries = Reader::new(files, size).entries(index / BUNDLE).map_err(|e| e.to_string())?;
    Ok(entries.into_iter().skip(usize::try_from(index % BUNDLE).unwrap_or(usize::MAX)).collect())
}

/// A decision's name: its record's number and leaf; a rejection has none where the log had no room.
fn id(admission: &Admission) -> Option<(u64, String)> {
    let receipt = admission.receipt()?;
    let leaf = attest::Digest::from_bytes(attest::Algorithm::Sha256, receipt.leaf().to_vec());
    Some((receipt.index(), leaf.map(|leaf| leaf.to_string()).unwrap_or_default()))
}
