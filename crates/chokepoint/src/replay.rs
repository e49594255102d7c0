//! The same function again, over a recorded case: audit, forensics, a bug report.

use attest::{Opener, TrustRoot};
use policy::{Book, Case, Guardrails, evaluate, evaluate_with};
use tlog::{Blobs, Storage};

use crate::chokepoint::decide_in_mode;
use crate::decision::Decision;
use crate::record::{Record, RecordError};

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
    let case = record.case(blobs)?;
    let text = String::from_utf8_lossy(&blobs.get(&case.frame().trust_root)?).into_owned();
    let first = |errors: Vec<attest::LoadError>| errors.first().map(ToString::to_string).unwrap_or_default();
    let root = TrustRoot::parse("trust-root.yaml", &text).map_err(|e| RecordError::Book(first(e)))?;
    // guardrails judged the book when it was loaded; a replay asks what it said, not whether it may be loaded
    let book = Book::load(record.book_files(blobs)?, &Guardrails::none())
        .map_err(|e| RecordError::Book(first(e)))?;
    let decision = decide_in_mode(evaluate(&case, &book, &root), &case, &book);
    let recorded = blobs.get(&record.decided)?;
    let summary_agrees = record.decision == decision.word() && record.basis == decision.basis().name();
    if decision.to_json().to_string().as_bytes() == recorded && summary_agrees {
        return Ok(Replay::Same);
    }
    let engine = case.frame().engine.clone();
    Ok(Replay::Differs {
        engine,
        recorded: String::from_utf8_lossy(&recorded).into_owned(),
        now: Box::new(decision),
    })
}
