//! `portcullis attest …`: state a fact about an artifact or a commit, signed.

use std::path::PathBuf;

use attest::bundle::Bundle;
use attest::claims::{
    RELEASE, Release, Scan, Severity, TEST_RESULT, TestOutcome, TestResult, VULNS, Vulnerability,
};
use attest::dsse::{Dsse, IN_TOTO};
use attest::time::parse_time;
use attest::{DigestSet, Json, Object, Statement};
use clap::ValueEnum;

use crate::clock;
use crate::command::{attest_build, attest_review};
use crate::failure::{Exit, Failure};
use crate::input::{self, Unlock};
use crate::keys;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Build(attest_build::Args),
    Review(attest_review::Args),
    /// Tests ran
    #[command(after_help = "Example:
  portcullis attest test ./shop --name unit --result passed --key ci.key")]
    Test {
        /// The tests' name, as policies ask for it
        #[arg(long = "name", value_name = "NAME", required = true)]
        names: Vec<String>,
        /// How they ended
        #[arg(long, value_enum)]
        result: TestWord,
        /// A test that failed; may be given more than once
        #[arg(long = "failed", value_name = "TEST")]
        failed: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// A scanner looked for known vulnerabilities
    #[command(after_help = "Example:
  portcullis attest scan ./shop --scanner https://osv.dev --database 2026-11-22T06:00:00Z \\
      --vulnerability CVE-2026-1234=medium --key scanner.key")]
    Scan {
        /// Which scanner
        #[arg(long, value_name = "URI")]
        scanner: String,
        /// When its database was updated
        #[arg(long, value_name = "TIME")]
        database: Option<String>,
        /// What it found: ID=SEVERITY; may be given more than once
        #[arg(long = "vulnerability", value_name = "ID=SEVERITY")]
        vulnerabilities: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// An artifact is released for environments
    #[command(after_help = "Example:
  portcullis attest release ./shop --purl pkg:generic/shop@1.4.2 --for prod --key releaser.key")]
    Release {
        /// The package URL, with its version
        #[arg(long, value_name = "PURL")]
        purl: String,
        /// The environment; may be given more than once
        #[arg(long = "for", value_name = "ENVIRONMENT", required = true)]
        environments: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
}

/// What every fact has.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// What it is about: a file, sha256:HEX, or gitCommit:HEX
    subject: String,
    #[command(flatten)]
    signing: Signing,
}

/// Who signs, when, and into which file.
#[derive(Debug, clap::Args)]
pub(crate) struct Signing {
    /// The key that signs: a file, or a pkcs11: URI
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// Where the bundle goes; SUBJECT.KIND.json without
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// When it happened; now without
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    unlock: Unlock,
}

impl Signing {
    /// When it happened, as it was given.
    pub(crate) fn at(&self) -> Option<&str> {
        self.at.as_deref()
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TestWord {
    Passed,
    Warned,
    Failed,
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    let (kind, predicate_type, predicate, common) = match command {
        Command::Build(args) => return attest_build::run(args, output),
        Command::Review(args) => return attest_review::run(args, output),
        Command::Test { names, result, failed, common } => {
            if names.iter().any(String::is_empty)
                || (matches!(result, TestWord::Passed) && !failed.is_empty())
            {
                return Err(Failure::new("the fact contradicts itself")
                    .line("wanted", "a name, and failed tests only where the result is not passed")
                    .line("fix", "correct --name, --result or --failed"));
            }
            let result = match result {
                TestWord::Passed => TestOutcome::Pass,
                TestWord::Warned => TestOutcome::Warn,
                TestWord::Failed => TestOutcome::Fail,
            };
            let test = TestResult { names: names.clone(), result, failed: failed.clone(), of: None };
            ("test", TEST_RESULT, test.to_json(), common)
        }
        Command::Scan { scanner, database, vulnerabilities, common } => {
            let scan = Scan {
                scanner: scanner.clone(),
                finished: clock::now(common.signing.at())?,
                database_updated: database.as_deref().map(read_time).transpose()?,
                vulnerabilities: vulnerabilities
                    .iter()
                    .map(|v| read_vulnerability(v))
                    .collect::<Result<_, _>>()?,
            };
            ("scan", VULNS, scan.to_json(), common)
        }
        Command::Release { purl, environments, common } => {
            let release = Release { purl: purl.clone(), environments: environments.clone() };
            ("release", RELEASE, release.to_json(), common)
        }
    };
    let out = write(kind, predicate_type, predicate, &common.subject, &common.signing)?;
    output.result(&format!("{}\n", out.display()), || {
        Json::from(Object::new().with("bundle", out.display().to_string()))
    });
    Ok(Exit::Clean)
}

fn read_time(text: &str) -> Result<jiff::Timestamp, Failure> {
    parse_time(text).ok_or_else(|| {
        Failure::new("the time cannot be read")
            .line("wanted", "a time in UTC, as in 2026-11-22T09:00:00Z")
            .line("found", text)
    })
}

fn read_vulnerability(text: &str) -> Result<Vulnerability, Failure> {
    let parsed = text.split_once('=').and_then(|(id, word)| Some((id, Severity::parse(word)?)));
    match parsed {
        Some((id, severity)) if !id.is_empty() => Ok(Vulnerability { id: id.to_owned(), severity }),
        _ => Err(Failure::new("the vulnerability cannot be read")
            .line("wanted", "ID=SEVERITY, with none, low, medium, high or critical")
            .line("found", text)),
    }
}

/// Signs what is said of a subject, and writes it to a file that was not there before.
pub(crate) fn write(
    kind: &str,
    predicate_type: &str,
    predicate: Object,
    subject: &str,
    signing: &Signing,
) -> Result<PathBuf, Failure> {
    let digests: DigestSet = input::digests(subject, &[])?;
    let out = match (&signing.out, subject.contains(':')) {
        (Some(out), _) => out.clone(),
        (None, false) => PathBuf::from(format!("{subject}.{kind}.json")),
        (None, true) => {
            return Err(Failure::new("nothing says where the bundle goes").line("fix", "give --out FILE"));
        }
    };
    let key = input::secret_key(&signing.key, &signing.unlock)?;
    let name = subject.rsplit('/').next().unwrap_or(subject);
    let statement = Statement::write(name, &digests, predicate_type, predicate);
    Statement::parse(statement.as_bytes())
        .map_err(|e| Failure::new("the fact cannot be stated").line("found", &e.to_string()))?;
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[key.as_ref()])
        .map_err(|e| Failure::new("the fact cannot be signed").line("found", &e.to_string()))?;
    let bundle = Bundle::write(&dsse, &key.public().id(), &[]);
    if out.exists() {
        return Err(Failure::new(&format!("{} is there already", out.display()))
            .line("fix", "name another file: --out FILE; nothing is overwritten"));
    }
    keys::write(&out, &format!("{bundle}\n"))?;
    Ok(out)
}
