//! Whether a review counts: signed by a person, who is a second one, about what this log let in under this grant.

use std::fmt;

use attest::breakglass::GrantReview;
use attest::time::Span;
use attest::{Digest, Directly, Object, Opener, Predicate, TrustRoot, Unopened};
use jiff::Timestamp;

use super::{Reviewed, Reviews, Used};
use crate::event::{EventKind, NewEvent};

/// A reviewer's clock may be ahead by so many seconds.
const TOLERANCE: i64 = 60;

/// A review that counts, and is not on record yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it says.
    pub review: GrantReview,
    /// Whose it is.
    pub person: String,
    /// SHA-256 of the signed review.
    pub envelope: Digest,
}

/// Why a review does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewRefused {
    /// It does not open under the trust root.
    Unopened(Unopened),
    /// It is something else; the field says what.
    NoReview(&'static str),
    /// No person signed it; the field says who did.
    NoPerson(String),
    /// What was decided cannot be read, and so nobody knows who gave the grant.
    UnknownGiver,
    /// The person gave the grant.
    Giver(String),
    /// The person deployed under it.
    Requester(String),
    /// No record of this log was let in by that grant.
    OtherGrant(Digest),
    /// The grant has another id than the review says.
    OtherId(String, String),
    /// A record was not let in by that grant.
    OtherRecord(Digest),
    /// The time cannot be right.
    Time(Timestamp, Timestamp),
    /// The same review is on record at this place.
    Already(u64),
}

impl fmt::Display for ReviewRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unopened(e) => write!(f, "it is not authentic: {e}"),
            Self::NoReview(kind) => write!(f, "it is a {kind}, and no review of a grant"),
            Self::NoPerson(signers) => write!(f, "signed by {signers}; a person reviews, and no machine"),
            Self::UnknownGiver => f.write_str(
                "what was decided under the grant cannot be read, so nobody knows who gave it; bring the log's parts back",
            ),
            Self::Giver(person) => write!(f, "{person} gave the grant; somebody else reviews it"),
            Self::Requester(person) => {
                write!(f, "{person} deployed under the grant; somebody else reviews it")
            }
            Self::OtherGrant(digest) => write!(f, "nothing in this log was let in by the grant {digest}"),
            Self::OtherId(wanted, found) => write!(f, "it calls the grant {found}, whose id is {wanted}"),
            Self::OtherRecord(leaf) => write!(f, "the record {leaf} was not let in by this grant"),
            Self::Time(reviewed, wanted) => {
                write!(
                    f,
                    "it says that it is of {reviewed}; wanted a time between the first record and {wanted}"
                )
            }
            Self::Already(index) => write!(f, "the same review is on record already, at {index}"),
        }
    }
}
impl std::error::Error for ReviewRefused {}

impl Checked {
    /// The event for the record. Its signed bytes lie beside the log: who reads it later checks them again.
    #[must_use]
    pub fn event(&self, bytes: &[u8], at: Timestamp) -> NewEvent {
        let records = i64::try_from(self.review.records.len()).unwrap_or(i64::MAX);
        let body = Object::new()
            .with("grant", self.review.grant.as_str())
            .with("grant_digest", self.review.digest.to_string())
            .with("person", self.person.as_str())
            .with("verdict", self.review.verdict.name())
            .with("records", records)
            .with("reviewed", self.review.reviewed.to_string());
        NewEvent { at, kind: EventKind::BreakglassReview, body, parts: vec![bytes.to_vec()] }
    }
}

impl Reviews {
    /// Checks a signed review.
    ///
    /// 1. It is authentic, like any evidence, and it is a review.
    /// 2. It is about a grant that let something into this log, by the digest of its signed bytes, and about such records.
    /// 3. A person signed it who neither gave the grant nor deployed under it. Two keys of one person are one person.
    ///
    /// # Errors
    /// [`ReviewRefused`] with the first reason.
    pub fn check(&self, root: &TrustRoot, bytes: &[u8], at: Timestamp) -> Result<Checked, ReviewRefused> {
        let opener: &dyn Opener = &Directly;
        let attestation = opener.open(root, bytes, at).map_err(ReviewRefused::Unopened)?;
        let Predicate::BreakglassReview(review) = &attestation.statement().predicate else {
            return Err(ReviewRefused::NoReview(attestation.statement().predicate.kind()));
        };
        let used = self.grants.get(&review.digest);
        let used = used.ok_or_else(|| ReviewRefused::OtherGrant(review.digest.clone()))?;
        check_scope(review, used, at)?;
        // such a grant is named by its record: see `let_in`
        if used.records.contains_key(&used.digest) {
            return Err(ReviewRefused::UnknownGiver);
        }
        let signers: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
        let person = second_person(&signers, used, root)?;
        let envelope = attestation.envelope().clone();
        // by what it says: many keys sign the same with other bytes each time
        let is_same = |known: &&Reviewed| {
            (&known.person, known.at, known.verdict) == (&person, review.reviewed, review.verdict)
                && known.comment == review.comment
                && known.records == review.records.len()
        };
        if let Some(same) = used.reviews.iter().find(is_same) {
            return Err(ReviewRefused::Already(same.index));
        }
        Ok(Checked { review: review.as_ref().clone(), person, envelope })
    }
}

fn check_scope(review: &GrantReview, used: &Used, at: Timestamp) -> Result<(), ReviewRefused> {
    if review.grant != used.id {
        return Err(ReviewRefused::OtherId(used.id.clone(), review.grant.clone()));
    }
    if let Some(leaf) = review.records.iter().find(|leaf| !used.records.contains_key(*leaf)) {
        return Err(ReviewRefused::OtherRecord(leaf.clone()));
    }
    let is_ahead = Span::between(at, review.reviewed).as_seconds() > TOLERANCE;
    let looked_at = review.records.iter().filter_map(|leaf| used.records.get(leaf));
    let newest = looked_at.map(|one| one.at).max().unwrap_or(used.first);
    if is_ahead || Span::between(review.reviewed, newest).as_seconds() > TOLERANCE {
        return Err(ReviewRefused::Time(review.reviewed, at));
    }
    Ok(())
}

fn second_person(signers: &[&str], used: &Used, root: &TrustRoot) -> Result<String, ReviewRefused> {
    let mut refused = None;
    for person in signers.iter().filter(|name| root.is_person(name)) {
        let asked = |identity: &str| identity == *person || root.person(identity) == Some(person);
        if used.person == *person || root.person(&used.person) == Some(person) {
            refused.get_or_insert_with(|| ReviewRefused::Giver((*person).to_owned()));
        } else if used.records.values().any(|one| one.requester.as_deref().is_some_and(asked)) {
            refused.get_or_insert_with(|| ReviewRefused::Requester((*person).to_owned()));
        } else {
            return Ok((*person).to_owned());
        }
    }
    Err(refused.unwrap_or_else(|| ReviewRefused::NoPerson(signers.join(", "))))
}
