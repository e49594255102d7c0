//! The story of a decision.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::time::{Duration, Instant};

use attest::json::MAX_INT;
use attest::time::Span;
use attest::{Digest, Object, TrustRoot};
use jiff::Timestamp;
use policy::{Book, Case, DeploymentRequest, Verdict};
use tlog::{AppendError, Fill, Journaled, Level, Log, Promise, Receipt, Storage};

use crate::cache::EvidenceCache;
use crate::committer::{Committer, Group, Reply};
use crate::decision::{Answer, Decision};
use crate::entry::MAX_WRITER;
use crate::epoch::{LastSeen, open_epoch};
use crate::error::{DecideError, OpenError};
use crate::event::{EventKind, NewEvent};
use crate::in_force::{Governing, InForce, Moment};
use crate::limits::Limits;
use crate::prepared::Prepared;
use crate::record::{Record, Recorded};

/// The engine's name and version, in every case.
pub const ENGINE: &str = concat!("portcullis ", env!("CARGO_PKG_VERSION"));

/// How often it is looked whether the log's store is back, where somebody waits for it.
const AGAIN: Duration = Duration::from_millis(50);

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
    unrecorded: AtomicU64,
}

/// A decision that is on record, or a rejection for which there was no room. The only thing that may be shown to a
/// requester.
#[derive(Debug)]
pub struct Admission {
    pub(crate) case: Case,
    pub(crate) decision: Decision,
    /// The book and the trust root under which it was decided.
    pub(crate) files: Files,
    pub(crate) receipt: Option<Promise>,
    pub(crate) record: Option<Box<Record>>,
}

