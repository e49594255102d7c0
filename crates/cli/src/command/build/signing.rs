//! The signer of a build: the one that was named, or one that is started for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attest::Json;
use builder::{
    BuildRecord, FailureRecord, LOCAL_DEMO, SignError, TestRecord, request_failure, request_signature,
    request_test, request_token,
};

use crate::failure::Failure;
use crate::keys;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Signing {
    /// The socket of the signer
    #[arg(long, value_name = "SOCKET")]
    signer: Option<PathBuf>,
    /// Sign with this key, a file or a pkcs11: URI, as local-demo
    #[arg(long, value_name = "KEY", conflicts_with = "signer")]
    key: Option<PathBuf>,
    /// Where the local builder keeps its key and its log of signatures
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_STATE")]
    state: Option<PathBuf>,
}

impl Signing {
    pub(crate) fn of_state(state: &Path) -> Self {
        Self { signer: None, key: None, state: Some(state.to_owned()) }
    }

    fn state(&self) -> Result<PathBuf, Failure> {
        self.state.clone().map_or_else(|| keys::home(".local/state/portcullis"), Ok)
    }

    /// What no build may see.
    pub(crate) fn secrets(&self) -> Vec<PathBuf> {
        let state = self.state().ok();
        [self.signer.clone(), self.key.clone(), state].into_iter().flatten().filter(|p| p.exists()).collect()
    }
}

/// Where records are taken to be signed.
pub(crate) struct Desk {
    socket: PathBuf,
    child: Option<Child>,
}

impl Desk {
    /// The signer that was named, or one started for so many requests.
    pub(crate) fn open(args: &Signing, work: &Path, requests: usize) -> Result<Self, Failure> {
        match &args.signer {
            Some(socket) => Ok(Self { socket: socket.clone(), child: None }),
            None => {
                let socket = work.join("signer.sock");
                let child = start(args, &socket, requests)?;
                Ok(Self { socket, child: Some(child) })
            }
        }
    }

    pub(crate) fn sign(&self, record: &BuildRecord) -> Result<Json, Failure> {
        request_signature(&self.socket, record).map_err(refused)
    }

    pub(crate) fn sign_token(&self, record: &BuildRecord) -> Result<String, Failure> {
        request_token(&self.socket, record).map_err(refused)
    }

    pub(crate) fn sign_test(&self, record: &TestRecord) -> Result<Json, Failure> {
        request_test(&self.socket, record).map_err(refused)
    }

    pub(crate) fn sign_failure(&self, record: &FailureRecord) -> Result<Json, Failure> {
        request_failure(&self.socket, record).map_err(refused)
    }

    /// Lets a signer of our own end: it has done all it was started for.
    pub(crate) fn close(mut self) {
        if let Some(mut child) = self.child.take() {
            child.wait().ok();
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn refused(e: SignError) -> Failure {
    Failure::new("the provenance could not be signed; nothing was published")
        .line("found", &e.to_string())
        .line("fix", "see `portcullis builder signer --help` for what a signer needs")
}

fn start(args: &Signing, socket: &Path, requests: usize) -> Result<Child, Failure> {
    let state = args.state()?;
    let key = match &args.key {
        Some(key) => key.clone(),
        None => {
            let path = state.join("local-demo.key");
            keys::folder(&state)?;
            keys::key(&path, attest::Scheme::P256)?;
            path
        }
    };
    let program = std::env::current_exe()
        .map_err(|e| Failure::new("cannot start the signer").line("found", &e.to_string()))?;
    let mut child = Command::new(program)
        .args(["builder", "signer", "--builder-id", LOCAL_DEMO, "--requests", &requests.to_string()])
        .arg("--socket")
        .arg(socket)
        .arg("--key")
        .arg(key)
        .arg("--log")
        .arg(state.join("builds"))
        .arg("--log-key")
        .arg(state.join("builds-log.key"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|e| Failure::new("cannot start the signer").line("found", &e.to_string()))?;
    let start = Instant::now();
    while !socket.exists() {
        if child.try_wait().ok().flatten().is_some() || start.elapsed() > Duration::from_secs(10) {
            child.kill().ok();
            child.wait().ok();
            return Err(Failure::new("the signer did not start").line("fix", "its own message stands above"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(child)
}
