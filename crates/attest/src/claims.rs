//! The other things that can be said of an artifact or a commit: tests, scans, releases, reviews, summaries.

use jiff::Timestamp;

mod import;

pub use import::{IMPORT, Import, Reviewed};

use crate::digest::{Algorithm, Digest, DigestSet};
use crate::json::{Json, Object, ShapeError, each};
use crate::time::parse_time;

/// in-toto test-result v0.1.
pub const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// in-toto vulns v0.2; v0.1 has the same shape and is read.
pub const VULNS: &str = "https://in-toto.io/attestation/vulns/v0.2";
pub(crate) const VULNS_V01: &str = "https://in-toto.io/attestation/vulns/v0.1";
/// in-toto release v0.1; v0.2 adds a field and is read.
pub const RELEASE: &str = "https://in-toto.io/attestation/release/v0.1";
pub(crate) const RELEASE_V02: &str = "https://in-toto.io/attestation/release/v0.2";
/// Ours: a person, or a forge that saw people do it, approved a commit.
pub const REVIEW: &str = "https://portcullis.dev/review/v1";
/// SLSA verification summary v1.
pub const VSA: &str = "https://slsa.dev/verification_summary/v1";

/// A test ran and gave a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// What the tests are called: the names of the configuration.
    pub names: Vec<String>,
    /// The result.
    pub result: TestOutcome,
    /// The tests that failed.
    pub failed: Vec<String>,
    /// Which build's artifact it was, for a test that a builder ran itself: the same bytes from elsewhere are
    /// another's.
    pub of: Option<TestedBuild>,
}

/// The build whose artifact was tested, where the builder that ran the test says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestedBuild {
    /// The repository.
    pub repository: String,
    /// The commit.
    pub commit: Digest,
}

/// The three results that in-toto knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestOutcome {
    /// All passed.
    Pass,
    /// Passed with warnings; a policy counts it as not passed.
    Warn,
    /// At least one failed.
    Fail,
}

/// A scanner looked for known vulnerabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Which scanner.
    pub scanner: String,
    /// The scanner's version. No rule reads it.
    pub version: Option<String>,
    /// When the scan ended.
    pub finished: Timestamp,
    /// How old the scanner's knowledge was.
    pub database_updated: Option<Timestamp>,
    /// What it found.
    pub vulnerabilities: Vec<Vulnerability>,
}

/// One known vulnerability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vulnerability {
    /// As in `CVE-2026-1234`.
    pub id: String,
    /// The worst of the severities given; critical where none was.
    pub severity: Severity,
}

/// How bad a vulnerability is (CVSS v3 bands).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Score 0.
    Negligible,
    /// Up to 3.9.
    Low,
    /// Up to 6.9.
    Medium,
    /// Up to 8.9.
    High,
    /// 9.0 and above, or unknown.
    Critical,
}

impl Severity {
    /// All, from best to worst.
    pub const ALL: [Self; 5] = [Self::Negligible, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Negligible => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Parses the word, whatever its case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        match word.as_str() {
            "negligible" => Some(Self::Negligible),
            "moderate" => Some(Self::Medium),
            word => Self::ALL.into_iter().find(|s| s.name() == word),
        }
    }

    /// A word or a CVSS score; anything else is critical, since unknown must not read as harmless.
    fn from_score(score: &str) -> Self {
        if let Some(severity) = Self::parse(score) {
            return severity;
        }
        let (whole, fraction) = score.split_once('.').unwrap_or((score, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        match whole.parse::<u8>() {
            Ok(whole) if digits(fraction) && digits(score.split('.').next().unwrap_or_default()) => {
                match whole {
                    0 if fraction.bytes().all(|b| b == b'0') => Self::Negligible,
                    0..=3 => Self::Low,
                    4..=6 => Self::Medium,
                    7 | 8 => Self::High,
                    _ => Self::Critical,
                }
            }
            _ => Self::Critical,
        }
    }
}

/// Somebody released an artifact, for some environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The package, as a package URL.
    pub purl: String,
    /// The environments for which it is allowed.
    pub environments: Vec<String>,
}

impl Release {
    /// The version in the package URL.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let (_, version) = self.purl.rsplit_once('@')?;
        version.split(['?', '#']).next()
    }
}

