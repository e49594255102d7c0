//! `portcullis builder signer`: the process that holds a builder's key.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use builder::{SignError, SignerConfig, harden, serve};

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input::{self, Unlock};
use crate::keys;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The socket to listen on; made here, and readable by whoever may ask
    #[arg(long, value_name = "SOCKET")]
    socket: PathBuf,
    /// The builder's key: a file, or a pkcs11: URI
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// The builder.id that it claims
    #[arg(long, value_name = "URI")]
    builder_id: String,
    /// The log of signatures
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// The log's own key; made where there is none
    #[arg(long, value_name = "FILE")]
    log_key: PathBuf,
    /// The log's name, in its checkpoints
    #[arg(long, value_name = "NAME", default_value = "portcullis.local/builds")]
    origin: String,
    /// The user whose requests are signed: the orchestrator's; needed for any builder id but the demo's
    #[arg(long, value_name = "UID")]
    allow_uid: Option<u32>,
    /// How many signatures it makes in an hour
    #[arg(long, value_name = "N", default_value_t = builder::DEFAULT_RATE)]
    rate: u32,
    /// End after so many requests
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    #[command(flatten)]
    unlock: Unlock,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let refused = |e: SignError| Failure::new("the signer does not start").line("found", &e.to_string());
    // before the key is in memory
    harden().map_err(refused)?;
    let config = SignerConfig {
        builder_id: args.builder_id.clone(),
        secret_file: input::secret_file(&args.key, &args.unlock)?,
        allow_uid: args.allow_uid,
        requests: args.requests,
        rate: args.rate,
        ledger: beside(&args.log, "signed"),
    };
    config.check().map_err(refused)?;
    let key = input::secret_key(&args.key, &args.unlock)?;
    clock::now(None)?;
    let now = || clock::now(None).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    // the log's lock is the ledger's too: one signer at a time
    let lock = tlog::Files::new(&args.log).lock();
    let _lock = lock.map_err(|e| Failure::io("take the lock of the log in", &args.log, &e))?;
    let mut log = keys::log(&args.log, &args.origin, &args.log_key)?;
    make_private(&config.ledger).map_err(|e| Failure::io("make the folder", &config.ledger, &e))?;
    let listener = listen(&args.socket).map_err(|e| Failure::io("listen on", &args.socket, &e))?;
    let served = serve(&listener, &config, key.as_ref(), &mut log, &now);
    std::fs::remove_file(&args.socket).ok();
    served.map_err(|e| Failure::new("the signer stopped").line("found", &e.to_string()))?;
    Ok(Exit::Clean)
}

/// A folder that only this user reads: a ledger has bundles in it that may not have been handed out yet.
fn make_private(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// `DIR.NAME`, beside a folder.
fn beside(dir: &Path, name: &str) -> PathBuf {
    let mut path = dir.as_os_str().to_owned();
    path.push(".");
    path.push(name);
    path.into()
}

/// The socket appears under its name only once somebody listens: who sees it can connect.
fn listen(socket: &Path) -> std::io::Result<UnixListener> {
    let early = socket.with_extension("starting");
    let listener = UnixListener::bind(&early)?;
    // who may ask is checked for each request; the socket itself keeps nobody out
    std::fs::set_permissions(&early, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    std::fs::rename(&early, socket)?;
    Ok(listener)
}
