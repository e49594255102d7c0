//! The choke point's engine, shared by all threads, and what the adapter needs of its decisions.

use std::fmt;
use std::sync::Arc;

use attest::TrustRoot;
use attest::time::Span;
use chokepoint::{Admission, Chokepoint, DecideError, Decision, Governing, LastGood, Limits, NewEvent};
use jiff::Timestamp;
use policy::{Book, DeploymentRequest};
use tlog::{Files as LogFiles, Journaled, Log};

/// The log that decisions are recorded in, opened where keys are read.
pub type DecisionLog = Log<LogFiles>;

/// The engine.
pub(crate) struct Engine(Chokepoint<LogFiles>);

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
}

impl Engine {
    /// Opens the engine under what `begin` says, who may look at the log first. A cache of no bytes keeps nothing.
    pub(crate) fn open(
        log: DecisionLog,
        cache: u64,
        begin: impl FnOnce(Option<LastGood>) -> Result<Governing, String>,
    ) -> Result<Self, String> {
        let mut limits = Limits::default();
        limits.cache.bytes = usize::try_from(cache).unwrap_or(usize::MAX);
        let log = Journaled::start_with(log, limits.room).map_err(|e| e.to_string())?;
        let last = LastGood::find(&log, &limits.writer).map_err(|e| e.to_string())?;
        Chokepoint::start(begin(last)?, log, limits).map(Self).map_err(|e| e.to_string())
    }

    /// Decides about all, and answers once all records are durable.
    pub(crate) fn decide_all(
        &self,
        requests: Vec<DeploymentRequest>,
        at: Timestamp,
    ) -> Result<Vec<Ruled>, DecideError> {
        let count = requests.len();
        let admissions = self.0.decide_all(requests, at)?;
        // one that has no decision must not be overlooked among those that have
        if admissions.len() != count {
            return Err(DecideError::Stopped);
        }
        let ruled = |one: &Admission| Ruled { decision: one.decision().clone(), record: id(one) };
        Ok(admissions.iter().map(ruled).collect())
    }

    /// What would be decided; records nothing.
    pub(crate) fn judge(&self, request: DeploymentRequest, at: Timestamp) -> Ruled {
        Ruled { decision: self.0.judge(request, at), record: None }
    }

    /// Puts new files in force; the last good ones stay where the new do not load.
    pub(crate) fn replace(&self, governing: Governing) -> Result<(), String> {
        self.0.replace_with(governing).map_err(|e| e.to_string())
    }

    /// Decides about one of the reviewed files, and answers once it is on record.
    pub(crate) fn decide_under(
        &self,
        policies: &Arc<Book>,
        request: DeploymentRequest,
        at: Timestamp,
    ) -> Result<Decision, DecideError> {
        self.0.decide_under(policies, request, at).map(|admission| admission.decision().clone())
    }

    /// What would be decided about one, and the trust root that says so.
    pub(crate) fn judge_under(
        &self,
        policies: &Arc<Book>,
        request: DeploymentRequest,
        at: Timestamp,
    ) -> (Decision, Arc<TrustRoot>) {
        self.0.judge_under(policies, request, at)
    }

    /// Puts on record that this writer lives, and with it under which files.
    pub(crate) fn live(&self, at: Timestamp) -> Result<(), DecideError> {
        self.0.heartbeat(at, Span::seconds(3600)).map(drop)
    }

    /// Puts an event on record.
    pub(crate) fn record(&self, event: NewEvent) -> Result<(), DecideError> {
        self.0.record(event).map(drop)
    }

    pub(crate) fn book(&self) -> Arc<Book> {
        self.0.book()
    }

    /// Digests of the book and the trust root in force.
    pub(crate) fn digests(&self) -> [String; 2] {
        self.0.digests().map(|digest| digest.to_string())
    }

    /// After a record that may or may not be durable nothing is decided any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }

    /// What failed then.
    pub(crate) fn failure(&self) -> Option<String> {
        self.0.failure()
    }

    pub(crate) fn log_size(&self) -> u64 {
        self.0.recorded()
    }

    /// Records that are durable, and not yet in the log's tree.
    pub(crate) fn pending(&self) -> u64 {
        self.0.pending()
    }

    /// Successes of verification that the cache had, had not, and bytes in it.
    pub(crate) fn cache(&self) -> (u64, u64, u64) {
        let counts = self.0.cache().counts();
        (counts.hits.saturating_add(counts.shared), counts.misses, counts.bytes)
    }

    /// Waits until what was answered is in the log's tree.
    pub(crate) fn settle(&self) {
        // what is not in the tree is in the journal, and gets there when the log is opened anew
        self.0.settle().ok();
    }
}

/// A decision's name: its record's index and leaf; a rejection has none where the log had no room.
fn id(admission: &Admission) -> Option<(u64, String)> {
    let receipt = admission.receipt()?;
    let leaf = attest::Digest::from_bytes(attest::Algorithm::Sha256, receipt.leaf().to_vec());
    Some((receipt.index(), leaf.map(|leaf| leaf.to_string()).unwrap_or_default()))
}
