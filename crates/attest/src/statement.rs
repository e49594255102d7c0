//! in-toto statements: subjects, and what is said of every one of them.

use crate::breakglass::{BREAKGLASS, BREAKGLASS_REVIEW, Grant, GrantReview};
use crate::claims::{self, Import, Release, Review, Scan, Summary, TestResult};
use crate::digest::{Digest, DigestSet};
use crate::json::{self, Json, JsonError, Limits, Object, ShapeError, each};
use crate::provenance::{NPM_PUBLISH, PYPI_PUBLISH, Provenance, SLSA_V01, SLSA_V1, SLSA_V02, read_publish};

/// The statement type that is written.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";
const STATEMENT_V01: &str = "https://in-toto.io/Statement/v0.1";
/// GitHub's bound.
const MAX_SUBJECTS: usize = 1024;

/// A statement: parsed, and authentic only inside an `Attestation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The artifacts it is about, at least one.
    pub subjects: Vec<Subject>,
    /// The type of the predicate, compared as an opaque text.
    pub predicate_type: String,
    /// What is said.
    pub predicate: Predicate,
}

/// One subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// A name for people; never decides.
    pub name: String,
    /// What identifies it.
    pub digests: DigestSet,
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// How it was built.
    Provenance(Box<Provenance>),
    /// A test's result.
    Test(TestResult),
    /// A scan's result.
    Scan(Scan),
    /// A release.
    Release(Release),
    /// A review.
    Review(Review),
    /// Packages of others that were reviewed before they were taken in.
    Import(Import),
    /// A verifier's summary.
    Summary(Summary),
    /// A person's word that a policy may be bypassed. It vouches for nothing: no rule reads it.
    Breakglass(Box<Grant>),
    /// A second person's word about what a grant let in. It vouches for nothing either.
    BreakglassReview(Box<GrantReview>),
    /// A signature over the bytes and nothing more: the chapter's simplest evidence.
    Signature,
    /// A predicate that no rule reads, as it was signed: a list of parts, say.
    Other(Box<Object>),
}

impl Predicate {
    /// What kind of fact it is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Provenance(_) => "provenance",
            Self::Test(_) => "test result",
            Self::Scan(_) => "scan",
            Self::Release(_) => "release",
            Self::Review(_) => "review",
            Self::Import(_) => "review of imports",
            Self::Summary(_) => "verification summary",
            Self::Breakglass(_) => "breakglass grant",
            Self::BreakglassReview(_) => "breakglass review",
            Self::Signature => "signature",
            Self::Other(_) => "statement",
        }
    }
}

/// Why a payload is not a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementError {
    /// Not strict JSON.
    Json(JsonError),
    /// JSON of another shape.
    Shape(ShapeError),
}

impl std::fmt::Display for StatementError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(e) => e.fmt(f),
            Self::Shape(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for StatementError {}
impl From<ShapeError> for StatementError {
    fn from(e: ShapeError) -> Self {
        Self::Shape(e)
    }
}

impl Statement {
    /// Parses the payload of an envelope.
    ///
    /// # Errors
    /// [`StatementError`] with the byte or the path of what is wrong. A predicate type we know must have its shape;
    /// one we do not know is kept as [`Predicate::Other`], which satisfies nothing. Fractions and large integers, which
    /// lists of parts and scores have, are kept as their text: nothing that reads a number takes one.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let value = json::parse_with(payload, Limits::default().exact()).map_err(StatementError::Json)?;
        Ok(Self::read(value.as_object()?)?)
    }

    fn read(object: &Object) -> Result<Self, ShapeError> {
        let kind = object.string("_type")?;
        if kind != STATEMENT_V1 && kind != STATEMENT_V01 {
            return Err(ShapeError::new("_type", STATEMENT_V1, kind));
        }
        let subjects = object.array("subject")?;
        if subjects.is_empty() || subjects.len() > MAX_SUBJECTS {
            let found = subjects.len().to_string();
            return Err(ShapeError::new("subject", "1 to 1024 subjects", &found));
        }
        let predicate_type = object.string("predicateType")?;
        let empty = Object::new();
        let body = object.optional_object("predicate")?.unwrap_or(&empty);
        let subjects = each("subject", subjects, Subject::read)?;
        let mut predicate =
            read_predicate(predicate_type, body, &subjects).map_err(|e| e.within("predicate"))?;
        if let Predicate::Summary(summary) = &mut predicate {
            summary.source_refs =
                Summary::read_source_refs(object.array("subject")?).map_err(|e| e.within("subject"))?;
        }
        if let Predicate::Breakglass(grant) = &predicate {
            grant.check_subjects(&subjects)?;
        }
        Ok(Self { subjects, predicate_type: predicate_type.to_owned(), predicate })
    }

    /// The statement that says `predicate` of one artifact.
    #[must_use]
    pub fn write(name: &str, digests: &DigestSet, predicate_type: &str, predicate: Object) -> String {
        Self::write_all(&[(name, digests)], predicate_type, predicate)
    }

    /// The statement that says `predicate` of several artifacts, each with its name.
    #[must_use]
    pub fn write_all(subjects: &[(&str, &DigestSet)], predicate_type: &str, predicate: Object) -> String {
        let subject = |(name, digests): &(&str, &DigestSet)| {
            Json::from(Object::new().with("name", *name).with("digest", digests.to_json()))
        };
        Object::new()
            .with("_type", STATEMENT_V1)
            .with("subject", Json::Array(subjects.iter().map(subject).collect()))
            .with("predicateType", predicate_type)
            .with("predicate", predicate)
            .to_string()
    }

    /// The statement that a bare signature over bytes amounts to.
    pub(crate) fn of_signature(digest: Digest) -> Self {
        Self {
            subjects: vec![Subject { name: String::new(), digests: digest.into() }],
            predicate_type: "signature".to_owned(),
            predicate: Predicate::Signature,
        }
    }
}