/// A commit was approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The repository it was approved for: an approval for a fork is none for the original.
    pub repository: String,
    /// The last commit that had been reviewed before; nothing where the whole tree was.
    pub base: Option<String>,
    /// Everybody who wrote or pushed a commit since.
    pub authors: Vec<String>,
    /// Who approved. Where the reviewer's own key signs, the key says who.
    pub reviewers: Vec<String>,
    /// When.
    pub reviewed: Timestamp,
}

/// A verifier summarised its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Who verified.
    pub verifier: String,
    /// For which resource.
    pub resource: String,
    /// Against which policy.
    pub policy_uri: String,
    /// The policy's digest.
    pub policy: DigestSet,
    /// Whether it passed.
    pub passed: bool,
    /// The levels reached.
    pub levels: Vec<String>,
    /// When.
    pub verified: Option<Timestamp>,
    /// The environment that it is for, where the verifier says so. An extension field of ours.
    pub environment: Option<String>,
    /// From when on it says nothing any more. An extension field of ours.
    pub expires: Option<Timestamp>,
    /// The refs at which the commit was, where it is of one commit: they stand at the subject.
    pub source_refs: Vec<String>,
}

pub(crate) fn strings(object: &Object, key: &str) -> Result<Vec<String>, ShapeError> {
    each(key, object.optional_array(key)?, |s| s.as_str().map(str::to_owned))
}

pub(crate) fn time(object: &Object, key: &str) -> Result<Timestamp, ShapeError> {
    let text = object.string(key)?;
    parse_time(text).ok_or_else(|| ShapeError::new(key, "an RFC 3339 time in UTC, ending in Z", text))
}

fn optional_time(object: &Object, key: &str) -> Result<Option<Timestamp>, ShapeError> {
    if object.get(key).is_some() { time(object, key).map(Some) } else { Ok(None) }
}

/// `URI#KEY=VALUE`. Everything in the value that could begin another part of a URI is written as %XX: no two pairs have one
/// text.
fn with_fragment(uri: &str, key: &str, value: &str) -> String {
    let mut whole = format!("{uri}#{key}=");
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            whole.push(char::from(byte));
        } else {
            whole.push_str(&format!("%{byte:02X}"));
        }
    }
    whole
}

impl TestedBuild {
    fn read(run: &Object) -> Result<Option<Self>, ShapeError> {
        let Some(source) = run.optional_object("source")? else { return Ok(None) };
        let commit = source.string("commit")?;
        let commit =
            Digest::parse(commit).map_err(|e| ShapeError::new("commit", "a digest", &e.to_string()))?;
        Ok(Some(Self { repository: source.string("repository")?.to_owned(), commit }))
    }
}

impl TestResult {
    pub(crate) fn read(predicate: &Object) -> Result<Self, ShapeError> {
        let names = each("configuration", predicate.array("configuration")?, |item| {
            item.as_object()?.string("name").map(str::to_owned)
        })?;
        if names.is_empty() {
            return Err(ShapeError::new("configuration", "the name of the tests", "none"));
        }
        let result = match predicate.string("result")? {
            "PASSED" => TestOutcome::Pass,
            "WARNED" => TestOutcome::Warn,
            "FAILED" => TestOutcome::Fail,
            other => return Err(ShapeError::new("result", "PASSED, WARNED or FAILED", other)),
        };
        let of = match predicate.optional_object("portcullis_run")? {
            Some(run) => TestedBuild::read(run).map_err(|e| e.within("portcullis_run"))?,
            None => None,
        };
        Ok(Self { names, result, failed: strings(predicate, "failedTests")?, of })
    }

    /// The predicate.
    #[must_use]
    pub fn to_json(&self) -> Object {
        let name = |n: &String| Json::from(Object::new().with("name", n.as_str()));
        let result = match self.result {
            TestOutcome::Pass => "PASSED",
            TestOutcome::Warn => "WARNED",
            TestOutcome::Fail => "FAILED",
        };
        Object::new()
            .with("result", result)
            .with("configuration", Json::Array(self.names.iter().map(name).collect()))
            .with("failedTests", self.failed.clone())
    }
}

