//! `portcullis log witness`: the witness of logs as a process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use attest::Scheme;
use jiff::Timestamp;
use server::KeyPair;
use server::witness::{Listen, serve};
use tlog::Files;
use tlog::witness::{OpenWitnessError, Witness};

use crate::clock;
use crate::command::log::witnesses::named_key;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It answers POST /add-checkpoint. Nobody has to say who he is: the log's own signature is what
counts. It ends on SIGTERM, and each thing that happens is one line of JSON on standard error;
`not-continued` means that somebody with the log's key signed two histories. Run it where those
who run the log cannot reach its folder or its key. See docs/log.md.

Never restore its folder from a backup, and never begin anew with a key that cosigned before: it
would forget what it saw, and cosign another history.

Examples:
  portcullis keygen w1 --algorithm ed25519 --no-passphrase
  portcullis log witness --begin --state w1 --key w1.key --name w1.example \\
      --listen 127.0.0.1:7380 --log shop.example/decisions=log.vkey
  portcullis log witness --state w1 --key w1.key --name w1.example --listen 0.0.0.0:7380 \\
      --certificate tls.crt --certificate-key tls.key \\
      --log shop.example/decisions=log.vkey --log shop.example/signatures=builder.vkey")]
pub(crate) struct Args {
    /// The folder in which it keeps what it saw of each log
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Its private key, Ed25519, which nothing else uses: a file, or a pkcs11: URI
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// The name that it signs under, as in witness.example/w1
    #[arg(long)]
    name: String,
    /// Where to listen; port 0 takes any
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: String,
    /// A log that it follows, and the file with the log's key; again for more
    #[arg(long = "log", value_name = "ORIGIN=FILE", required = true)]
    logs: Vec<String>,
    /// Make the folder of a witness that never cosigned anything, and go on
    #[arg(long)]
    begin: bool,
    /// Serve HTTPS with this certificate, PEM; plain HTTP without
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    certificate: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    certificate_key: Option<PathBuf>,
    #[command(flatten)]
    unlock: input::Unlock,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let logs = args.logs.iter().map(|text| named_key(text, "log")).collect::<Result<Vec<_>, _>>()?;
    let signer = input::secret_key(&args.key, &args.unlock)?;
    if signer.public().scheme() != Scheme::Ed25519 {
        return Err(Failure::new(&format!("{} cannot cosign", args.key.display()))
            .line("wanted", "an Ed25519 key")
            .line("found", &format!("a key for {}", signer.public().scheme().name()))
            .line("fix", "portcullis keygen NAME --algorithm ed25519 --no-passphrase"));
    }
    if let Some(log) = logs.iter().find(|log| log.key == *signer.public()) {
        return Err(Failure::new(&format!("the key of the witness is the key of the log {}", log.name))
            .line("wanted", "a key of its own: a log is no witness of itself")
            .line("fix", "portcullis keygen NAME --algorithm ed25519 --no-passphrase"));
    }
    clock::now(None)?;
    let files = Files::new(&args.state);
    if !args.begin && !args.state.exists() {
        return Err(failure(&args.state, &OpenWitnessError::None));
    }
    // two that share one folder could cosign two histories
    let lock = files.lock();
    let _lock = lock.map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => {
            Failure::new(&format!("another witness uses the folder {}", args.state.display()))
                .line("fix", "stop it, or give each its own folder and its own key")
        }
        _ => Failure::io("take the lock of the witness in", &args.state, &e),
    })?;
    if args.begin {
        Witness::create(&files, &args.name, signer.as_ref()).map_err(|e| failure(&args.state, &e))?;
    }
    let witness = Witness::open(files, &args.name, signer, logs);
    let witness = witness.map_err(|e| failure(&args.state, &e))?;
    let vkey = witness.key().to_witness_vkey();
    let tls = args.certificate.clone().zip(args.certificate_key.clone());
    let tls = tls.map(|(certificate, key)| KeyPair { certificate, key });
    let listen = Listen { address: args.listen.clone(), tls };
    let now = || clock::now(None).unwrap_or(Timestamp::UNIX_EPOCH);
    let ready = |address: &str| output.progress(&format!("{vkey} listens on {address}"));
    serve(&listen, witness, Arc::new(now), ready).map_err(|e| {
        Failure::new("the witness does not run").line("found", &e.to_string()).line(
            "fix",
            "correct --listen, --certificate and --certificate-key; a port below 1024 needs a right",
        )
    })?;
    Ok(Exit::Clean)
}

fn failure(state: &Path, error: &OpenWitnessError) -> Failure {
    let failure = Failure::new(&format!("the witness in {} cannot begin", state.display()))
        .line("found", &error.to_string());
    failure.line(
        "fix",
        match error {
            OpenWitnessError::None => {
                "mount the right folder; --begin is only for a key that never cosigned anything"
            }
            OpenWitnessError::Exists => "without --begin, go on with what is there",
            OpenWitnessError::Name => "choose a name like witness.example/w1",
            OpenWitnessError::Other(_) => "give the name and the key that belong to it, or another folder",
            OpenWitnessError::Twice(_) => "name each log once",
            OpenWitnessError::Changed { .. } => {
                "find out who changed it; a witness that forgot must end, and its key with it"
            }
            OpenWitnessError::Io(_) => "see the system's message",
        },
    )
}
