//! `portcullis attest test`: tests ran.

use std::path::PathBuf;

use attest::claims::{TEST_RESULT, TestOutcome, TestResult};
use attest::{Json, Object};
use clap::ValueEnum;

use super::{Common, write};
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

/// More failed tests than this are named by their number alone.
const MAX_NAMED: usize = 1000;

/// Tests ran
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis attest test ./shop --name unit --result passed --key ci.key
  portcullis attest test ./shop --name unit --from-junit report.xml --key ci.key")]
pub(crate) struct Args {
    /// The tests' name, as policies ask for it
    #[arg(long = "name", value_name = "NAME", required = true)]
    names: Vec<String>,
    /// How they ended
    #[arg(long, value_enum, required_unless_present = "from_junit", conflicts_with = "from_junit")]
    result: Option<TestWord>,
    /// A test that failed; may be given more than once
    #[arg(long = "failed", value_name = "TEST", conflicts_with = "from_junit")]
    failed: Vec<String>,
    /// How they ended, as a report in JUnit's XML says: passed where at least one ran, and none failed
    #[arg(long, value_name = "FILE")]
    from_junit: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TestWord {
    Passed,
    Warned,
    Failed,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let (result, failed) = match (&args.from_junit, args.result) {
        (Some(path), _) => of_report(path)?,
        (None, Some(TestWord::Warned)) => (TestOutcome::Warn, args.failed.clone()),
        (None, Some(TestWord::Failed)) => (TestOutcome::Fail, args.failed.clone()),
        (None, Some(TestWord::Passed) | None) => (TestOutcome::Pass, args.failed.clone()),
    };
    if args.names.iter().any(String::is_empty) || (result == TestOutcome::Pass && !failed.is_empty()) {
        return Err(Failure::new("the fact contradicts itself")
            .line("wanted", "a name, and failed tests only where the result is not passed")
            .line("fix", "correct --name, --result or --failed"));
    }
    let test = TestResult { names: args.names.clone(), result, failed, of: None };
    let out = write("test", TEST_RESULT, test.to_json(), &args.common.subject, &args.common.signing)?;
    output.result(&format!("{}\n", out.display()), || {
        Json::from(Object::new().with("bundle", out.display().to_string()))
    });
    Ok(Exit::Clean)
}

fn of_report(path: &std::path::Path) -> Result<(TestOutcome, Vec<String>), Failure> {
    let refuse = |why: &str| {
        Failure::new(&format!("the test report {} says nothing", path.display()))
            .line("wanted", "JUnit's XML, with at least one test that ran")
            .line("found", why)
            .line("fix", "give the report that the test runner wrote")
    };
    let report = builder::read_test_report(&input::text("test report", path)?).map_err(|why| refuse(&why))?;
    let failed = report.failed.len();
    if report.passed == 0 && failed == 0 {
        return Err(refuse("no test that ran"));
    }
    let mut named: Vec<String> = report.failed.into_iter().take(MAX_NAMED).collect();
    if failed > MAX_NAMED {
        named.push(format!("and {} more", failed - MAX_NAMED));
    }
    Ok((if failed == 0 { TestOutcome::Pass } else { TestOutcome::Fail }, named))
}
