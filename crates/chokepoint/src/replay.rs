//! The same function again, over a recorded case: audit, forensics, a bug report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use attest::{Digest, Opener, TrustRoot};
use policy::{Book, Case, Guardrails, evaluate, evaluate_with};
use tlog::{Blobs, Storage};

use crate::chokepoint::decide_in_mode;
use crate::decision::Decision;
use crate::record::{Record, RecordError, leaf_digest};
use crate::summary::Passed;

/// What came of replaying a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The same decision, byte for byte.
    Same,
    /// Another one. Under the same engine that is a defect; under a newer one it is reported, never rewritten.
    Differs {
        /// The engine that decided then.
        engine: String,
        /// The decision on record.
        recorded: String,
        /// The decision now.
        now: Box<Decision>,
    },
}

/// What would be decided about a case under these files: a question that nobody may act on. The case names them.
#[must_use]
pub fn what_if(case: &Case, book: &Book, root: &TrustRoot, opener: &dyn Opener) -> Decision {
    decide_in_mode(evaluate_with(case, book, root, opener), case, book)
}

/// Decides a recorded case again, from the log and the blobs alone.
///
/// # Errors
/// [`RecordError`] where a part of the case is missing or changed.
pub fn replay<S: Storage>(record: &Record, blobs: &Blobs<S>) -> Result<Replay, RecordError> {
    Replayer::default().replay(record, blobs)
}

/// So many books and trust roots are held loaded: more than ever change places within a stretch of a log.
const HELD: usize = 16;

/// Replays many records, and loads a book that they share once. Nothing else is remembered from one to the next: every
/// signature is checked anew.
#[derive(Debug, Default)]
pub struct Replayer {
    /// By the digest of the list of its files.
    books: Loaded<Book>,
    roots: Loaded<TrustRoot>,
}

/// A recorded case, decided again.
struct Again {
    case: Case,
    book: Arc<Book>,
    root: Arc<TrustRoot>,
    decision: Decision,
}

impl Replayer {
    /// Decides a recorded case again.
    ///
    /// # Errors
    /// [`RecordError`] where a part of the case is missing or changed.
    pub fn replay<S: Storage>(&self, record: &Record, blobs: &Blobs<S>) -> Result<Replay, RecordError> {
        self.again(record, blobs).map(|(replay, _)| replay)
    }

    /// Decides the case of a leaf again, and says what may be signed of it: nothing, unless the policy was met then, and is
    /// met again. Whether the leaf is in the log is for the caller to prove.
    ///
    /// # Errors
    /// [`RecordError`] where the leaf is no record, or a part of the case is missing or changed.
    pub fn passed<S: Storage>(
        &self,
        leaf: &[u8],
        blobs: &Blobs<S>,
    ) -> Result<(Replay, Option<Passed>), RecordError> {
        let (replay, again) = self.again(&Record::parse(leaf)?, blobs)?;
        let Again { case, book, root, decision } = again;
        let hash = leaf_digest(leaf).filter(|_| replay == Replay::Same);
        let passed = hash.and_then(|hash| Passed::of(&decision, &case, &book, &root, hash));
        Ok((replay, passed))
    }

    fn again<S: Storage>(&self, record: &Record, blobs: &Blobs<S>) -> Result<(Replay, Again), RecordError> {
        let case = record.case(blobs)?;
        let root = self.root(&case.frame().trust_root, blobs)?;
        let book = self.book(record, blobs)?;
        let decision = decide_in_mode(evaluate(&case, &book, &root), &case, &book);
        let recorded = blobs.get(&record.decided)?;
        let summary_agrees = record.decision == decision.word()
            && record.basis == decision.basis().name()
            && record.outcome == decision.verdict().outcome().name();
        let replay = if decision.to_json().to_string().as_bytes() == recorded && summary_agrees {
            Replay::Same
        } else {
            Replay::Differs {
                engine: case.frame().engine.clone(),
                recorded: String::from_utf8_lossy(&recorded).into_owned(),
                now: Box::new(decision.clone()),
            }
        };
        Ok((replay, Again { case, book, root, decision }))
    }

    fn root<S: Storage>(&self, digest: &Digest, blobs: &Blobs<S>) -> Result<Arc<TrustRoot>, RecordError> {
        self.roots.get(digest, || {
            let text = String::from_utf8_lossy(&blobs.get(digest)?).into_owned();
            TrustRoot::parse("trust-root.yaml", &text).map_err(|e| RecordError::Book(first(e)))
        })
    }

    /// Guardrails judged the book when it was loaded; a replay asks what it said, not whether it may be loaded.
    fn book<S: Storage>(&self, record: &Record, blobs: &Blobs<S>) -> Result<Arc<Book>, RecordError> {
        self.books.get(&record.book, || {
            let files = record.book_files(blobs)?;
            Book::load(files, &Guardrails::none()).map_err(|e| RecordError::Book(first(e)))
        })
    }
}

fn first(errors: Vec<attest::LoadError>) -> String {
    errors.first().map(ToString::to_string).unwrap_or_default()
}

/// What was loaded, by digest.
#[derive(Debug)]
struct Loaded<T>(Mutex<BTreeMap<Digest, Arc<T>>>);

impl<T> Default for Loaded<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Loaded<T> {
    fn get(
        &self,
        digest: &Digest,
        load: impl FnOnce() -> Result<T, RecordError>,
    ) -> Result<Arc<T>, RecordError> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = lock().get(digest) {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(load()?);
        let mut held = lock();
        if held.len() >= HELD {
            held.clear();
        }
        held.insert(digest.clone(), Arc::clone(&loaded));
        Ok(loaded)
    }
}
