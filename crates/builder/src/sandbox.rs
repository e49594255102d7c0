//! One command that can reach nothing: bubblewrap with every namespace and an empty network, the toolchain read-only,
//! the source and nothing else writable, a fixed path, user, host name, locale and time.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attest::time::Span;

/// What runs, and on what.
#[derive(Debug)]
pub(crate) struct Sandbox<'a> {
    /// The root file system.
    pub(crate) root: &'a Path,
    /// The source, writable.
    pub(crate) source: &'a Path,
    /// Files for `/build/inputs`, by name.
    pub(crate) inputs: &'a [(String, PathBuf)],
    /// The command.
    pub(crate) command: &'a [String],
    /// The whole environment.
    pub(crate) environment: &'a [(String, String)],
    /// How long it may take.
    pub(crate) time: Span,
    /// Where its output goes.
    pub(crate) log: &'a Path,
}

/// Why there is no result.
#[derive(Debug)]
pub enum SandboxError {
    /// The sandbox could not be set up.
    Setup(String, io::Error),
    /// bubblewrap is not installed.
    NoBubblewrap,
    /// The command failed; the last lines of its output.
    Failed {
        /// Its status, in words.
        status: String,
        /// The last lines.
        output: String,
    },
    /// The command took too long and was killed.
    TimedOut(Span),
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(what, e) => write!(f, "the sandbox could not {what}: {e}"),
            Self::NoBubblewrap => {
                f.write_str("bubblewrap is not installed (Debian: apt-get install bubblewrap)")
            }
            Self::Failed { status, output } => {
                write!(f, "the build command failed with {status}; it said:\n{output}")
            }
            Self::TimedOut(time) => write!(f, "the build command took longer than {time} and was killed"),
        }
    }
}
impl std::error::Error for SandboxError {}

/// The user that a build started by root runs as outside: never root, even if a namespace fails.
pub(crate) const NOBODY: u32 = 65_534;
const MAX_MEMORY: u64 = 8 << 30;
const MAX_FILE: u64 = 4 << 30;
const MAX_PROCESSES: u64 = 4096;

impl Sandbox<'_> {
    /// Runs the command to its end and returns when every process of it is dead.
    pub(crate) fn run(&self) -> Result<(), SandboxError> {
        let setup = |what: &str| {
            let what = what.to_owned();
            move |e| SandboxError::Setup(what, e)
        };
        let log = fs::File::create(self.log).map_err(setup("write its log"))?;
        let errors = log.try_clone().map_err(setup("write its log"))?;
        let mut command = self.bubblewrap();
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => SandboxError::NoBubblewrap,
            _ => SandboxError::Setup("start".to_owned(), e),
        })?;
        self.wait(child)
    }

    fn wait(&self, mut child: Child) -> Result<(), SandboxError> {
        let limit = Duration::from_secs(u64::try_from(self.time.as_seconds()).unwrap_or(0));
        let start = Instant::now();
        loop {
            let status = child.try_wait().map_err(|e| SandboxError::Setup("wait".to_owned(), e))?;
            match status {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let status = match (status.code(), status.signal()) {
                        (Some(code), _) => format!("status {code}"),
                        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
                    };
                    return Err(SandboxError::Failed { status, output: self.last_lines() });
                }
                None if start.elapsed() > limit => {
                    // bubblewrap's first process dies with it, and with that the whole process namespace
                    child.kill().map_err(|e| SandboxError::Setup("kill the build".to_owned(), e))?;
                    child.wait().map_err(|e| SandboxError::Setup("wait".to_owned(), e))?;
                    return Err(SandboxError::TimedOut(self.time));
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// The end of the command's output; the rest may be gigabytes.
    fn last_lines(&self) -> String {
        const TAIL: i64 = 8 << 10;
        let mut bytes = Vec::new();
        let read = fs::File::open(self.log).and_then(|mut file| {
            let length = file.metadata()?.len();
            if length > TAIL.unsigned_abs() {
                file.seek(io::SeekFrom::End(-TAIL))?;
            }
            file.take(TAIL.unsigned_abs()).read_to_end(&mut bytes)
        });
        if read.is_err() {
            return String::new();
        }
        // the build chooses these bytes: none of them may drive a terminal
        let text: String = String::from_utf8_lossy(&bytes)
            .chars()
            .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
            .collect();
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(15)).map(|l| format!("    {l}\n")).collect()
    }

    /// Limits, then the user, then the namespaces: each outer layer holds should an inner one fail.
    fn bubblewrap(&self) -> Command {
        let mut command = Command::new("prlimit");
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.arg(format!("--as={MAX_MEMORY}"));
        command.arg(format!("--fsize={MAX_FILE}"));
        command.arg(format!("--nproc={MAX_PROCESSES}"));
        command.args(["--core=0", "--"]);
        if rustix::process::geteuid().is_root() {
            command.arg("setpriv");
            command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")]);
            command.args(["--clear-groups", "--no-new-privs", "--"]);
        }
        command.arg("bwrap");
        command.args([
            "--unshare-all",
            "--unshare-user",
            "--disable-userns",
            "--die-with-parent",
            "--new-session",
        ]);
        command.args([
            "--uid",
            "1000",
            "--gid",
            "1000",
            "--hostname",
            "build",
            "--cap-drop",
            "ALL",
            "--clearenv",
        ]);
        for (name, value) in self.environment {
            command.args(["--setenv", name, value]);
        }
        command.arg("--ro-bind").arg(self.root).arg("/");
        command.args(["--proc", "/proc", "--tmpfs", "/dev"]);
        for device in ["/dev/null", "/dev/zero", "/dev/urandom"] {
            command.args(["--dev-bind", device, device]);
        }
        command.args(["--symlink", "/proc/self/fd", "/dev/fd", "--remount-ro", "/dev"]);
        command.args(["--perms", "1777", "--size", "1073741824", "--tmpfs", "/tmp"]);
        command.args(["--tmpfs", "/build"]);
        command.arg("--bind").arg(self.source).arg("/build/src");
        for (name, path) in self.inputs {
            command.arg("--ro-bind").arg(path).arg(format!("/build/inputs/{name}"));
        }
        command.args(["--remount-ro", "/build", "--chdir", "/build/src", "--"]);
        command.args(self.command);
        command
    }
}
