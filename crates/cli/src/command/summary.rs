//! `portcullis summary …`: verification summaries, out of the evidence store or made again from the decision log.

use std::path::{Path, PathBuf};

use attest::time::Span;
use attest::{Algorithm, Digest, Object};
use chokepoint::{Passed, Replay, Replayer, Verifier};
use evidence::Store;
use tlog::{Blobs, Files, write_durably};

use crate::clock;
use crate::command::log::{Key, walk};
use crate::failure::{Exit, Failure};
use crate::input::{self, Unlock};
use crate::output::Output;

/// Verification summaries (SLSA VSA) of what was admitted
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  portcullis summary show sha256:9f3c… --environment prod/shop --store evidence > shop.vsa.json
  portcullis summary issue --log log --record 17 --key summaries.key \\
      --verifier https://gate.example/eu --store evidence")]
pub(crate) enum Command {
    /// Write the newest summary of an artifact in an environment to standard output
    Show(Show),
    /// Make the summary of a record again: where it was lost, and only where the record, decided again, says the same
    Issue(Issue),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  portcullis summary show sha256:9f3c… --environment prod/shop --store evidence > shop.vsa.json
  portcullis attach sha256:9f3c… --bundle shop.vsa.json --store /srv/downstream/evidence")]
pub(crate) struct Show {
    /// The artifact's digest, sha256:HEX
    artifact: String,
    /// Where it was admitted, as in prod/shop
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: String,
    /// The folder of the evidence store
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  portcullis summary issue --log log --record 17 --key summaries.key \\
      --verifier https://gate.example/eu --out shop.vsa.json")]
pub(crate) struct Issue {
    /// The folder of the decision log
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// The log's verifier key; without, the one that lies beside the log
    #[arg(long, value_name = "FILE")]
    log_key: Option<PathBuf>,
    /// The record's place, from 0
    #[arg(long, value_name = "NUMBER")]
    record: u64,
    /// The key of summaries: a file, or a pkcs11: URI
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    #[command(flatten)]
    unlock: Unlock,
    /// The verifier.id, as `summaries: verifier` says it
    #[arg(long, value_name = "URI")]
    verifier: String,
    /// How long it counts from the time of the decision on, as `summaries: expires` says it
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = span)]
    expires: Span,
    /// Write it to this file
    #[arg(long, value_name = "FILE", required_unless_present = "store")]
    out: Option<PathBuf>,
    /// Put it into the evidence store in this folder
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "wanted a span of time, as in 24h".to_owned())
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Show(args) => show(args, output),
        Command::Issue(args) => issue(args, output),
    }
}

fn show(args: &Show, output: &Output) -> Result<Exit, Failure> {
    let digest = Digest::parse(&args.artifact).ok().filter(|d| d.algorithm() == Algorithm::Sha256);
    let digest = digest.ok_or_else(|| {
        Failure::new(&format!("{} is no digest of an artifact", args.artifact)).line("wanted", "sha256:HEX")
    })?;
    if !args.store.is_dir() {
        return Err(Failure::new(&format!("there is no evidence store in {}", args.store.display()))
            .line("fix", "name the folder that the choke point's configuration calls `evidence`"));
    }
    let found = Store::new(&args.store).summary(&digest, &args.environment);
    let found = found.map_err(|e| {
        Failure::new("the summary cannot be read")
            .line("found", &e.to_string())
            .line("fix", "make it again: portcullis summary issue")
    })?;
    let Some(bytes) = found else {
        let text = format!(
            "there is no summary of {digest} in {}\nonly what met its policy there is summarised; where one was lost: \
             portcullis summary issue\n",
            args.environment
        );
        output.result(&text, || Object::new().with("found", false).into());
        return Ok(Exit::Found);
    };
    // a bundle is JSON already, whatever form is asked for
    output.script(&format!("{}\n", String::from_utf8_lossy(&bytes)));
    Ok(Exit::Clean)
}

fn issue(args: &Issue, output: &Output) -> Result<Exit, Failure> {
    let now = clock::now(None)?;
    let log_key = Key::of(args.log_key.as_deref()).read(&args.log)?;
    let signer = input::secret_key(&args.key, &args.unlock)?;
    if signer.public().spki() == log_key.key.spki() {
        return Err(Failure::new("the key of summaries is the log's")
            .line("wanted", "a key that nothing else uses")
            .line("fix", "portcullis keygen summaries --no-passphrase"));
    }
    let mut leaf = None;
    let checkpoint = walk(&args.log, &log_key, None, |index, bytes| {
        if index == args.record {
            leaf = Some(bytes.to_vec());
        }
    })?;
    let leaf = leaf.ok_or_else(|| {
        Failure::new(&format!("there is no record {}", args.record))
            .line("found", &format!("{} records, from 0", checkpoint.size))
    })?;
    let passed = again(args.record, &leaf, &args.log)?;
    let verifier = Verifier { id: args.verifier.clone(), expires: args.expires };
    let expires = passed.expires(&verifier);
    if expires < now {
        return Err(Failure::new(&format!("a summary of record {} has ended already", args.record))
            .line("found", &format!("decided at {}, ended at {expires}", passed.at()))
            .line(
                "fix",
                "deploy it once more through the choke point: that is decided and summarised anew",
            ));
    }
    let bundle = passed
        .sign(&verifier, signer.as_ref())
        .map_err(|e| Failure::new("the summary cannot be signed").line("found", &e.to_string()))?;
    keep(args, &passed, &bundle)?;
    let text = format!(
        "{} met its policy in {}, by record {}; the summary counts until {expires}\n",
        passed.digest().short(),
        passed.environment(),
        args.record
    );
    output.result(&text, || {
        Object::new()
            .with("artifact", passed.digest().to_string())
            .with("environment", passed.environment())
            .with("expires", expires.to_string())
            .with("bundle", Digest::sha256(&bundle).to_string())
            .into()
    });
    Ok(Exit::Clean)
}

/// What the record, decided again, lets us sign.
fn again(number: u64, leaf: &[u8], log: &Path) -> Result<Passed, Failure> {
    let refused = |what: &str| Failure::new(&format!("record {number} is not summarised: {what}")).found();
    let replayed = Replayer::default().passed(leaf, &Blobs::new(Files::new(log)));
    match replayed {
        Err(e) => Err(refused("it cannot be decided again").line("found", &e.to_string())),
        Ok((Replay::Differs { .. }, _)) => Err(refused("decided again, it gives something else")
            .line("fix", &format!("see the difference: portcullis replay {} {number}", log.display()))),
        Ok((Replay::Same, None)) => Err(refused("nothing there met its policy alone")
            .line("wanted", "an admission because the policy is met, of an artifact with one SHA-256 digest")
            .line("or", "a policy that does not count summaries: what rests on one is not summarised again")),
        Ok((Replay::Same, Some(passed))) => Ok(passed),
    }
}

fn keep(args: &Issue, passed: &Passed, bundle: &[u8]) -> Result<(), Failure> {
    if let Some(path) = &args.out {
        write_durably(path, bundle).map_err(|e| Failure::io("write", path, &e))?;
    }
    if let Some(folder) = &args.store {
        let kept = Store::new(folder).keep_summary(passed.digest(), passed.environment(), bundle);
        kept.map_err(|e| Failure::new("the summary cannot be kept").line("found", &e.to_string()))?;
    }
    Ok(())
}
