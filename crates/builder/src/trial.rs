//! Tests are builds: declared tests run in the same sandbox, on the artifacts that were built. The orchestrator derives
//! the result; the test's own word for it counts only where it is worse.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use attest::claims::TestOutcome;
use attest::provenance::Isolation;
use jiff::Timestamp;

use crate::collect::{self, Output};
use crate::definition::Test;
use crate::git::{GitError, Resolved};
use crate::image::layout;
use crate::orchestrate::BuildError;
use crate::plan::Plan;
use crate::record::TestRecord;
use crate::root;
use crate::sandbox::{BuildUser, Sandbox, SandboxError, Tier, Variation, clear};
use crate::stage::{Stage, check_out};
use crate::store::Store;

pub(crate) mod junit;

/// A report that is larger is no report.
const MAX_REPORT: u64 = 32 << 20;

/// Where tests run.
pub(crate) struct Bench<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) resolved: &'a Resolved,
    pub(crate) stage: &'a Stage,
    pub(crate) tier: Tier,
    pub(crate) runsc: Option<&'a Path>,
    pub(crate) user: Option<&'a BuildUser>,
    pub(crate) work: &'a Path,
    pub(crate) outputs: &'a [Output],
    pub(crate) invocation: &'a str,
    pub(crate) isolation: Option<&'a Isolation>,
    /// The image that was built, where a test runs in it.
    pub(crate) image: Option<&'a Unpacked>,
}

/// An image as a root file system.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) root: root::Root,
    /// What it gives its process.
    pub(crate) environment: Vec<(String, String)>,
}

impl Unpacked {
    /// The image as a root, read back as anybody would who runs it.
    pub(crate) fn new(output: &Output, store: &Store) -> Result<Self, BuildError> {
        let archive = (output.digest.clone(), output.file.clone());
        let root = root::prepare(store, &[archive], &[]).map_err(BuildError::Root)?;
        let environment =
            layout::environment(&output.file).map_err(|why| BuildError::Output(output.name.clone(), why))?;
        Ok(Self { root, environment })
    }
}

impl Bench<'_> {
    /// A record for each test and artifact.
    pub(crate) fn run_all(&self, now: &impl Fn() -> Timestamp) -> Result<Vec<TestRecord>, BuildError> {
        let artifacts = self.work.join("artifacts");
        let failed = |e| BuildError::Io(artifacts.clone(), e);
        fs::create_dir_all(&artifacts).map_err(failed)?;
        for output in self.outputs {
            fs::copy(&output.file, artifacts.join(&output.name)).map_err(failed)?;
        }
        let mut records = Vec::new();
        let source = self.resolved.source();
        let commit = source.commit().ok_or(BuildError::Git(GitError::Output("commit")))?;
        for (name, test) in &self.plan.tests {
            let started = now();
            let verdict = self.run(name, test, &artifacts)?;
            let record = |output: &Output| TestRecord {
                test: name.clone(),
                artifact: output.name.clone(),
                digest: output.digest.clone(),
                definition: self.plan.definition.clone(),
                repository: source.repository.clone(),
                commit: commit.clone(),
                target: self.plan.name.clone(),
                command: test.action.command.clone(),
                outcome: verdict.outcome,
                passed: verdict.passed,
                failed: verdict.failed.clone(),
                output: verdict.output.clone(),
                isolation: self.isolation.cloned(),
                invocation: self.invocation.to_owned(),
                times: (started, now()),
            };
            records.extend(self.outputs.iter().map(record));
        }
        Ok(records)
    }

    fn run(&self, name: &str, test: &Test, artifacts: &Path) -> Result<Verdict, BuildError> {
        let tree = self.work.join("src");
        check_out(self.resolved, &tree, self.user)?;
        let log = self.work.join("test.log");
        let image = self.image.filter(|_| test.is_in_image);
        let own = &test.action.environment;
        let environment = image.map_or_else(
            || self.plan.environment(own),
            |image| overlaid(self.plan.environment(&[]), image.environment.iter().chain(own)),
        );
        let sandbox = Sandbox {
            tier: self.tier,
            runsc: self.runsc,
            root: image.map_or(self.stage.root.path(), |i| i.root.path()),
            source: &tree,
            inputs: self.stage.inputs.as_deref(),
            artifacts: Some(artifacts),
            command: &test.action.command,
            environment: &environment,
            limits: &test.action.limits,
            user: self.user,
            variation: &Variation::default(),
            log: &log,
        };
        let ran = sandbox.run();
        let report = test.junit.as_ref().map(|path| read_report(&tree, path));
        clear(&tree).ok();
        let status = match ran {
            Ok(()) => None,
            Err(SandboxError::Setup(what, e)) => {
                return Err(BuildError::Io(
                    self.work.to_owned(),
                    std::io::Error::other(format!("{what}: {e}")),
                ));
            }
            // a test that fails is a result; a sandbox that fails is none
            Err(e @ (SandboxError::NotInstalled(_) | SandboxError::StillRunning)) => {
                return Err(BuildError::Io(self.work.to_owned(), std::io::Error::other(e.to_string())));
            }
            Err(e) => Some(e),
        };
        let mut verdict = judge(name, status.as_ref().map(SandboxError::of_test).as_deref(), report);
        if let Some(SandboxError::Failed { output, .. }) = status {
            verdict.output = output;
        }
        Ok(verdict)
    }
}

