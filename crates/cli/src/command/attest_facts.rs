//! `portcullis attest …`: state a fact about an artifact or a commit, signed.

mod scan;
mod test;
mod vetted;

pub(crate) use vetted::statement as import_statement;

use std::path::{Path, PathBuf};

use attest::bundle::Bundle;
use attest::claims::{RELEASE, Release};
use attest::dsse::{Dsse, IN_TOTO};
use attest::{DigestSet, Json, Object, Statement};

use crate::command::{attest_build, attest_review};
use crate::failure::{Exit, Failure};
use crate::input::{self, Unlock};
use crate::keys;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Build(attest_build::Args),
    Review(attest_review::Args),
    Test(test::Args),
    Scan(scan::Args),
    Import(vetted::Args),
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

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    let (kind, predicate_type, predicate, common) = match command {
        Command::Build(args) => return attest_build::run(args, output),
        Command::Review(args) => return attest_review::run(args, output),
        Command::Test(args) => return test::run(args, output),
        Command::Scan(args) => return scan::run(args, output),
        Command::Import(args) => return vetted::run(args, output),
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
    let name = subject.rsplit('/').next().unwrap_or(subject);
    let statement = Statement::write(name, &digests, predicate_type, predicate);
    sign(&statement, &signing.key, &signing.unlock, &out)?;
    Ok(out)
}

/// Signs a statement into a file that is not there yet.
pub(crate) fn sign(statement: &str, key: &Path, unlock: &Unlock, out: &Path) -> Result<(), Failure> {
    let key = input::secret_key(key, unlock)?;
    Statement::parse(statement.as_bytes())
        .map_err(|e| Failure::new("the fact cannot be stated").line("found", &e.to_string()))?;
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[key.as_ref()])
        .map_err(|e| Failure::new("the fact cannot be signed").line("found", &e.to_string()))?;
    let bundle = Bundle::write(&dsse, &key.public().id(), &[]);
    if out.exists() {
        return Err(Failure::new(&format!("{} is there already", out.display()))
            .line("fix", "name another file: --out FILE; nothing is overwritten"));
    }
    keys::write(out, &format!("{bundle}\n"))
}
