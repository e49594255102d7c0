//! The story of a decision.

use std::fmt;

use attest::trust::RolledBack;
use attest::{Digest, TrustRoot};
use jiff::Timestamp;
use policy::{Book, Case, DeploymentRequest, Frame, Verdict, evaluate_with};
use tlog::{AppendError, BlobError, Blobs, Log, Receipt, Storage};

use crate::cache::EvidenceCache;
use crate::decision::{Answer, Decision};
use crate::record::{self, Record, RecordError, Recorded, recorded};

/// The engine's name and version, in every case.
pub const ENGINE: &str = concat!("portcullis ", env!("CARGO_PKG_VERSION"));

/// A place through which every deployment must go.
#[derive(Debug)]
pub struct Chokepoint<S> {
    book: Book,
    root: TrustRoot,
    log: Log<S>,
    blobs: Blobs<S>,
    last_seen: Option<Timestamp>,
    cache: EvidenceCache,
}

/// A decision that is on record. The only thing that may be shown to a requester.
#[derive(Debug)]
pub struct Admission {
    decision: Decision,
    receipt: Receipt,
}

/// Why there is no decision. The deployment must not go on.
#[derive(Debug)]
pub enum DecideError {
    /// The log could not take the record.
    Append(AppendError),
    /// A part of the case could not be kept.
    Keep(BlobError),
}

impl fmt::Display for DecideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(e) => write!(f, "the decision could not be logged: {e}"),
            Self::Keep(e) => write!(f, "the case could not be kept: {e}"),
        }
    }
}
impl std::error::Error for DecideError {}

/// Why a choke point does not open.
#[derive(Debug)]
pub enum OpenError {
    /// The newest record cannot be read.
    Record(RecordError),
    /// The trust root is older than the one that was in force.
    RolledBack(RolledBack),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(e) => write!(f, "the log cannot say what was in force: {e}"),
            Self::RolledBack(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for OpenError {}

impl<S: Storage + Clone> Chokepoint<S> {
    /// A choke point under a book and a trust root, recording in a log. The newest record says how late it is at
    /// least, and which trust root was in force.
    ///
    /// # Errors
    /// [`OpenError`] where the newest record cannot be read, or the trust root is older than the one it names.
    pub fn open(book: Book, root: TrustRoot, log: Log<S>) -> Result<Self, OpenError> {
        let Recorded { last_seen, trust_root_floor } = recorded(&log).map_err(OpenError::Record)?;
        root.check_not_older(trust_root_floor).map_err(OpenError::RolledBack)?;
        let blobs = Blobs::new(log.storage().clone());
        Ok(Self { book, root, log, blobs, last_seen, cache: EvidenceCache::default() })
    }

    /// The book in force.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The evidence that was verified already, for metrics.
    #[must_use]
    pub fn cache(&self) -> &EvidenceCache {
        &self.cache
    }

    /// Decides about a request at a time, and answers only once the record is durable.
    ///
    /// # Errors
    /// [`DecideError`] where the record is not durable; then nobody may act on any decision.
    pub fn decide(&mut self, request: DeploymentRequest, at: Timestamp) -> Result<Admission, DecideError> {
        let case = self.open_case(request, at);
        let verdict = evaluate_with(&case, &self.book, &self.root, &self.cache);
        let decision = self.act_on(verdict, &case);
        let record = self.keep(&case, &decision)?;
        let receipt =
            self.log.append(record.to_json().to_string().as_bytes()).map_err(DecideError::Append)?;
        self.last_seen = self.last_seen.max(Some(at));
        Ok(Admission { decision, receipt })
    }

    /// Freezes everything that the verdict may look at.
    fn open_case(&self, request: DeploymentRequest, at: Timestamp) -> Case {
        let frame = Frame {
            at,
            last_seen: self.last_seen,
            book: self.book.digest().clone(),
            trust_root: self.root.digest().clone(),
            trust_root_version: self.root.version(),
            engine: ENGINE.to_owned(),
        };
        Case::open(request, frame)
    }

    fn act_on(&self, verdict: Verdict, case: &Case) -> Decision {
        decide_in_mode(verdict, case, &self.book)
    }

    /// Keeps every part of the case by its digest, before the record that names them.
    fn keep(&self, case: &Case, decision: &Decision) -> Result<Record, DecideError> {
        let keep = |bytes: &[u8]| self.blobs.put(bytes).map_err(DecideError::Keep);
        for part in case.parts() {
            keep(&part.bytes)?;
        }
        for file in self.book.files() {
            keep(file.text.as_bytes())?;
        }
        let book = keep(record::book_manifest(&self.book).to_string().as_bytes())?;
        keep(self.root.text().as_bytes())?;
        let case_digest = keep(case.to_json().to_string().as_bytes())?;
        let decision_digest = keep(decision.to_json().to_string().as_bytes())?;
        Ok(Record::new(case, decision, self.log.size(), [case_digest, decision_digest, book]))
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

    /// Proof that the decision is on record.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
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
