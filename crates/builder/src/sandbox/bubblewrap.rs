//! The first tier: bubblewrap with every namespace and an empty network.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::Command;

use rustix::fs::{MemfdFlags, SealFlags};

use super::{Sandbox, SandboxError, seccomp};

/// Devices that give nothing of the machine away.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The words that follow the launcher's. The filter must stay open until they are started.
pub(super) fn command(
    sandbox: &Sandbox<'_>,
    mut launcher: Command,
    filter: &OwnedFd,
    scratch: u64,
) -> Command {
    let inside = sandbox.variation.user.to_string();
    launcher.arg("bwrap");
    launcher.args([
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
    ]);
    launcher.args(["--uid", &inside, "--gid", &inside, "--hostname", &sandbox.variation.host]);
    launcher.args(["--cap-drop", "ALL", "--clearenv"]);
    for (name, value) in sandbox.environment {
        launcher.args(["--setenv", name, value]);
    }
    launcher.args(["--seccomp", &filter.as_raw_fd().to_string()]);
    launcher.arg("--ro-bind").arg(sandbox.root).arg("/");
    launcher.args(["--proc", "/proc", "--tmpfs", "/dev"]);
    for device in DEVICES {
        launcher.args(["--dev-bind", device, device]);
    }
    launcher.args(["--symlink", "/proc/self/fd", "/dev/fd", "--symlink", "/proc/self/fd/0", "/dev/stdin"]);
    launcher.args([
        "--symlink",
        "/proc/self/fd/1",
        "/dev/stdout",
        "--symlink",
        "/proc/self/fd/2",
        "/dev/stderr",
    ]);
    let size = scratch.to_string();
    launcher.args(["--perms", "1777", "--size", &size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]);
    launcher.args(["--perms", "1777", "--size", &size, "--tmpfs", "/tmp"]);
    launcher.args(["--tmpfs", "/build"]);
    launcher.arg("--bind").arg(sandbox.source).arg("/build/src");
    let mut bind = |path: Option<&Path>, to: &str| {
        if let Some(path) = path {
            launcher.arg("--ro-bind").arg(path).arg(to);
        }
    };
    bind(sandbox.inputs, "/build/inputs");
    bind(sandbox.artifacts, "/build/artifacts");
    bind(sandbox.variation.clock.as_ref().map(|c| c.library.as_path()), "/build/clock.so");
    launcher.args(["--remount-ro", "/build", "--chdir", "/build/src", "--"]);
    launcher.args(sandbox.command);
    launcher
}

/// The filter in a sealed memory file that the child inherits: it holds nothing secret, and nobody can change it.
pub(super) fn filter() -> Result<OwnedFd, SandboxError> {
    let setup = |e: std::io::Error| SandboxError::Setup("write its system call filter".to_owned(), e);
    let program = seccomp::program().map_err(|e| setup(std::io::Error::other(e.to_string())))?;
    let file = rustix::fs::memfd_create("portcullis-filter", MemfdFlags::ALLOW_SEALING)
        .map_err(|e| setup(e.into()))?;
    let mut written = 0;
    while let Some(rest) = program.get(written..).filter(|r| !r.is_empty()) {
        written += rustix::io::write(&file, rest).map_err(|e| setup(e.into()))?;
    }
    rustix::fs::seek(file.as_fd(), rustix::fs::SeekFrom::Start(0)).map_err(|e| setup(e.into()))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(|e| setup(e.into()))?;
    Ok(file)
}
