//! The first tier: bubblewrap with every namespace and an empty network.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{MemfdFlags, SealFlags};

use super::{Sandbox, SandboxError, seccomp};

/// Devices that give nothing of the machine away.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The words that follow the launcher's. The descriptors must stay open until they are started.
pub(super) fn command(sandbox: &Sandbox<'_>, mut launcher: Command, words: &OwnedFd) -> Command {
    launcher.args(["bwrap", "--args", &words.as_raw_fd().to_string(), "--"]);
    launcher.args(sandbox.command);
    launcher
}

/// Everything that bubblewrap is told, in a sealed memory file: its own words on the command line would tell every
/// build how the orchestrator's folders are called, differently each time.
pub(super) fn words(sandbox: &Sandbox<'_>, filter: &OwnedFd, scratch: u64) -> Result<OwnedFd, SandboxError> {
    let (inside, filter, size) =
        (sandbox.variation.user.to_string(), filter.as_raw_fd().to_string(), scratch.to_string());
    let mut words = Words::default();
    words.add(["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]);
    words.add(["--uid", &inside, "--gid", &inside, "--hostname", &sandbox.variation.host]);
    words.add(["--cap-drop", "ALL", "--clearenv"]);
    for (name, value) in sandbox.environment {
        words.add(["--setenv", name, value]);
    }
    words.add(["--seccomp", &filter]);
    words.bind("--ro-bind", Some(sandbox.root), "/");
    words.add(["--proc", "/proc", "--tmpfs", "/dev"]);
    for device in DEVICES {
        words.add(["--dev-bind", device, device]);
    }
    for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
        words.add(["--symlink", &format!("/proc/self/fd/{number}"), &format!("/dev/{name}")]);
    }
    words.add(["--symlink", "/proc/self/fd", "/dev/fd"]);
    words.add(["--perms", "1777", "--size", &size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]);
    words.add(["--perms", "1777", "--size", &size, "--tmpfs", "/tmp", "--tmpfs", "/build"]);
    words.bind("--bind", Some(sandbox.source), "/build/src");
    words.bind("--ro-bind", sandbox.inputs, "/build/inputs");
    words.bind("--ro-bind", sandbox.artifacts, "/build/artifacts");
    let clock = sandbox.variation.clock.as_ref().map(|c| c.library.as_path());
    words.bind("--ro-bind", clock, "/build/clock.so");
    words.add(["--remount-ro", "/build", "--chdir", "/build/src"]);
    sealed("portcullis-words", &words.0)
}

/// Words, each ended by a zero byte.
#[derive(Default)]
struct Words(Vec<u8>);

impl Words {
    fn add<const N: usize>(&mut self, words: [&str; N]) {
        words.iter().for_each(|word| self.push(word.as_bytes()));
    }

    fn bind(&mut self, how: &str, path: Option<&Path>, to: &str) {
        if let Some(path) = path {
            self.push(how.as_bytes());
            self.push(path.as_os_str().as_bytes());
            self.push(to.as_bytes());
        }
    }

    fn push(&mut self, word: &[u8]) {
        self.0.extend_from_slice(word);
        self.0.push(0);
    }
}

/// The filter.
pub(super) fn filter() -> Result<OwnedFd, SandboxError> {
    let program = seccomp::program().map_err(|e| failed(std::io::Error::other(e.to_string())))?;
    sealed("portcullis-filter", &program)
}

fn failed(e: std::io::Error) -> SandboxError {
    SandboxError::Setup("write what bubblewrap is told".to_owned(), e)
}

/// A sealed memory file that the child inherits: nobody can change it.
fn sealed(name: &str, bytes: &[u8]) -> Result<OwnedFd, SandboxError> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::ALLOW_SEALING).map_err(|e| failed(e.into()))?;
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|r| !r.is_empty()) {
        written += rustix::io::write(&file, rest).map_err(|e| failed(e.into()))?;
    }
    rustix::fs::seek(file.as_fd(), rustix::fs::SeekFrom::Start(0)).map_err(|e| failed(e.into()))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(|e| failed(e.into()))?;
    Ok(file)
}
