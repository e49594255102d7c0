//! `portcullis builder …`: parts of the build service.

mod serve;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use attest::{Json, Object};
use builder::{SignerConfig, Store, capture};

use crate::failure::{Exit, Failure};
use crate::input::{self, Passphrase};
use crate::keys;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Serve(serve::Args),
    /// Hold a builder's key, and sign provenance for builds that ask over a socket
    ///
    /// For any builder id but the demo's, it must run as a user of its own (not root, not the one that asks), with
    /// --allow-uid naming the orchestrator's user, and a key file of mode 0600 that belongs to its own.
    Signer {
        /// The socket to listen on; made here, and readable by whoever may ask
        #[arg(long, value_name = "SOCKET")]
        socket: PathBuf,
        /// The builder's key
        #[arg(long, value_name = "FILE")]
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
        /// End after so many requests
        #[arg(long, value_name = "N")]
        requests: Option<u64>,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Make an archive of this machine's C toolchain, and print its digest for a build definition
    Toolchain {
        /// The archive
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Put a file into the store of inputs, and print its digest
    Put {
        /// The file
        file: PathBuf,
        /// The store
        #[arg(long, value_name = "DIR", env = "PORTCULLIS_STORE")]
        store: Option<PathBuf>,
    },
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::run(args, output),
        Command::Signer {
            socket,
            key,
            builder_id,
            log,
            log_key,
            origin,
            allow_uid,
            requests,
            passphrase,
        } => {
            let secret = input::secret_key(key, passphrase)?;
            let config = SignerConfig {
                builder_id: builder_id.clone(),
                key_file: key.clone(),
                allow_uid: *allow_uid,
                requests: *requests,
            };
            config
                .check()
                .map_err(|e| Failure::new("the signer does not start").line("found", &e.to_string()))?;
            let lock = tlog::Files::new(log).lock();
            let _lock = lock.map_err(|e| Failure::io("take the lock of the log in", log, &e))?;
            let mut log = keys::log(log, origin, log_key)?;
            let listener = listen(socket).map_err(|e| Failure::io("listen on", socket, &e))?;
            let served = builder::serve(&listener, &config, &secret, &mut log);
            std::fs::remove_file(socket).ok();
            served.map_err(|e| Failure::new("the signer stopped").line("found", &e.to_string()))?;
            Ok(Exit::Clean)
        }
        Command::Toolchain { out } => toolchain(out, output),
        Command::Put { file, store } => put(file, store.as_deref(), output),
    }
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

fn toolchain(out: &Path, output: &Output) -> Result<Exit, Failure> {
    let digest = capture(out)
        .map_err(|e| Failure::new("the toolchain cannot be captured").line("found", &e.to_string()))?;
    output.result(&format!("{}  {}\n", digest.hex(), out.display()), || {
        Json::from(Object::new().with("file", out.display().to_string()).with("sha256", digest.hex()))
    });
    Ok(Exit::Clean)
}

fn put(file: &Path, store: Option<&Path>, output: &Output) -> Result<Exit, Failure> {
    let store = match store {
        Some(dir) => dir.to_owned(),
        None => keys::home(".cache/portcullis/store")?,
    };
    let digest = Store::new(&store)
        .put(file)
        .map_err(|e| Failure::new("the file cannot be put into the store").line("found", &e.to_string()))?;
    output.result(&format!("{}  {}\n", digest.hex(), file.display()), || {
        Json::from(Object::new().with("sha256", digest.hex()))
    });
    Ok(Exit::Clean)
}