impl Scan {
    pub(crate) fn read(predicate: &Object) -> Result<Self, ShapeError> {
        let scanner = predicate.object("scanner")?;
        let metadata = predicate.object("metadata")?;
        let database = scanner.optional_object("db").map_err(|e| e.within("scanner"))?;
        let updated = match database {
            Some(db) => optional_time(db, "lastUpdate").map_err(|e| e.within("scanner.db"))?,
            None => None,
        };
        // `result` must be there: an empty list says clean, an absent one says nothing
        let results = scanner.array("result").map_err(|e| e.within("scanner"))?;
        Ok(Self {
            scanner: scanner.string("uri").map_err(|e| e.within("scanner"))?.to_owned(),
            version: scanner.optional_string("version").map_err(|e| e.within("scanner"))?.map(str::to_owned),
            finished: time(metadata, "scanFinishedOn").map_err(|e| e.within("metadata"))?,
            database_updated: updated,
            vulnerabilities: each("result", results, Vulnerability::read).map_err(|e| e.within("scanner"))?,
        })
    }

    /// The predicate.
    #[must_use]
    pub fn to_json(&self) -> Object {
        let finding = |v: &Vulnerability| {
            let severity = Object::new().with("method", "severity").with("score", v.severity.name());
            let list = Json::Array(vec![severity.into()]);
            Json::from(Object::new().with("id", v.id.as_str()).with("severity", list))
        };
        let mut database = Object::new();
        database.set_some("lastUpdate", self.database_updated.map(|t| t.to_string()));
        let mut scanner = Object::new().with("uri", self.scanner.as_str());
        scanner.set_some("version", self.version.as_deref());
        let scanner = scanner
            .with("db", database)
            .with("result", Json::Array(self.vulnerabilities.iter().map(finding).collect()));
        let times = Object::new()
            .with("scanStartedOn", self.finished.to_string())
            .with("scanFinishedOn", self.finished.to_string());
        Object::new().with("scanner", scanner).with("metadata", times)
    }
}

impl Vulnerability {
    fn read(value: &Json) -> Result<Self, ShapeError> {
        let object = value.as_object()?;
        let scores = each("severity", object.optional_array("severity")?, |s| {
            s.as_object()?.string("score").map(Severity::from_score)
        })?;
        let severity = scores.into_iter().max().unwrap_or(Severity::Critical);
        Ok(Self { id: object.string("id")?.to_owned(), severity })
    }
}

impl Release {
    pub(crate) fn read(predicate: &Object) -> Result<Self, ShapeError> {
        let environments = strings(predicate, "portcullis_environments")?;
        Ok(Self { purl: predicate.string("purl")?.to_owned(), environments })
    }

    /// The predicate. The environments are an extension field; in-toto's release names none.
    #[must_use]
    pub fn to_json(&self) -> Object {
        Object::new()
            .with("purl", self.purl.as_str())
            .with("portcullis_environments", self.environments.clone())
    }
}

impl Review {
    pub(crate) fn read(predicate: &Object) -> Result<Self, ShapeError> {
        let base = match predicate.optional_string("base")? {
            Some(id) => {
                let digest = Digest::from_hex(Algorithm::GitCommit, id)
                    .map_err(|e| ShapeError::new("base", "a git commit id", &e.to_string()))?;
                Some(digest.hex())
            }
            None => None,
        };
        Ok(Self {
            repository: predicate.string("repository")?.to_owned(),
            base,
            authors: strings(predicate, "authors")?,
            reviewers: strings(predicate, "reviewers")?,
            reviewed: time(predicate, "reviewedOn")?,
        })
    }

    /// The predicate.
    #[must_use]
    pub fn to_json(&self) -> Object {
        let mut object = Object::new().with("repository", self.repository.as_str());
        object.set_some("base", self.base.as_deref());
        object
            .with("authors", self.authors.clone())
            .with("reviewers", self.reviewers.clone())
            .with("reviewedOn", self.reviewed.to_string())
    }
}

impl Summary {
    /// The `resourceUri` of a summary of ours: the artifact's URI and the environment, so that nobody who compares it as a
    /// text takes the summary for one environment for that of another.
    #[must_use]
    pub fn resource_in(uri: &str, environment: &str) -> String {
        with_fragment(uri, "environment", environment)
    }

    /// The policy's URI in a summary of ours: a policy has a name, and its verifier's URI says whose it is.
    #[must_use]
    pub fn policy_in(verifier: &str, policy: &str) -> String {
        with_fragment(verifier, "policy", policy)
    }

