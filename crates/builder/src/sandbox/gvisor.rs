//! The second tier: gVisor, whose kernel in user space answers the build's system calls. It costs more (a third more
//! time for a build of many small files), and a hole in it still leads only into an empty, unprivileged process.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attest::{Json, Object};

use super::{Sandbox, SandboxError};

/// A container's folder beside the log; it is deleted, and what is left of it killed, when this is dropped.
#[derive(Debug)]
pub(super) struct Container {
    runsc: PathBuf,
    folder: PathBuf,
    name: String,
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut delete = runsc(&self.runsc, &self.folder);
        delete.args(["delete", "--force", &self.name]).stdin(Stdio::null());
        delete.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn runsc(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--root").arg(folder.join("state"));
    command.args(["--network=none", "--ignore-cgroups", "--platform=systrap", "--host-uds=none"]);
    command
}

/// The words that follow the launcher's.
pub(super) fn command(
    sandbox: &Sandbox<'_>,
    mut launcher: Command,
    scratch: u64,
) -> Result<(Command, Container), SandboxError> {
    let setup = |e: io::Error| SandboxError::Setup("write its container".to_owned(), e);
    let runsc_at = sandbox.runsc.ok_or(SandboxError::NotInstalled(super::Tier::Gvisor))?.to_owned();
    let folder = sandbox.log.with_extension("container");
    close(sandbox.source).map_err(setup)?;
    fs::create_dir_all(&folder).map_err(setup)?;
    let name = format!("portcullis-{}", std::process::id());
    let container = Container { runsc: runsc_at, folder, name };
    fs::write(container.folder.join("config.json"), config(sandbox, scratch).to_string()).map_err(setup)?;
    let words = runsc(&container.runsc, &container.folder);
    launcher.arg(words.get_program()).args(words.get_args());
    launcher.args(["run", "--bundle"]).arg(&container.folder).arg(&container.name);
    Ok((launcher, container))
}

/// gVisor lets a build set the set-user-id bit, and the file is live on the host's disk: nobody but us, who open it for
/// gVisor, may come to where it lies. A folder that is shared with others is not ours to close.
fn close(source: &Path) -> io::Result<()> {
    let Some(parent) = source.parent() else { return Ok(()) };
    if fs::metadata(parent)?.permissions().mode() & 0o022 != 0 {
        return Ok(());
    }
    fs::set_permissions(parent, fs::Permissions::from_mode(0o700))
}

/// The container in the words of the OCI runtime specification.
fn config(sandbox: &Sandbox<'_>, scratch: u64) -> Json {
    let user = i64::from(sandbox.user.map_or(sandbox.variation.user, super::BuildUser::id));
    let environment = sandbox.environment.iter().map(|(k, v)| Json::from(format!("{k}={v}")));
    let none = || Json::Array(Vec::new());
    let capabilities = ["bounding", "effective", "inheritable", "permitted", "ambient"];
    let capabilities: Object = capabilities.iter().map(|set| ((*set).to_owned(), none())).collect();
    // in its own kernel: outside, it would limit the file in which gVisor keeps the memory of all processes
    let limit = |kind: &str, most: u64| {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        Json::from(Object::new().with("type", kind).with("hard", most).with("soft", most))
    };
    let process = Object::new()
        .with("terminal", false)
        .with("user", Object::new().with("uid", user).with("gid", user))
        .with("args", sandbox.command.to_vec())
        .with("env", Json::Array(environment.collect()))
        .with("cwd", "/build/src")
        .with("capabilities", capabilities)
        .with(
            "rlimits",
            Json::Array(vec![limit("RLIMIT_FSIZE", sandbox.limits.disk), limit("RLIMIT_CORE", 0)]),
        )
        .with("noNewPrivileges", true);
    let namespaces = ["pid", "ipc", "uts", "mount", "network"];
    let namespaces = namespaces.iter().map(|kind| Json::from(Object::new().with("type", *kind))).collect();
    Object::new()
        .with("ociVersion", "1.0.2")
        .with("hostname", sandbox.variation.host.as_str())
        .with("root", Object::new().with("path", sandbox.root.display().to_string()).with("readonly", true))
        .with("process", process)
        .with("mounts", Json::Array(mounts(sandbox, scratch)))
        .with("linux", Object::new().with("namespaces", Json::Array(namespaces)))
        .into()
}

fn mounts(sandbox: &Sandbox<'_>, scratch: u64) -> Vec<Json> {
    let mount = |to: &str, kind: &str, from: &str, options: &[&str]| {
        let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        let object = Object::new().with("destination", to).with("type", kind);
        Json::from(object.with("source", from).with("options", options))
    };
    let size = format!("size={scratch}");
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &[]),
        // where there is no other, gVisor mounts one of its own, which no build should see in one tier only
        mount("/sys", "tmpfs", "tmpfs", &["ro", "mode=0555"]),
        mount("/dev/shm", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=1777", &size]),
        mount("/tmp", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=1777", &size]),
        mount("/build", "tmpfs", "tmpfs", &["ro", "mode=0755"]),
        mount("/build/src", "bind", &sandbox.source.display().to_string(), &["bind", "rw"]),
    ];
    let mut bind = |path: Option<&Path>, to: &str| {
        if let Some(path) = path {
            mounts.push(mount(to, "bind", &path.display().to_string(), &["bind", "ro"]));
        }
    };
    bind(sandbox.inputs, "/build/inputs");
    bind(sandbox.artifacts, "/build/artifacts");
    bind(sandbox.variation.clock.as_ref().map(|c| c.library.as_path()), "/build/clock.so");
    mounts
}