impl Subject {
    fn read(value: &Json) -> Result<Self, ShapeError> {
        let object = value.as_object()?;
        Ok(Self {
            name: object.optional_string("name")?.unwrap_or_default().to_owned(),
            digests: DigestSet::read(object.object("digest")?).map_err(|e| e.within("digest"))?,
        })
    }
}

fn read_predicate(
    predicate_type: &str,
    body: &Object,
    subjects: &[Subject],
) -> Result<Predicate, ShapeError> {
    Ok(match predicate_type {
        SLSA_V1 => Predicate::Provenance(Box::new(Provenance::from_slsa_v1(body)?)),
        SLSA_V02 => Predicate::Provenance(Box::new(Provenance::from_slsa_v02(body)?)),
        SLSA_V01 => Predicate::Provenance(Box::new(Provenance::from_slsa_v01(body)?)),
        PYPI_PUBLISH => Predicate::Provenance(Box::new(Provenance::of_pypi())),
        NPM_PUBLISH => Predicate::Release(read_publish(body, subjects)?),
        claims::TEST_RESULT => Predicate::Test(TestResult::read(body)?),
        claims::VULNS | claims::VULNS_V01 => Predicate::Scan(Scan::read(body)?),
        claims::RELEASE | claims::RELEASE_V02 => Predicate::Release(Release::read(body)?),
        claims::REVIEW => Predicate::Review(Review::read(body)?),
        claims::IMPORT => Predicate::Import(Import::read(body, subjects)?),
        BREAKGLASS => Predicate::Breakglass(Box::new(Grant::read(body)?)),
        BREAKGLASS_REVIEW => Predicate::BreakglassReview(Box::new(GrantReview::read(body, subjects)?)),
        claims::VSA => Predicate::Summary(Summary::read(body)?),
        _ => Predicate::Other(Box::new(body.clone())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(predicate_type: &str, predicate: &str) -> Result<Statement, String> {
        let digest = Digest::sha256(b"shop").hex();
        let text = format!(
            r#"{{"_type":"{STATEMENT_V1}","subject":[{{"name":"shop","digest":{{"sha256":"{digest}"}}}}],
            "predicateType":"{predicate_type}","predicate":{predicate}}}"#
        );
        Statement::parse(text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_list_of_parts_keeps_its_fractions_as_they_are_written() {
        let bom = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"left",
            "evidence":{"identity":{"confidence":0.950}}}],"serial":18446744073709551615}"#;
        let read = statement("https://cyclonedx.org/bom", bom).unwrap();
        let Predicate::Other(body) = &read.predicate else { panic!("{:?}", read.predicate) };
        let text = body.to_string();
        assert!(text.contains(r#""confidence":0.950"#) && text.contains("18446744073709551615"), "{text}");
        assert_eq!(body.string("specVersion").unwrap(), "1.6");
        let twice = bom.replace(r#""specVersion":"1.6""#, r#""bomFormat":"SPDX""#);
        assert!(statement("https://cyclonedx.org/bom", &twice).unwrap_err().contains("duplicate key"));
    }

    #[test]
    fn nothing_that_reads_a_number_takes_a_fraction() {
        let grant = |version: &str| format!(r#"{{"id":{version}}}"#);
        let refused = statement(BREAKGLASS, &grant("1.5")).unwrap_err();
        assert!(refused.contains("a string") && refused.contains("a fraction"), "{refused}");
        let slsa = |parameter: &str| {
            format!(
                r#"{{"buildDefinition":{{"buildType":"https://b.example/t","externalParameters":{{"level":{parameter}}}}},
                "runDetails":{{"builder":{{"id":"https://b.example/1"}}}}}}"#
            )
        };
        // a parameter is compared as its text: two spellings of one number are two parameters
        let level = |parameter: &str| match statement(SLSA_V1, &slsa(parameter)).unwrap().predicate {
            Predicate::Provenance(provenance) => provenance.parameters.get("level").unwrap().to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!((level("1.5"), level("1.50"), level("2")), ("1.5".into(), "1.50".into(), "2".into()));
    }
}
