//! What a build leaves in its folder.

use std::fs;
use std::path::{Path, PathBuf};

use attest::claims::TestOutcome;
use attest::{Digest, Json, Object};
use builder::{BuildRecord, TestRecord};

use crate::failure::Failure;
use crate::keys;

/// One artifact with what is said of it.
pub(crate) struct Published {
    /// The artifact.
    pub(crate) artifact: PathBuf,
    /// Its provenance.
    pub(crate) bundle: PathBuf,
    /// The bundle's digest.
    pub(crate) digest: Digest,
    /// Its test results.
    pub(crate) tests: Vec<PublishedTest>,
    is_cached: bool,
}

/// One test result.
pub(crate) struct PublishedTest {
    /// Where it is.
    pub(crate) bundle: PathBuf,
    /// What it says.
    pub(crate) outcome: TestOutcome,
    test: String,
    failed: Vec<String>,
    output: String,
}

impl Published {
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n", self.artifact.display(), self.bundle.display());
        for test in &self.tests {
            let word = if test.outcome == TestOutcome::Pass { "passed" } else { "FAILED" };
            text.push_str(&format!("{}  {} {word}\n", test.bundle.display(), test.test));
            test.failed.iter().for_each(|f| text.push_str(&format!("    {f}\n")));
            if !test.output.is_empty() {
                text.push_str(&format!("    its last lines:\n{}", test.output));
            }
        }
        text
    }

    pub(super) fn to_json(&self) -> Json {
        let test = |t: &PublishedTest| {
            let word = if t.outcome == TestOutcome::Pass { "passed" } else { "failed" };
            let object = Object::new().with("test", t.test.as_str()).with("result", word);
            let mut object = object.with("failed", t.failed.clone());
            object.set_some("output", Some(t.output.as_str()).filter(|output| !output.is_empty()));
            Json::from(object.with("bundle", t.bundle.display().to_string()))
        };
        Object::new()
            .with("artifact", self.artifact.display().to_string())
            .with("bundle", self.bundle.display().to_string())
            .with("cached", self.is_cached)
            .with("tests", Json::Array(self.tests.iter().map(test).collect()))
            .into()
    }
}

/// What is said of one output.
pub(crate) struct Signed<'a> {
    pub(crate) record: &'a BuildRecord,
    pub(crate) bundle: Json,
    pub(crate) token: Option<String>,
    pub(crate) tests: Vec<(&'a TestRecord, Json)>,
}

impl Signed<'_> {
    /// The bundle as it is written.
    pub(crate) fn text(&self) -> String {
        format!("{}\n", self.bundle)
    }
}

/// The bundles first, then the artifact: no artifact is ever visible without its provenance.
pub(crate) fn publish(out: &Path, file: &Path, signed: &Signed<'_>) -> Result<Published, Failure> {
    let Signed { record, token, tests, .. } = signed;
    let artifact = out.join(&record.name);
    let text = signed.text();
    let bundle_path = out.join(format!("{}.sigstore.json", record.name));
    let temporary = out.join(format!(".{}.{}.tmp", record.name, std::process::id()));
    let failed = |e| Failure::io("write", &artifact, &e);
    let copied = fs::copy(file, &temporary).and_then(|_| fs::File::open(&temporary)?.sync_all());
    let written = copied.map_err(failed).and_then(|()| keys::write(&bundle_path, &text));
    let written = written.and_then(|()| match token {
        Some(token) => {
            keys::write(&out.join(format!("{}.provenance.jwt", record.name)), &format!("{token}\n"))
        }
        None => Ok(()),
    });
    let tests = written.and_then(|()| {
        tests.iter().map(|(t, bundle)| publish_test(out, t, bundle)).collect::<Result<Vec<_>, _>>()
    });
    let moved = tests.and_then(|tests| fs::rename(&temporary, &artifact).map_err(failed).map(|()| tests));
    if moved.is_err() {
        fs::remove_file(&temporary).ok();
    }
    Ok(Published {
        artifact,
        bundle: bundle_path,
        digest: Digest::sha256(text.as_bytes()),
        tests: moved?,
        is_cached: record.provenance.cached_from.is_some(),
    })
}

fn publish_test(out: &Path, record: &TestRecord, bundle: &Json) -> Result<PublishedTest, Failure> {
    let path = out.join(format!("{}.{}.test.sigstore.json", record.artifact, file_word(&record.test)));
    keys::write(&path, &format!("{bundle}\n"))?;
    Ok(PublishedTest {
        bundle: path,
        outcome: record.outcome,
        test: record.test.clone(),
        failed: record.failed.clone(),
        output: record.output.clone(),
    })
}

/// A rebuilder's provenance, beside no artifact: it is about the one that was shipped.
pub(crate) fn publish_vote(out: &Path, name: &str, bundle: &Json) -> Result<PathBuf, Failure> {
    let path = out.join(format!("{name}.rebuild.sigstore.json"));
    keys::write(&path, &format!("{bundle}\n"))?;
    Ok(path)
}

/// The record of a failure, under a name that no artifact has.
pub(super) fn publish_failure(out: &Path, target: &str, bundle: &Json) -> Result<PathBuf, Failure> {
    let path = out.join(format!("{}.failed.sigstore.json", file_word(target)));
    keys::write(&path, &format!("{bundle}\n"))?;
    Ok(path)
}

/// A name that a file can have.
fn file_word(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    name.trim_start_matches(['/', '.']).chars().map(plain).collect()
}