impl<S: Storage + Clone + Send + Sync + 'static> Chokepoint<S> {
    /// A choke point under a book and a trust root, recording in a log in files. The newest entries say how late it is
    /// at least, and which trust root was in force.
    ///
    /// # Errors
    /// [`OpenError`] where the newest entries cannot be read, the trust root is older than the one they name, or the
    /// store has no room.
    pub fn open(book: Book, root: TrustRoot, log: Log<S>) -> Result<Self, OpenError> {
        Self::open_with(book, root, log, Limits::default())
    }

    /// As [`Chokepoint::open`], within limits.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(book: Book, root: TrustRoot, log: Log<S>, limits: Limits) -> Result<Self, OpenError> {
        let log = Journaled::start_with(log, limits.room).map_err(OpenError::Journal)?;
        Self::start(Governing::new(book, root), log, limits)
    }

    /// A choke point in front of a spool, whose entries go wherever its target says.
    ///
    /// # Errors
    /// [`OpenError`], as for [`Chokepoint::open`].
    pub fn start(governing: Governing, log: Journaled<S>, limits: Limits) -> Result<Self, OpenError> {
        if limits.writer.is_empty() || limits.writer.chars().count() > MAX_WRITER {
            return Err(OpenError::Writer(limits.writer));
        }
        let newest = log.newest().map_err(OpenError::Newest)?;
        let recorded = Recorded::of(&newest).map_err(OpenError::Record)?;
        governing.root.check_not_older(recorded.trust_root_floor).map_err(OpenError::RolledBack)?;
        let in_force = InForce::new(governing);
        let (author, opening) = open_epoch(&recorded, &limits.writer, in_force.root.version());
        let last_seen = Arc::new(LastSeen::new(recorded.last_seen));
        let committer = Committer::start(log, author, Arc::clone(&last_seen), &limits);
        let committer = committer.map_err(OpenError::Journal)?;
        committer.send_along(opening.map_err(OpenError::TooLong)?);
        if recorded.files != Some(in_force.body()) {
            committer.send_along(in_force.event().map_err(OpenError::TooLong)?);
        }
        let cache = EvidenceCache::new(limits.cache);
        let unrecorded = AtomicU64::new(0);
        Ok(Self { in_force: RwLock::new(in_force), committer, last_seen, cache, unrecorded })
    }

    /// The book in force.
    #[must_use]
    pub fn book(&self) -> Arc<Book> {
        Arc::clone(&self.in_force().book)
    }

    /// The book and the trust root in force.
    #[must_use]
    pub fn files(&self) -> (Arc<Book>, Arc<TrustRoot>) {
        let in_force = self.in_force();
        (Arc::clone(&in_force.book), Arc::clone(&in_force.root))
    }

    /// What would be decided about a request at a time. Nothing is recorded, so nobody may act on it.
    #[must_use]
    pub fn judge(&self, request: DeploymentRequest, at: Timestamp) -> Decision {
        self.in_force().judge(request, &self.moment(at, false)).1
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

    /// How many entries were acknowledged.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.committer.log().size()
    }

    /// How many of them are not in the log's store yet.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.committer.log().pending()
    }

    /// How full the spool is, and whether the store behind it is out of reach.
    #[must_use]
    pub fn fill(&self) -> Fill {
        self.committer.log().fill()
    }

    /// Why the store is out of reach, while it is.
    #[must_use]
    pub fn cut_off(&self) -> Option<String> {
        self.committer.log().cut_off()
    }

    /// How many rejections were answered and not recorded, because the spool was full.
    #[must_use]
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }

    /// Decides about a request at a time, and answers only once the record has reached the level that the limits name.
    ///
    /// # Errors
    /// [`DecideError`] where it has not; then nobody may act on any decision.
    pub fn decide(&self, request: DeploymentRequest, at: Timestamp) -> Result<Admission, DecideError> {
        self.decide_all(vec![request], at)?.pop().ok_or(DecideError::Stopped)
    }

    /// Decides about requests that belong together, under the same files, and records them in one commit: all of them
    /// are on record, or none is answered. Where the spool is full they are judged as in an outage of the decision log:
    /// admissions are on record in its reserve, and rejections are not.
    ///
    /// # Errors
    /// [`DecideError`], as for [`Chokepoint::decide`].
    pub fn decide_all(
        &self,
        requests: Vec<DeploymentRequest>,
        at: Timestamp,
    ) -> Result<Vec<Admission>, DecideError> {
        let is_full = self.fill().is_full();
        match self.decide_once(requests, at, is_full) {
            // it was not full when they were judged
            Err((DecideError::Full, requests)) if !is_full => {
                self.decide_once(requests, at, true).map_err(|(e, _)| e)
            }
            other => other.map_err(|(e, _)| e),
        }
    }

    fn decide_once(
        &self,
        requests: Vec<DeploymentRequest>,
        at: Timestamp,
        is_full: bool,
    ) -> Result<Vec<Admission>, (DecideError, Vec<DeploymentRequest>)> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.submit_as(requests, at, is_full, move |result| {
            // who asked is waiting below
            reply.send(result).ok();
        });
        answer.recv().unwrap_or(Err((DecideError::Stopped, Vec::new())))
    }

    /// Judges requests on this thread, and has `reply` called once their records have reached the level that the limits
    /// name: from a thread that must not be held up, or from this one where there is no decision.
    pub fn submit(
        &self,
        requests: Vec<DeploymentRequest>,
        at: Timestamp,
        reply: impl FnOnce(Result<Vec<Admission>, DecideError>) + Send + 'static,
    ) {
        self.submit_as(requests, at, self.fill().is_full(), |result| reply(result.map_err(|(e, _)| e)));
    }

    /// Gives the requests back where they were not recorded for want of room.
    fn submit_as(
        &self,
        requests: Vec<DeploymentRequest>,
        at: Timestamp,
        is_full: bool,
        reply: impl FnOnce(Result<Vec<Admission>, (DecideError, Vec<DeploymentRequest>)>) + Send + 'static,
    ) {
        // asked before judging as well: who is turned away should cost nothing
        if let Err(e) = self.committer.check_room(requests.len()) {
            return reply(Err((e, Vec::new())));
        }
        let in_force = self.in_force();
        let moment = self.moment(at, is_full);
        let (mut judged, mut prepared) = (Vec::new(), Vec::new());
        for request in requests {
            match in_force.prepare(request, &moment) {
                Ok((case, decision, own)) => {
                    let record = own.as_ref().and_then(|own| own.record(&decision));
                    judged.push((case, decision, own.is_some(), record));
                    prepared.extend(own);
                }
                Err(e) => return reply(Err((e, Vec::new()))),
            }
        }
        let unrecorded = judged.iter().filter(|(_, _, is_recorded, _)| !is_recorded).count();
        self.unrecorded.fetch_add(u64::try_from(unrecorded).unwrap_or(u64::MAX), Ordering::Relaxed);
        let files = (Arc::clone(&in_force.book), Arc::clone(&in_force.root));
        let is_admission = judged.iter().any(|(_, decision, ..)| decision.answer() == Answer::Admit);
        let reply = move |result: Result<Vec<Promise>, DecideError>| {
            reply(match result {
                Ok(promises) => Ok(admissions(judged, promises, &files)),
                Err(e) => Err((e, judged.into_iter().map(|(case, ..)| case.request().clone()).collect())),
            });
        };
        if prepared.is_empty() && unrecorded > 0 {
            return reply(Ok(Vec::new()));
        }
        let group = Group { prepared, reply: Some(Box::new(reply)), is_admission };
        let refused = self.committer.submit(group);
        drop(in_force);
        if let Err((e, group)) = refused {
            group.answer(Err(e));
        }
    }

    /// Decides about one of the reviewed files themselves, under policies for them and the trust root in force, and
    /// answers once it is on record. It is on record like every decision, and replayed like every decision.
    ///
    /// # Errors
    /// [`DecideError`], as for [`Chokepoint::decide`]; where the spool is full, nothing new comes into force.
    pub fn decide_under(
        &self,
        policies: &Arc<Book>,
        request: DeploymentRequest,
        at: Timestamp,
    ) -> Result<Admission, DecideError> {
        let in_force = self.in_force();
        let own = in_force.under(policies);
        let files = (Arc::clone(&own.book), Arc::clone(&own.root));
        let (case, decision, prepared) = own.prepare(request, &self.moment(at, self.fill().is_full()))?;
        let prepared = prepared.ok_or(DecideError::Full)?.with(own.blobs());
        let record = prepared.record(&decision);
        let is_admission = decision.answer() == Answer::Admit;
        let promise = self.record_prepared(prepared, is_admission, || drop(in_force))?;
        let judged = vec![(case, decision, true, record)];
        admissions(judged, vec![promise], &files).pop().ok_or(DecideError::Stopped)
    }

    /// What [`Chokepoint::decide_under`] would say. Nothing is recorded, so nobody may act on it.
    #[must_use]
    pub fn judge_under(
        &self,
        policies: &Arc<Book>,
        request: DeploymentRequest,
        at: Timestamp,
    ) -> (Decision, Arc<TrustRoot>) {
        let in_force = self.in_force();
        (in_force.under(policies).judge(request, &self.moment(at, false)).1, Arc::clone(&in_force.root))
    }

    /// Puts an event on record, and returns once it is durable.
    ///
    /// # Errors
    /// [`DecideError`] where it is not.
    pub fn record(&self, event: NewEvent) -> Result<Promise, DecideError> {
        let version = self.in_force().root.version();
        let prepared = Prepared::event(event, version)
            .map_err(|long| DecideError::Append(Arc::new(AppendError::TooLong(long))))?;
        self.record_prepared(prepared, false, || ())
    }

    /// Waits for one entry's promise; `submitted` is called once it has its place among the others.
    fn record_prepared(
        &self,
        prepared: Prepared,
        is_admission: bool,
        submitted: impl FnOnce(),
    ) -> Result<Promise, DecideError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let reply: Reply = Box::new(move |result| {
            // who asked is waiting below
            reply.send(result).ok();
        });
        let group = Group { prepared: vec![prepared], reply: Some(reply), is_admission };
        let refused = self.committer.submit(group);
        submitted();
        refused.map_err(|(e, _)| e)?;
        let promises = answer.recv().unwrap_or(Err(DecideError::Stopped))?;
        promises.into_iter().next().ok_or(DecideError::Stopped)
    }

    /// Puts on record that this writer lives, where it has recorded nothing for so long. The clock is the caller's, who
    /// asks again and again.
    ///
    /// # Errors
    /// [`DecideError`] where it is not on record.
    pub fn heartbeat(&self, at: Timestamp, every: Span) -> Result<Option<Promise>, DecideError> {
        let last = self.committer.last_own();
        if last.is_some_and(|last| Span::between(last, at) < every) {
            return Ok(None);
        }
        let number = |n: u64| i64::try_from(n).unwrap_or(MAX_INT).min(MAX_INT);
        let body = Object::new()
            .with("recorded", number(self.recorded()))
            .with("pending", number(self.pending()))
            .with("fill", i64::from(self.fill().mark.percent()))
            .with("every", every.as_seconds());
        self.record(NewEvent { at, kind: EventKind::Heartbeat, body, parts: Vec::new() }).map(Some)
    }

    /// Puts another book and trust root in force; guardrails and configuration stay. What is being judged at this moment
    /// is decided under the old ones.
    ///
    /// # Errors
    /// [`OpenError`]; the files in force stay.
    pub fn replace(&self, book: Book, root: TrustRoot) -> Result<(), OpenError> {
        let mut new = self.in_force().under(&Arc::new(book));
        new.root = Arc::new(root);
        self.put_in_force(new)
    }

    /// As [`Chokepoint::replace`], everything that governs.
    ///
    /// # Errors
    /// [`OpenError`]; the files in force stay.
    pub fn replace_with(&self, governing: Governing) -> Result<(), OpenError> {
        self.put_in_force(InForce::new(governing))
    }

    fn put_in_force(&self, new: InForce) -> Result<(), OpenError> {
        let mut event = new.event().map_err(OpenError::TooLong)?;
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        new.root.check_not_older(in_force.root.version()).map_err(OpenError::RolledBack)?;
        // behind what was judged under the old ones, before what will be under the new
        match (new.body() != in_force.body(), self.last_seen.get()) {
            (false, _) => {}
            // what the next start goes on with must not be lost with this process
            (true, Some(at)) if new.governance.is_some() => {
                event.move_to(at);
                self.record_prepared(event, false, || ()).map_err(OpenError::NotRecorded)?;
            }
            (true, _) => self.committer.send_along(event),
        }
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

    /// The proof that an entry is in the log, once the log's tree has it.
    ///
    /// # Errors
    /// [`AppendError`] where the log has stopped, cannot be read, or has no such entry.
    pub fn prove(&self, index: u64) -> Result<Receipt, AppendError> {
        self.committer.log().prove(index)
    }

    /// Waits until every decision that was answered is in the log's store, where `portcullis log` reads it.
    ///
    /// # Errors
    /// [`AppendError`]; what was answered is in the spool, and in the store when that is back or the log is opened anew.
    pub fn settle(&self) -> Result<(), AppendError> {
        self.committer.log().settle()
    }

    /// As [`Chokepoint::settle`], in the log's tree, which another process may make; says whether it came to that in time.
    ///
    /// # Errors
    /// [`AppendError`], as for [`Chokepoint::settle`].
    pub fn settle_in_tree(&self, within: Duration) -> Result<bool, AppendError> {
        let (log, began) = (self.committer.log(), Instant::now());
        // a store that is out of reach is asked again only now and then, and may be back
        while let Err(e) = log.settle() {
            if !matches!(e, AppendError::Unreachable(_)) || began.elapsed() > within {
                return Err(e);
            }
            std::thread::sleep(AGAIN);
        }
        log.wait_until(Level::Sequenced, log.size(), within.saturating_sub(began.elapsed()))
    }

    fn in_force(&self) -> RwLockReadGuard<'_, InForce> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn moment(&self, at: Timestamp, is_full: bool) -> Moment<'_> {
        Moment { at, last_seen: self.last_seen.get(), cache: &self.cache, is_full }
    }
}

