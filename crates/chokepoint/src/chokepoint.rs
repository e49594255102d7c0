//! The story of a decision.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, mpsc};

use attest::trust::RolledBack;
use attest::{Digest, TrustRoot};
use jiff::Timestamp;
use policy::{Book, Case, DeploymentRequest, Frame, Verdict, evaluate_with};
use tlog::{AppendError, BlobError, Blobs, Journaled, Log, Promise, Receipt, Storage};

use crate::cache::{CacheLimits, EvidenceCache};
use crate::committer::{Author, Committer, DEFAULT_WAITING};
use crate::decision::{Answer, Decision};
use crate::event::NewEvent;
use crate::prepared::Prepared;
use crate::record::{self, RecordError, Recorded, recorded};

/// The engine's name and version, in every case.
pub const ENGINE: &str = concat!("portcullis ", env!("CARGO_PKG_VERSION"));

/// The one writer of a log in files.
pub(crate) const WRITER: &str = "local";

/// A place through which every deployment must go. Many threads ask at once: each judges on its own, and one committer
/// makes durable together what has come in.
#[derive(Debug)]
pub struct Chokepoint<S> {
    /// Held for reading from the opening of a case until it waits for its commit: so the records of a trust root that
    /// was replaced stand before those of the new one, and the newest record names the highest version.
    in_force: RwLock<InForce>,
    committer: Committer<S>,
    last_seen: Arc<LastSeen>,
    cache: EvidenceCache,
}

/// How much a choke point holds at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that wait for their commit.
    pub waiting: usize,
    /// Evidence that was verified.
    pub cache: CacheLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiting: DEFAULT_WAITING, cache: CacheLimits::default() }
    }
}

/// The reviewed files under which cases are judged.
#[derive(Debug)]
struct InForce {
    book: Arc<Book>,
    root: Arc<TrustRoot>,
    /// The list of the book's files, as a blob.
    manifest: Digest,
}

/// The latest time of any record: the clock must not be behind it.
#[derive(Debug)]
pub(crate) struct LastSeen(Mutex<Option<Timestamp>>);

/// A decision that is on record. The only thing that may be shown to a requester.
#[derive(Debug)]
pub struct Admission {
    pub(crate) decision: Decision,
    pub(crate) receipt: Promise,
}

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
}

impl fmt::Display for DecideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { limit } => write!(f, "{limit} requests are waiting already; ask again"),
            Self::Append(e) => write!(f, "the decision could not be logged: {e}"),
            Self::Stopped => f.write_str(
                "the log stopped after a failed write; mend the disk and start the choke point anew",
            ),
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
    /// The book or the trust root could not be kept beside the log.
    Keep(BlobError),
    /// The journal's room could not be had.
    Journal(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(e) => write!(f, "the log cannot say what was in force: {e}"),
            Self::RolledBack(e) => e.fmt(f),
            Self::Keep(e) => write!(f, "the book and the trust root cannot be kept: {e}"),
            Self::Journal(e) => write!(f, "there is no room for the journal: {e}"),
        }
    }
}
impl std::error::Error for OpenError {}

