//! Breakglass: a person's signed word that a deployment may go on although its policy is not met.
//!
//! A statement about one artifact has that artifact as its subject. One about a whole environment has no artifact, and
//! its subject is the grant itself: SHA-256 of its id. So every grant has exactly one subject, and a grant for an
//! environment is evidence about no artifact.

use jiff::Timestamp;

mod review;

pub use review::{BREAKGLASS_REVIEW, GrantReview, MAX_RECORDS, ReviewVerdict};

use crate::bundle::Bundle;
use crate::digest::{Digest, DigestSet};
use crate::dsse::{Dsse, IN_TOTO};
use crate::json::{Json, Object, ShapeError};
use crate::secret::{SignError, Signer};
use crate::statement::{Statement, StatementError, Subject};
use crate::time::parse_time;

/// Ours: a person lets deployments through that a policy would refuse.
pub const BREAKGLASS: &str = "https://portcullis.dev/breakglass/v1";

const MAX_ID: usize = 128;
const MAX_TEXT: usize = 2000;

/// A grant: what is let through, why, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What the grant is called: letters, digits, `.`, `_` and `-`. No two grants should have the same.
    pub id: String,
    /// The one environment in which it holds, word for word.
    pub environment: String,
    /// The one artifact for which it holds; everything in the environment without.
    pub artifact: Option<Digest>,
    /// The only one who may ask under it; anybody without.
    pub requester: Option<String>,
    /// Why.
    pub reason: String,
    /// Where the emergency is written down: whoever reviews it reads there what happened.
    pub ticket: String,
    /// From when on it holds.
    pub issued: Timestamp,
    /// From when on it does not hold any more.
    pub expires: Timestamp,
}

/// Why a grant cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// A field would not be read back.
    Malformed(StatementError),
    /// The key cannot sign.
    Sign(SignError),
}

impl std::fmt::Display for GrantError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(e) => write!(f, "the grant cannot be stated: {e}"),
            Self::Sign(e) => write!(f, "the grant cannot be signed: {e}"),
        }
    }
}
impl std::error::Error for GrantError {}

impl Grant {
    pub(crate) fn read(predicate: &Object) -> Result<Self, ShapeError> {
        let digest = |text: &str| {
            Digest::parse(text).map_err(|e| ShapeError::new("artifact", "a digest", &e.to_string()))
        };
        let grant = Self {
            id: predicate.string("id")?.to_owned(),
            environment: text(predicate, "environment")?,
            artifact: predicate.optional_string("artifact")?.map(digest).transpose()?,
            requester: predicate.optional_string("requester")?.map(str::to_owned),
            reason: text(predicate, "reason")?,
            ticket: text(predicate, "ticket")?,
            issued: time(predicate, "issuedOn")?,
            expires: time(predicate, "expiresOn")?,
        };
        if !is_id(&grant.id) {
            return Err(ShapeError::new("id", "1 to 128 letters, digits, `.`, `_` and `-`", "another text"));
        }
        if grant.expires <= grant.issued {
            let wanted = format!("a time after {}", grant.issued);
            return Err(ShapeError::new("expiresOn", &wanted, &grant.expires.to_string()));
        }
        Ok(grant)
    }

    /// The subject is what the predicate says: else a grant could be about one thing and say another.
    pub(crate) fn check_subjects(&self, subjects: &[Subject]) -> Result<(), ShapeError> {
        let own = self.subject();
        match subjects {
            [one] if one.digests == own => Ok(()),
            _ => {
                let digest = own.first().map(|d| d.to_string()).unwrap_or_default();
                Err(ShapeError::new("subject", &format!("{digest} alone"), "others"))
            }
        }
    }

    /// What the statement is about.
    fn subject(&self) -> DigestSet {
        self.artifact.clone().unwrap_or_else(|| Digest::sha256(self.id.as_bytes())).into()
    }