/// A case, the decision on it, whether there is room for its record, and the record where it must be alarmed.
type Judged = (Case, Decision, bool, Option<Box<Record>>);

/// A book and a trust root.
type Files = (Arc<Book>, Arc<TrustRoot>);

/// Each decision with its promise, where it is on record.
fn admissions(judged: Vec<Judged>, promises: Vec<Promise>, files: &Files) -> Vec<Admission> {
    let mut promises = promises.into_iter();
    let mut admission = |(case, decision, is_recorded, mut record): Judged| {
        let receipt = if is_recorded { promises.next() } else { None };
        if let Some((record, promise)) = record.as_mut().zip(receipt.as_ref()) {
            record.position.sequence = promise.index();
        }
        Admission { case, decision, files: files.clone(), receipt, record }
    };
    judged.into_iter().map(&mut admission).collect()
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
    /// [`Chokepoint::prove`] gives the proof. A rejection has none where the spool was full; an admission always has.
    #[must_use]
    pub fn receipt(&self) -> Option<&Promise> {
        self.receipt.as_ref()
    }

    /// The record of what was let in although its policy is not met, by a grant or in an outage: that is alarmed at once.
    /// Nothing for all others. Of its position only the sequence is known here.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.as_deref()
    }

    /// The digest under which the case is kept is in the record; this is the record's place in the log.
    #[must_use]
    pub fn index(&self) -> Option<u64> {
        self.receipt.as_ref().map(Promise::index)
    }
}

/// A digest in a record, read back.
pub(crate) fn read_digest(text: &str) -> Option<Digest> {
    Digest::parse(text).ok()
}
