//! A test's result as the orchestrator derived it.

use attest::claims::{TEST_RESULT, TestOutcome, TestResult};
use attest::json::{ShapeError, each};
use attest::provenance::Isolation;
use attest::time::parse_time;
use attest::{Digest, DigestSet, Json, Object, Statement};
use jiff::Timestamp;

const FIELDS: [&str; 15] = [
    "test",
    "artifact",
    "digest",
    "definition",
    "repository",
    "commit",
    "target",
    "command",
    "outcome",
    "passed",
    "failed",
    "isolation",
    "invocation",
    "started",
    "finished",
];

/// One test on one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRecord {
    /// The test, as the definition calls it and policies ask for it.
    pub test: String,
    /// The artifact's name.
    pub artifact: String,
    /// Its digest.
    pub digest: Digest,
    /// The repository whose build it is.
    pub repository: String,
    /// The commit.
    pub commit: Digest,
    /// The target.
    pub target: String,
    /// The digest of the definition and lock file that say what the test is.
    pub definition: Digest,
    /// The command.
    pub command: Vec<String>,
    /// The result.
    pub outcome: TestOutcome,
    /// How many passed.
    pub passed: u64,
    /// Which failed.
    pub failed: Vec<String>,
    /// The last lines that it printed, for people: they are not signed.
    pub output: String,
    /// What held of the sandbox.
    pub isolation: Option<Isolation>,
    /// The run.
    pub invocation: String,
    /// When it began and ended.
    pub times: (Timestamp, Timestamp),
}

impl TestRecord {
    /// The form in which it goes to the signer.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut object = Object::new()
            .with("test", self.test.as_str())
            .with("artifact", self.artifact.as_str())
            .with("digest", self.digest.to_string())
            .with("definition", self.definition.to_string())
            .with("repository", self.repository.as_str())
            .with("commit", self.commit.to_string())
            .with("target", self.target.as_str())
            .with("command", self.command.clone())
            .with("outcome", if self.outcome == TestOutcome::Pass { "passed" } else { "failed" })
            .with("passed", i64::try_from(self.passed).unwrap_or(i64::MAX))
            .with("failed", self.failed.clone());
        object.set_some("isolation", self.isolation.as_ref().map(Isolation::to_json));
        object
            .with("invocation", self.invocation.as_str())
            .with("started", self.times.0.to_string())
            .with("finished", self.times.1.to_string())
            .into()
    }

    /// Reads it back, strictly.
    ///
    /// # Errors
    /// [`ShapeError`] for another shape.
    pub fn read(json: &Json) -> Result<Self, ShapeError> {
        let object = json.as_object()?;
        if let Some((unknown, _)) = object.iter().find(|(k, _)| !FIELDS.contains(k)) {
            return Err(ShapeError::new("", "the fields of a test result alone", unknown));
        }
        let text = |key: &str| object.string(key).map(str::to_owned);
        let words = |key: &str| each(key, object.array(key)?, |w| w.as_str().map(str::to_owned));
        let digest = |key: &str| {
            Digest::parse(object.string(key)?).map_err(|e| ShapeError::new(key, "a digest", &e.to_string()))
        };
        let time = |key: &str| {
            let text = object.string(key)?;
            parse_time(text).ok_or_else(|| ShapeError::new(key, "a time in UTC", text))
        };
        let outcome = match object.string("outcome")? {
            "passed" => TestOutcome::Pass,
            "failed" => TestOutcome::Fail,
            other => return Err(ShapeError::new("outcome", "passed or failed", other)),
        };
        Ok(Self {
            test: text("test")?,
            artifact: text("artifact")?,
            digest: digest("digest")?,
            definition: digest("definition")?,
            repository: text("repository")?,
            commit: digest("commit")?,
            target: text("target")?,
            command: words("command")?,
            outcome,
            passed: u64::try_from(object.int("passed")?).unwrap_or(0),
            failed: words("failed")?,
            output: String::new(),
            isolation: Isolation::read(object.optional_object("isolation")?)?,
            invocation: text("invocation")?,
            times: (time("started")?, time("finished")?),
        })
    }

    /// The statement that a signer of this id and version signs: in-toto's test result, with what was tested, how, and
    /// by which definition.
    pub(crate) fn statement(&self, builder_id: &str, version: &str) -> String {
        let result = TestResult {
            names: vec![self.test.clone()],
            result: self.outcome,
            failed: self.failed.clone(),
            of: None,
        };
        let mut predicate = result.to_json();
        let run = Object::new()
            .with("builder", Object::new().with("id", builder_id).with("version", version))
            .with(
                "source",
                Object::new()
                    .with("repository", self.repository.as_str())
                    .with("commit", self.commit.to_string()),
            )
            .with("target", self.target.as_str())
            .with("definition", self.definition.to_string())
            .with("command", self.command.clone())
            .with("passed", i64::try_from(self.passed).unwrap_or(i64::MAX))
            .with("invocation", self.invocation.as_str())
            .with("started", self.times.0.to_string())
            .with("finished", self.times.1.to_string());
        let isolation = self.isolation.as_ref().map(Isolation::to_json);
        predicate.set("portcullis_run", isolation.into_iter().fold(run, |run, i| run.with("isolation", i)));
        Statement::write(&self.artifact, &DigestSet::from(self.digest.clone()), TEST_RESULT, predicate)
    }
}
