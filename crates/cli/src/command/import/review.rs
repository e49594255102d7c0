//! `portcullis import review`: somebody looked, and says so with a key.

use std::path::PathBuf;

use attest::claims::{Import, Reviewed};
use attest::{Json, Object};

use super::Place;
use super::shelf::{Package, sha256};
use crate::clock;
use crate::command::attest_facts::{import_statement, sign};
use crate::failure::{Exit, Failure};
use crate::input::Unlock;
use crate::output::Output;

/// Say that you looked at a release, signed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`import diff` prints the command, with the digests of what it showed.

Example:
  portcullis import review pkg:cargo/semver@1.0.27 --sha256 d767… --reviewer bob@acme.example \\
      --approve --key bob.key --out semver.import.json")]
pub(crate) struct Args {
    /// The package URL, with its version
    purl: String,
    /// The SHA-256 of what you looked at
    #[arg(long, value_name = "HEX")]
    sha256: String,
    /// The reviewed release with which you compared it, by its SHA-256; the last one without
    #[arg(long, value_name = "HEX")]
    against: Option<String>,
    /// Who looked
    #[arg(long, value_name = "IDENTITY")]
    reviewer: String,
    /// That it may be used
    #[arg(long, required = true)]
    approve: bool,
    /// The key that signs: a file, or a pkcs11: URI
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// Where the bundle goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    place: Place,
    /// When; now without
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    unlock: Unlock,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let package = Package::parse(&args.purl)?;
    let looked_at = sha256(&args.sha256)?;
    let shelf = args.place.open()?;
    let release = shelf.fetched(&package)?;
    if release.digest != looked_at {
        return Err(Failure::new("what you looked at is not what was taken in")
            .line("wanted", &release.digest.to_string())
            .line("found", &looked_at.to_string())
            .line("fix", "look again: portcullis import diff PURL"));
    }
    let (_, digests) = shelf.file(&release.digest)?;
    let last = shelf.last_reviewed(&package, &release.digest, args.against.as_deref())?;
    let at = clock::now(args.at.as_deref())?;
    let previous = last.map(|last| last.release.digest);
    let reviewed = Reviewed {
        purl: release.purl.clone(),
        from: Some(release.from.clone()),
        digests,
        previous: previous.clone(),
        reviewers: vec![args.reviewer.clone()],
        criteria: Vec::new(),
    };
    let import = Import { packages: vec![reviewed], reviewed: at };
    sign(&import_statement(&import), &args.key, &args.unlock, &args.out)?;
    shelf.keep_review(&package, &release, at)?;
    output.result(&format!("{}\n", args.out.display()), || {
        let mut object = Object::new()
            .with("bundle", args.out.display().to_string())
            .with("digest", release.digest.to_string());
        object.set_some("previous", previous.map(|digest| digest.to_string()));
        Json::from(object)
    });
    Ok(Exit::Clean)
}