    pub(crate) fn read(predicate: &Object) -> Result<Self, ShapeError> {
        let policy = predicate.object("policy")?;
        let digest = policy.optional_object("digest").map_err(|e| e.within("policy"))?;
        Ok(Self {
            verifier: predicate
                .object("verifier")?
                .string("id")
                .map_err(|e| e.within("verifier"))?
                .to_owned(),
            resource: predicate.string("resourceUri")?.to_owned(),
            policy_uri: policy.string("uri").map_err(|e| e.within("policy"))?.to_owned(),
            policy: digest.map(DigestSet::read).transpose()?.unwrap_or_default(),
            passed: Self::read_result(predicate)?,
            levels: strings(predicate, "verifiedLevels")?,
            verified: optional_time(predicate, "timeVerified")?,
            environment: predicate.optional_string("portcullis_environment")?.map(str::to_owned),
            expires: optional_time(predicate, "portcullis_expires")?,
            source_refs: Vec::new(),
        })
    }

    /// The refs at a summary's subject. The specification writes `sourceRefs`, and its tool `source_refs`. Of several
    /// subjects nobody can tell which one was where.
    pub(crate) fn read_source_refs(subjects: &[Json]) -> Result<Vec<String>, ShapeError> {
        let [subject] = subjects else { return Ok(Vec::new()) };
        let Some(annotations) = subject.as_object()?.optional_object("annotations")? else {
            return Ok(Vec::new());
        };
        let mut refs = strings(annotations, "sourceRefs").map_err(|e| e.within("annotations"))?;
        if refs.is_empty() {
            refs = strings(annotations, "source_refs").map_err(|e| e.within("annotations"))?;
        }
        Ok(refs)
    }

    /// The specification calls the field `verificationResult`, and `slsaResult` in some of its examples. What says both must
    /// mean one.
    fn read_result(predicate: &Object) -> Result<bool, ShapeError> {
        let read = |key: &str, text: &str| match text {
            "PASSED" => Ok(true),
            "FAILED" => Ok(false),
            other => Err(ShapeError::new(key, "PASSED or FAILED", other)),
        };
        let Some(other) = predicate.optional_string("slsaResult")? else {
            return read("verificationResult", predicate.string("verificationResult")?);
        };
        let passed = read("slsaResult", other)?;
        match predicate.optional_string("verificationResult")? {
            Some(text) if read("verificationResult", text)? != passed => {
                Err(ShapeError::new("slsaResult", &format!("{text}, as in verificationResult"), other))
            }
            _ => Ok(passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Severity, Summary};
    use crate::json;

    #[test]
    fn two_pairs_of_artifact_and_environment_never_have_one_resource() {
        assert_eq!(
            Summary::resource_in("r.example/shop", "prod/shop"),
            "r.example/shop#environment=prod/shop"
        );
        let one = Summary::resource_in("a#environment=b", "c");
        assert_ne!(one, Summary::resource_in("a", "b#environment=c"));
        assert_eq!(Summary::resource_in("a", "ü %"), "a#environment=%C3%BC%20%25");
    }

    #[test]
    fn both_names_of_the_result_are_read_and_a_contradiction_is_none() {
        let read = |fields: &str| {
            let text = format!(
                r#"{{"verifier":{{"id":"https://v.example"}},"resourceUri":"r","policy":{{"uri":"p"}}{fields}}}"#
            );
            let value = json::parse(text.as_bytes()).unwrap();
            Summary::read(value.as_object().unwrap()).map(|s| s.passed).map_err(|e| e.to_string())
        };
        assert_eq!(read(r#","verificationResult":"PASSED""#), Ok(true));
        assert_eq!(read(r#","slsaResult":"FAILED""#), Ok(false));
        assert_eq!(read(r#","slsaResult":"PASSED","verificationResult":"PASSED""#), Ok(true));
        for wrong in [
            "",
            r#","verificationResult":"passed""#,
            r#","slsaResult":"PASSED","verificationResult":"FAILED""#,
            r#","slsaResult":"PASSED","verificationResult":"MAYBE""#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(r#","slsaResult":"PASSED","portcullis_expires":"tomorrow""#).is_err());
    }

    #[test]
    fn an_unknown_score_is_critical() {
        for (score, severity) in [
            ("0.0", Severity::Negligible),
            ("3.9", Severity::Low),
            ("0.1", Severity::Low),
            ("6.9", Severity::Medium),
            ("HIGH", Severity::High),
            ("9.8", Severity::Critical),
            ("CVSS:3.1/AV:N", Severity::Critical),
            ("", Severity::Critical),
            ("+3.0", Severity::Critical),
            ("3.x", Severity::Critical),
        ] {
            assert_eq!(Severity::from_score(score), severity, "{score}");
        }
    }
}