    /// The predicate.
    #[must_use]
    pub fn to_json(&self) -> Object {
        let mut object =
            Object::new().with("id", self.id.as_str()).with("environment", self.environment.as_str());
        object.set_some("artifact", self.artifact.as_ref().map(Digest::to_string));
        object.set_some("requester", self.requester.as_deref());
        object.set("reason", self.reason.as_str());
        object.set("ticket", self.ticket.as_str());
        object.with("issuedOn", self.issued.to_string()).with("expiresOn", self.expires.to_string())
    }

    /// The grant, signed: a bundle. It holds only where the key is a person's who may give it; that is for the policy
    /// to say, not for the writer.
    ///
    /// # Errors
    /// [`GrantError`] where a reader would refuse it, or the key cannot sign.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Json, GrantError> {
        let statement = Statement::write(&self.id, &self.subject(), BREAKGLASS, self.to_json());
        Statement::parse(statement.as_bytes()).map_err(GrantError::Malformed)?;
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[signer]).map_err(GrantError::Sign)?;
        Ok(Bundle::write(&dsse, &signer.public().id(), &[]))
    }
}

fn is_id(id: &str) -> bool {
    let is_known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(is_known)
}

fn text(object: &Object, key: &str) -> Result<String, ShapeError> {
    let text = object.string(key)?;
    if text.trim().is_empty() || text.len() > MAX_TEXT {
        return Err(ShapeError::new(key, "1 to 2000 characters", &format!("{}", text.len())));
    }
    Ok(text.to_owned())
}

fn time(object: &Object, key: &str) -> Result<Timestamp, ShapeError> {
    let text = object.string(key)?;
    parse_time(text).ok_or_else(|| ShapeError::new(key, "an RFC 3339 time in UTC, ending in Z", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Predicate;

    fn grant() -> Grant {
        Grant {
            id: "inc-1".to_owned(),
            environment: "prod/shop".to_owned(),
            artifact: None,
            requester: None,
            reason: "checkout is down".to_owned(),
            ticket: "INC-1".to_owned(),
            issued: "2026-11-22T09:00:00Z".parse().unwrap(),
            expires: "2026-11-22T11:00:00Z".parse().unwrap(),
        }
    }

    fn parse(grant: &Grant, subject: &DigestSet) -> Result<Statement, StatementError> {
        Statement::parse(Statement::write("x", subject, BREAKGLASS, grant.to_json()).as_bytes())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let one =
            Grant { artifact: Some(Digest::sha256(b"shop")), requester: Some("bob@x".into()), ..grant() };
        for grant in [grant(), one] {
            let statement = parse(&grant, &grant.subject()).unwrap();
            assert_eq!(statement.predicate, Predicate::Breakglass(Box::new(grant)));
        }
    }

    #[test]
    fn a_grant_about_one_thing_that_says_another_is_malformed() {
        let one = Grant { artifact: Some(Digest::sha256(b"shop")), ..grant() };
        let other: DigestSet = Digest::sha256(b"other").into();
        for (grant, subject) in [(&one, &other), (&one, &grant().subject()), (&grant(), &one.subject())] {
            let error = parse(grant, subject).unwrap_err().to_string();
            assert!(error.starts_with("subject: wanted sha256:"), "{error}");
        }
    }

    #[test]
    fn a_grant_without_end_reason_or_name_is_malformed() {
        let bad = [
            (Grant { expires: grant().issued, ..grant() }, "expiresOn"),
            (Grant { reason: "  ".to_owned(), ..grant() }, "reason"),
            (Grant { ticket: String::new(), ..grant() }, "ticket"),
            (Grant { id: "a b".to_owned(), ..grant() }, "id"),
            (Grant { environment: String::new(), ..grant() }, "environment"),
        ];
        for (grant, path) in bad {
            let error = parse(&grant, &grant.subject()).unwrap_err().to_string();
            assert!(error.contains(&format!("predicate.{path}: wanted")), "{error}");
        }
    }

    #[test]
    fn a_grant_that_says_no_reason_or_no_ticket_is_malformed() {
        for key in ["reason", "ticket"] {
            let mut predicate = grant().to_json();
            predicate.remove(key);
            let text = Statement::write("x", &grant().subject(), BREAKGLASS, predicate);
            let error = Statement::parse(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, format!("predicate.{key}: wanted a string, found nothing"));
        }
    }
}
