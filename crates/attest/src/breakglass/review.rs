//! A second person's signed word about what a breakglass grant let in.
//!
//! Its subject is the grant as it was signed, by SHA-256: a grant's id is its giver's text, and a second grant of the same
//! id must not be covered by the review of the first. The records are named by the hashes of their leaves: what is let in
//! after the review is not covered by it either.

use jiff::Timestamp;

use super::{GrantError, is_id, text, time};
use crate::bundle::Bundle;
use crate::digest::{Algorithm, Digest, DigestSet};
use crate::dsse::{Dsse, IN_TOTO};
use crate::json::{Json, Object, ShapeError, each};
use crate::secret::Signer;
use crate::statement::{Statement, Subject};

/// Ours: a person looked at what a breakglass grant let in.
pub const BREAKGLASS_REVIEW: &str = "https://portcullis.dev/breakglass-review/v1";

/// More records than this are reviewed in several statements.
pub const MAX_RECORDS: usize = 2048;

const KEYS: [&str; 5] = ["grant", "verdict", "comment", "records", "reviewedOn"];

/// What the reviewer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewVerdict {
    /// There was an emergency, and what was let in was for it.
    Justified,
    /// There was none, or something else was let in.
    Abuse,
}

/// A review of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantReview {
    /// SHA-256 of the signed grant: the subject.
    pub digest: Digest,
    /// The grant's id, for people.
    pub grant: String,
    /// What the reviewer found.
    pub verdict: ReviewVerdict,
    /// Why.
    pub comment: String,
    /// The leaf hashes of the records that were looked at, at least one.
    pub records: Vec<Digest>,
    /// When.
    pub reviewed: Timestamp,
}

impl ReviewVerdict {
    /// The word in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Justified => "justified",
            Self::Abuse => "abuse",
        }
    }

    /// Parses the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Justified, Self::Abuse].into_iter().find(|verdict| verdict.name() == word)
    }
}

impl GrantReview {
    pub(crate) fn read(predicate: &Object, subjects: &[Subject]) -> Result<Self, ShapeError> {
        if let Some((key, _)) = predicate.iter().find(|(key, _)| !KEYS.contains(key)) {
            return Err(ShapeError::new(key, &format!("one of {}", KEYS.join(", ")), "another key"));
        }
        let verdict = predicate.string("verdict")?;
        let known = ReviewVerdict::parse(verdict);
        let digest = |item: &Json| {
            let text = item.as_str()?;
            let parsed = Digest::parse(text).ok().filter(|d| d.algorithm() == Algorithm::Sha256);
            parsed.ok_or_else(|| ShapeError::new("", "sha256:HEX of a leaf", text))
        };
        let review = Self {
            digest: subject(subjects)?,
            grant: predicate.string("grant")?.to_owned(),
            verdict: known.ok_or_else(|| ShapeError::new("verdict", "justified or abuse", verdict))?,
            comment: text(predicate, "comment")?,
            records: each("records", predicate.array("records")?, digest)?,
            reviewed: time(predicate, "reviewedOn")?,
        };
        if !is_id(&review.grant) {
            return Err(ShapeError::new("grant", "a grant's id", "another text"));
        }
        if review.records.is_empty() || review.records.len() > MAX_RECORDS {
            let found = review.records.len().to_string();
            return Err(ShapeError::new("records", &format!("1 to {MAX_RECORDS} records"), &found));
        }
        Ok(review)
    }

    /// The predicate.
    #[must_use]
    pub fn to_json(&self) -> Object {
        let records: Vec<String> = self.records.iter().map(Digest::to_string).collect();
        Object::new()
            .with("grant", self.grant.as_str())
            .with("verdict", self.verdict.name())
            .with("comment", self.comment.as_str())
            .with("records", records)
            .with("reviewedOn", self.reviewed.to_string())
    }

    /// The review, signed: a bundle. It counts only where the key is a person's who neither gave the grant nor deployed
    /// under it; that is for its reader to say.
    ///
    /// # Errors
    /// [`GrantError`] where a reader would refuse it, or the key cannot sign.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Json, GrantError> {
        let subject: DigestSet = self.digest.clone().into();
        let statement = Statement::write(&self.grant, &subject, BREAKGLASS_REVIEW, self.to_json());
        Statement::parse(statement.as_bytes()).map_err(GrantError::Malformed)?;
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[signer]).map_err(GrantError::Sign)?;
        Ok(Bundle::write(&dsse, &signer.public().id(), &[]))
    }
}

/// Exactly one subject with exactly one digest: else a review could be about two grants.
fn subject(subjects: &[Subject]) -> Result<Digest, ShapeError> {
    let wanted = "SHA-256 of one grant alone";
    match subjects {
        [one] if one.digests.iter().count() == 1 => {
            let digest = one.digests.get(Algorithm::Sha256);
            digest.ok_or_else(|| ShapeError::new("subject", wanted, "another digest"))
        }
        _ => Err(ShapeError::new("subject", wanted, "others")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Predicate, StatementError};

    fn review() -> GrantReview {
        GrantReview {
            digest: Digest::sha256(b"grant"),
            grant: "inc-1".to_owned(),
            verdict: ReviewVerdict::Justified,
            comment: "checkout was down; the rollback was right".to_owned(),
            records: vec![Digest::sha256(b"leaf")],
            reviewed: "2026-11-22T12:00:00Z".parse().unwrap(),
        }
    }

    fn parse(predicate: Object, subject: &DigestSet) -> Result<Statement, StatementError> {
        Statement::parse(Statement::write("x", subject, BREAKGLASS_REVIEW, predicate).as_bytes())
    }

    #[test]
    fn what_is_written_is_read_back() {
        for verdict in [ReviewVerdict::Justified, ReviewVerdict::Abuse] {
            let review = GrantReview { verdict, ..review() };
            let statement = parse(review.to_json(), &review.digest.clone().into()).unwrap();
            assert_eq!(statement.predicate, Predicate::BreakglassReview(Box::new(review)));
        }
    }

    #[test]
    fn a_review_that_says_less_or_more_is_malformed() {
        let own: DigestSet = review().digest.into();
        let many = vec![Digest::sha256(b"leaf"); MAX_RECORDS + 1];
        for (predicate, path) in [
            (GrantReview { comment: " ".to_owned(), ..review() }.to_json(), "predicate.comment"),
            (GrantReview { records: Vec::new(), ..review() }.to_json(), "predicate.records"),
            (GrantReview { records: many, ..review() }.to_json(), "predicate.records"),
            (GrantReview { grant: "a b".to_owned(), ..review() }.to_json(), "predicate.grant"),
            (review().to_json().with("verdict", "fine"), "predicate.verdict"),
            (review().to_json().with("waived", true), "predicate.waived"),
            (review().to_json().with("reviewedOn", "yesterday"), "predicate.reviewedOn"),
            (review().to_json().with("records", vec!["17"]), "predicate.records[0]"),
        ] {
            let error = parse(predicate, &own).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{path}: wanted ")), "{error}");
        }
        let other: DigestSet = Digest::parse(&format!("sha512:{}", "a".repeat(128))).unwrap().into();
        let error = parse(review().to_json(), &other).unwrap_err().to_string();
        assert!(error.contains("subject: wanted SHA-256 of one grant alone"), "{error}");
    }
}