/// Each variable once, as it was said last.
fn overlaid<'a>(
    fixed: Vec<(String, String)>,
    more: impl Iterator<Item = &'a (String, String)>,
) -> Vec<(String, String)> {
    let mut all: std::collections::BTreeMap<String, String> = fixed.into_iter().collect();
    all.extend(more.cloned());
    all.into_iter().collect()
}

/// What a test gave.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    outcome: TestOutcome,
    passed: u64,
    failed: Vec<String>,
    /// The last lines that it printed, for people; not recorded.
    output: String,
}

fn read_report(tree: &Path, path: &str) -> Result<junit::Report, String> {
    let mut text = String::new();
    let file = collect::open(tree, path)?;
    file.take(MAX_REPORT).read_to_string(&mut text).map_err(|e| e.to_string())?;
    junit::parse(&text)
}

/// Passed means: the command ended with 0, and the report, where one is declared, is there, has tests, and none failed.
fn judge(name: &str, status: Option<&str>, report: Option<Result<junit::Report, String>>) -> Verdict {
    let mut failed = Vec::new();
    if let Some(status) = status {
        failed.push(format!("{name}: {status}"));
    }
    let mut passed = u64::from(status.is_none() && report.is_none());
    match report {
        Some(Ok(report)) if report.passed == 0 && report.failed.is_empty() => {
            failed.push(format!("{name}: its report lists no test"));
        }
        Some(Ok(report)) => {
            passed = report.passed;
            failed.extend(report.failed);
        }
        Some(Err(why)) => failed.push(format!("{name}: its report cannot be read: {why}")),
        None => {}
    }
    let outcome = if failed.is_empty() { TestOutcome::Pass } else { TestOutcome::Fail };
    failed.truncate(100);
    Verdict { outcome, passed, failed, output: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_needs_the_status_and_the_report() {
        let report = |passed, failed: &[&str]| {
            Some(Ok(junit::Report { passed, failed: failed.iter().map(|f| (*f).to_owned()).collect() }))
        };
        assert_eq!(judge("unit", None, None).outcome, TestOutcome::Pass);
        assert_eq!(
            judge("unit", None, report(3, &[])),
            Verdict { outcome: TestOutcome::Pass, passed: 3, failed: Vec::new(), output: String::new() }
        );
        for (status, report, why) in [
            (Some("status 1"), None, "status 1"),
            (Some("status 1"), report(3, &[]), "status 1"),
            (None, report(3, &["a.b"]), "a.b"),
            (None, report(0, &[]), "no test"),
            (None, Some(Err("it is not there".to_owned())), "not there"),
        ] {
            let verdict = judge("unit", status, report);
            assert_eq!(verdict.outcome, TestOutcome::Fail);
            assert!(verdict.failed[0].contains(why), "{verdict:?}");
        }
    }
}