impl<S: Storage + Clone + Send + Sync + 'static> Chokepoint<S> {
    /// A choke point under a book and a trust root, recording in a log. The newest records say how late it is at
    /// least, and which trust root was in force.
    ///
    /// # Errors
    /// [`OpenError`] where the newest record cannot be read, the trust root is older than the one it names, or the
    /// store has no room.
    pub fn open(book: Book, root: TrustRoot, log: Log<S>) -> Result<Self, OpenError> {
        Self::open_with(book, root, log, Limits::default())
    }

    /// As [`Chokepoint::open`], within limits.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(book: Book, root: TrustRoot, log: Log<S>, limits: Limits) -> Result<Self, OpenError> {
        let Recorded { last_seen, trust_root_floor, newest } = recorded(&log).map_err(OpenError::Record)?;
        root.check_not_older(trust_root_floor).map_err(OpenError::RolledBack)?;
        let in_force = InForce::keep(book, root, log.storage())?;
        let log = Journaled::start(log).map_err(OpenError::Journal)?;
        let last_seen = Arc::new(LastSeen::new(last_seen));
        let author = Author { name: WRITER.to_owned(), epoch: 0, previous: newest };
        let committer = Committer::start(log, author, Arc::clone(&last_seen), limits.waiting)
            .map_err(OpenError::Journal)?;
        let cache = EvidenceCache::new(limits.cache);
        Ok(Self { in_force: RwLock::new(in_force), committer, last_seen, cache })
    }

    /// The book in force.
    #[must_use]
    pub fn book(&self) -> Arc<Book> {
        Arc::clone(&self.in_force().book)
    }

    /// What would be decided about a request at a time. Nothing is recorded, so nobody may act on it.
    #[must_use]
    pub fn judge(&self, request: DeploymentRequest, at: Timestamp) -> Decision {
        self.in_force().judge(request, at, self.last_seen.get(), &self.cache).1
    }

    /// The evidence that was verified already, for metrics.
    #[must_use]
    pub fn cache(&self) -> &EvidenceCache {
        &self.cache
    }

    /// Digests of the book and of the trust root in force.
    #[must_use]
    pub fn digests(&self) -> [Digest; 2] {
        let in_force = self.in_force();
        [in_force.book.digest().clone(), in_force.root.digest().clone()]
    }

    /// How many records were acknowledged.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.committer.log().size()
    }

    /// How many of them are not in the log's tree yet.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.committer.log().pending()
    }

    /// Decides about a request at a time, and answers only once the record is durable.
    ///
    /// # Errors
    /// [`DecideError`] where the record is not durable; then nobody may act on any decision.
    pub fn decide(&self, request: DeploymentRequest, at: Timestamp) -> Result<Admission, DecideError> {
        self.decide_all(vec![request], at)?.pop().ok_or(DecideError::Stopped)
    }

    /// Decides about requests that belong together, under the same files, and records them in one commit: all of them
    /// are on record, or none is answered.
    ///
    /// # Errors
    /// [`DecideError`], as for [`Chokepoint::decide`].
    pub fn decide_all(
        &self,
        requests: Vec<DeploymentRequest>,
        at: Timestamp,
    ) -> Result<Vec<Admission>, DecideError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.submit(requests, at, move |result| {
            // who asked is waiting below
            reply.send(result).ok();
        });
        answer.recv().unwrap_or(Err(DecideError::Stopped))
    }

    /// Judges requests on this thread, and has `reply` called once their records are durable: from the committer's
    /// thread, which must not be held up, or from this one where there is no decision.
    pub fn submit(
        &self,
        requests: Vec<DeploymentRequest>,
        at: Timestamp,
        reply: impl FnOnce(Result<Vec<Admission>, DecideError>) + Send + 'static,
    ) {
        let count = requests.len();
        // asked before judging as well: who is turned away should cost nothing
        if let Err(e) = self.committer.check_room(count) {
            return reply(Err(e));
        }
        let in_force = self.in_force();
        let prepared = requests
            .into_iter()
            .map(|request| in_force.prepare(request, at, self.last_seen.get(), &self.cache));
        let (decisions, prepared): (Vec<_>, Vec<_>) = match prepared.collect::<Result<Vec<_>, _>>() {
            Ok(prepared) => prepared.into_iter().unzip(),
            Err(e) => return reply(Err(e)),
        };
        let reply = move |result: Result<Vec<Promise>, DecideError>| {
            let admission = |(decision, receipt)| Admission { decision, receipt };
            reply(result.map(|promises| decisions.into_iter().zip(promises).map(admission).collect()));
        };
        let refused = self.committer.submit(prepared, Box::new(reply));
        drop(in_force);
        if let Err((e, reply)) = refused {
            reply(Err(e));
        }
    }

    /// Puts an event on record, and returns once it is durable.
    ///
    /// # Errors
    /// [`DecideError`] where it is not.
    pub fn record(&self, event: NewEvent) -> Result<Promise, DecideError> {
        let version = self.in_force().root.version();
        let prepared = Prepared::event(event, version)
            .map_err(|long| DecideError::Append(Arc::new(AppendError::TooLong(long))))?;
        let (reply, answer) = mpsc::sync_channel(1);
        let reply = move |result| {
            // who asked is waiting below
            reply.send(result).ok();
        };
        if let Err((e, _)) = self.committer.submit(vec![prepared], Box::new(reply)) {
            return Err(e);
        }
        let promises = answer.recv().unwrap_or(Err(DecideError::Stopped))?;
        promises.into_iter().next().ok_or(DecideError::Stopped)
    }

    /// Puts another book and trust root in force. What is being judged at this moment is decided under the old ones.
    ///
    /// # Errors
    /// [`OpenError`]; the files in force stay.
    pub fn replace(&self, book: Book, root: TrustRoot) -> Result<(), OpenError> {
        let new = InForce::keep(book, root, &self.committer.log().storage())?;
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        new.root.check_not_older(in_force.root.version()).map_err(OpenError::RolledBack)?;
        *in_force = new;
        Ok(())
    }

    /// Whether a write failed: nothing is decided any more, until the log is opened anew.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.committer.is_stopped()
    }

    /// What failed, where it is stopped for that.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.committer.log().failure()
    }

    /// The proof that a record is in the log, once the log's tree has it.
    ///
    /// # Errors
    /// [`AppendError`] where the log has stopped, cannot be read, or has no such record.
    pub fn prove(&self, index: u64) -> Result<Receipt, AppendError> {
        self.committer.log().prove(index)
    }

    /// Waits until every decision that was answered is in the log's tree, where `portcullis log` reads it.
    ///
    /// # Errors
    /// [`AppendError::Stopped`]; what was answered is in the journal, and in the tree when the log is opened anew.
    pub fn settle(&self) -> Result<(), AppendError> {
        self.committer.log().settle()
    }

    fn in_force(&self) -> RwLockReadGuard<'_, InForce> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InForce {
    /// Keeps a book and a trust root beside the log, before the first record names them.
    fn keep<S: Storage + Clone>(book: Book, root: TrustRoot, storage: &S) -> Result<Self, OpenError> {
        let blobs = Blobs::new(storage.clone());
        let keep = |bytes: &[u8]| blobs.put(bytes).map_err(OpenError::Keep);
        for file in book.files() {
            keep(file.text.as_bytes())?;
        }
        keep(root.text().as_bytes())?;
        let manifest = keep(record::book_manifest(&book).to_string().as_bytes())?;
        Ok(Self { book: Arc::new(book), root: Arc::new(root), manifest })
    }

    /// Opens the case, judges it, and lays out what will be recorded.
    fn prepare(
        &self,
        request: DeploymentRequest,
        at: Timestamp,
        last_seen: Option<Timestamp>,
        cache: &EvidenceCache,
    ) -> Result<(Decision, Prepared), DecideError> {
        let (case, decision) = self.judge(request, at, last_seen, cache);
        let prepared = Prepared::decision(&case, &decision, self.manifest.clone())
            .map_err(|long| DecideError::Append(Arc::new(AppendError::TooLong(long))))?;
        Ok((decision, prepared))
    }

    fn judge(
        &self,
        request: DeploymentRequest,
        at: Timestamp,
        last_seen: Option<Timestamp>,
        cache: &EvidenceCache,
    ) -> (Case, Decision) {
        let case = self.open_case(request, at, last_seen);
        let verdict = evaluate_with(&case, &self.book, &self.root, cache);
        let decision = decide_in_mode(verdict, &case, &self.book);
        (case, decision)
    }

    /// Freezes everything that the verdict may look at.
    fn open_case(&self, request: DeploymentRequest, at: Timestamp, last_seen: Option<Timestamp>) -> Case {
        let frame = Frame {
            at,
            last_seen,
            book: self.book.digest().clone(),
            trust_root: self.root.digest().clone(),
            trust_root_version: self.root.version(),
            engine: ENGINE.to_owned(),
        };
        Case::open(request, frame)
    }
}

impl LastSeen {
    pub(crate) fn new(at: Option<Timestamp>) -> Self {
        Self(Mutex::new(at))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Option<Timestamp> {
        *self.lock()
    }

    /// Never goes back.
    pub(crate) fn raise(&self, at: Timestamp) {
        let mut last = self.lock();
        *last = (*last).max(Some(at));
    }
}

/// The decision on a verdict in the mode of the case's policy. Choke point and replay share it.
pub(crate) fn decide_in_mode(verdict: Verdict, case: &Case, book: &Book) -> Decision {
    Decision::of(verdict, case, book.select(case.environment(), case.artifact().uri()))
}

impl Admission {
    /// The decision.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Whether the deployment may go on.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.decision.answer() == Answer::Admit
    }

    /// The log's promise that the decision is on record: it is durable, and the tree follows.
    /// [`Chokepoint::prove`] gives the proof.
    #[must_use]
    pub fn receipt(&self) -> &Promise {
        &self.receipt
    }

    /// The digest under which the case is kept is in the record; this is the record's place in the log.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.receipt.index()
    }
}

/// A digest in a record, read back.
pub(crate) fn read_digest(text: &str) -> Option<Digest> {
    Digest::parse(text).ok()
}
