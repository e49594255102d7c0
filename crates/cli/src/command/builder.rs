//! `portcullis builder …`: parts of the build service.

mod affected;

use std::path::{Path, PathBuf};

use attest::{Json, Object};
use builder::{Store, capture};

use crate::command::signer;
use crate::failure::{Exit, Failure};
use crate::keys;
use crate::output::Output;

mod init;
mod lock;
mod sandbox;
mod serve;
mod snapshots;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Affected(affected::Args),
    /// Try whether the sandbox holds on this machine, layer by layer
    Sandbox(sandbox::Args),
    /// What is kept of earlier builds, and until when; and delete the rest
    Snapshots(snapshots::Args),
    /// Write a build definition and a script for the project that is there
    Init(init::Args),
    /// Write the lock file: the exact files behind the names in a definition
    Lock(lock::Args),
    Serve(serve::Args),
    /// Hold a builder's key, and sign provenance for builds that ask over a socket
    ///
    /// For any builder id but the demo's, it must run as a user of its own (not root, not the one that asks), with
    /// --allow-uid naming the orchestrator's user, and a key file (or PIN file) of mode 0600 that belongs to its own.
    Signer(signer::Args),
    /// Make an archive of this machine's C toolchain, and print its digest for a build definition
    Toolchain {
        /// The archive
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Try the sandbox from inside, as builds do before they are signed
    #[command(hide = true)]
    Canary {
        /// What to look for
        told: String,
    },
    /// Put a file into the store of inputs, and print its digest
    Put {
        /// The file
        file: PathBuf,
        /// The store
        #[arg(long, value_name = "DIR", env = "PORTCULLIS_STORE")]
        store: Option<PathBuf>,
        /// Its provenance, for builds that demand it with `built-by`
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
    },
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => init::run(args, output),
        Command::Lock(args) => lock::run(args, output),
        Command::Serve(args) => serve::run(args, output),
        Command::Signer(args) => signer::run(args),
        Command::Affected(args) => affected::run(args, output),
        Command::Sandbox(args) => sandbox::run(args, output),
        Command::Snapshots(args) => snapshots::run(args, output),
        Command::Toolchain { out } => toolchain(out, output),
        Command::Canary { told } => canary(told, output),
        Command::Put { file, store, bundle } => put(file, store.as_deref(), bundle.as_deref(), output),
    }
}

fn toolchain(out: &Path, output: &Output) -> Result<Exit, Failure> {
    let digest = capture(out)
        .map_err(|e| Failure::new("the toolchain cannot be captured").line("found", &e.to_string()))?;
    output.result(&format!("{}  {}\n", digest.hex(), out.display()), || {
        Json::from(Object::new().with("file", out.display().to_string()).with("sha256", digest.hex()))
    });
    Ok(Exit::Clean)
}

fn canary(told: &str, output: &Output) -> Result<Exit, Failure> {
    let wrong = |e: &dyn std::fmt::Display| {
        Failure::new("the canary was told nonsense").line("found", &e.to_string())
    };
    let told = attest::json::parse(told.as_bytes()).map_err(|e| wrong(&e))?;
    let object = told.as_object().map_err(|e| wrong(&e))?;
    output.script(&builder::probe(object).map_err(|e| wrong(&e))?);
    Ok(Exit::Clean)
}

fn put(file: &Path, store: Option<&Path>, bundle: Option<&Path>, output: &Output) -> Result<Exit, Failure> {
    let store = match store {
        Some(dir) => dir.to_owned(),
        None => keys::home(".cache/portcullis/store")?,
    };
    let store = Store::new(&store);
    let failed = |e: builder::StoreError| {
        Failure::new("the file cannot be put into the store").line("found", &e.to_string())
    };
    let digest = store.put(file).map_err(failed)?;
    if let Some(bundle) = bundle {
        // who takes it proves it then, under the trust root of that day
        store.keep_bundle(&digest, &crate::input::read("bundle", bundle, 4 << 20)?).map_err(failed)?;
    }
    output.result(&format!("{}  {}\n", digest.hex(), file.display()), || {
        Json::from(Object::new().with("sha256", digest.hex()))
    });
    Ok(Exit::Clean)
}
