//! One command that can reach nothing: the toolchain read-only, the source and nothing else writable, no network, no
//! other process, a fixed path, user, host name, locale and time, and limits on everything it may use.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use attest::Digest;
use attest::time::Span;

use crate::definition::Limits;

mod bubblewrap;
pub(crate) mod canary;
mod clear;
mod group;
mod gvisor;
mod seccomp;
mod user;
mod watch;

pub(crate) use clear::clear;
use group::Group;
pub(crate) use user::BuildUser;
use watch::Watch;

/// Which sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// Namespaces of this kernel, and a system call filter.
    #[default]
    Bubblewrap,
    /// A kernel of its own in user space, in which the build's system calls end.
    Gvisor,
}

impl Tier {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bubblewrap => "bubblewrap",
            Self::Gvisor => "gvisor",
        }
    }

    /// The digest of everything about the sandbox that is the same for every build.
    pub(crate) fn profile(self) -> Digest {
        let filter = seccomp::program().unwrap_or_default();
        let text = format!("{} 2 {}", self.name(), Digest::sha256(&filter));
        Digest::sha256(text.as_bytes())
    }
}

/// What is the same in every build, and different where a rebuild asks whether it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variation {
    /// The user inside.
    pub(crate) user: u32,
    /// The host name.
    pub(crate) host: String,
    /// Whether only one processor is there.
    pub(crate) is_one_cpu: bool,
    /// Another day's clock.
    pub(crate) clock: Option<Clock>,
}

/// A library that shows another time to programs that are linked dynamically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// The library.
    pub(crate) library: PathBuf,
    /// The environment that goes with it.
    pub(crate) environment: Vec<(String, String)>,
}

impl Variation {
    /// What a command sees of an environment.
    pub(crate) fn environment(&self, fixed: &[(String, String)]) -> Vec<(String, String)> {
        let clock = self.clock.iter().flat_map(|c| c.environment.iter());
        fixed.iter().chain(clock).cloned().collect()
    }
}

impl Default for Variation {
    fn default() -> Self {
        Self { user: 1000, host: "build".to_owned(), is_one_cpu: false, clock: None }
    }
}

/// What runs, and on what.
#[derive(Debug)]
pub(crate) struct Sandbox<'a> {
    /// Which kind.
    pub(crate) tier: Tier,
    /// Where gVisor's program is.
    pub(crate) runsc: Option<&'a Path>,
    /// The root file system.
    pub(crate) root: &'a Path,
    /// The source, writable.
    pub(crate) source: &'a Path,
    /// The folder that is `/build/inputs`.
    pub(crate) inputs: Option<&'a Path>,
    /// The folder that is `/build/artifacts`.
    pub(crate) artifacts: Option<&'a Path>,
    /// The command.
    pub(crate) command: &'a [String],
    /// The whole environment.
    pub(crate) environment: &'a [(String, String)],
    /// What it may use.
    pub(crate) limits: &'a Limits,
    /// Who it runs as outside.
    pub(crate) user: Option<&'a BuildUser>,
    /// What is different from other builds.
    pub(crate) variation: &'a Variation,
    /// Where its output goes.
    pub(crate) log: &'a Path,
}

/// Why there is no result.
#[derive(Debug)]
pub enum SandboxError {
    /// The sandbox could not be set up.
    Setup(String, io::Error),
    /// The program that makes the sandbox is not installed.
    NotInstalled(Tier),
    /// The command failed; the last lines of its output.
    Failed {
        /// Its status, in words, and the limit that it ran into, if any.
        status: String,
        /// The last lines.
        output: String,
    },
    /// The command took too long and was killed.
    TimedOut {
        /// Longer than this.
        time: Span,
        /// Another limit that it ran into meanwhile.
        reached: Option<String>,
    },
    /// The command used more than it may and was killed; the field says of what.
    TooMuch(String),
    /// Something of the build was still running after it was killed.
    StillRunning,
}

impl SandboxError {
    /// Why, in one line, without what the build said.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Failed { status, .. } => format!("the build command failed with {status}"),
            other => other.to_string(),
        }
    }

    /// The same of a test's command.
    pub(crate) fn of_test(&self) -> String {
        match self {
            Self::Failed { status, .. } => format!("the test failed with {status}"),
            other => other.to_string().replacen("the build command", "the test", 1),
        }
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(what, e) => write!(f, "the sandbox could not {what}: {e}"),
            Self::NotInstalled(Tier::Bubblewrap) => {
                f.write_str("bubblewrap is not installed (Debian: apt-get install bubblewrap)")
            }
            Self::NotInstalled(Tier::Gvisor) => {
                f.write_str("gVisor is not installed (Debian 13: apt-get install runsc)")
            }
            Self::Failed { status, output } => {
                write!(f, "the build command failed with {status}; it said:\n{output}")
            }
            Self::TimedOut { time, reached } => {
                write!(f, "the build command took longer than {time} and was killed")?;
                reached.as_ref().map_or(Ok(()), |reached| write!(f, "; {reached}"))
            }
            Self::TooMuch(what) => write!(f, "the build command was killed: {what}"),
            Self::StillRunning => {
                f.write_str("a process of the build could not be killed; nothing is signed")
            }
        }
    }
}
impl std::error::Error for SandboxError {}

/// What is kept of a command's output.
const MAX_LOG: u64 = 64 << 20;
/// Closes what whoever started us left open: a build would inherit it. Then it joins the groups itself, before anything
/// of the build exists.
const LAUNCH: &str = r#"keep=$1; shift
for at in /proc/self/fd/*; do
  number=${at##*/}
  case " 0 1 2 $keep " in *" $number "*) ;; *) eval "exec $number>&-" ;; esac
done
while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done
shift
exec "$@""#;
/// What a build without a group may keep in memory as files.
const WITHOUT_GROUP: u64 = 1 << 30;

impl Sandbox<'_> {
    /// Runs the command to its end and returns when every process of it is dead.
    pub(crate) fn run(&self) -> Result<(), SandboxError> {
        let group = Group::create(self.limits);
        let setup = |what: &str| {
            let what = what.to_owned();
            move |e| SandboxError::Setup(what, e)
        };
        // what it keeps in memory as files is limited by its group, or else by itself
        let scratch = if group.is_some() { self.limits.memory } else { WITHOUT_GROUP };
        let (mut command, held, container) = match self.tier {
            Tier::Bubblewrap => {
                let filter = bubblewrap::filter()?;
                let words = bubblewrap::words(self, &filter, scratch)?;
                let launcher =
                    self.launcher(group.as_ref(), &format!("{} {}", filter.as_raw_fd(), words.as_raw_fd()));
                let command = bubblewrap::command(self, launcher, &words);
                (command, Some((filter, words)), None)
            }
            Tier::Gvisor => {
                let launcher = self.launcher(group.as_ref(), "");
                let (command, container) = gvisor::command(self, launcher, scratch)?;
                (command, None, Some(container))
            }
        };
        let (reader, writer) = io::pipe().map_err(setup("make a pipe for its output"))?;
        let errors = writer.try_clone().map_err(setup("make a pipe for its output"))?;
        command.stdin(Stdio::null()).stdout(writer).stderr(errors);
        let log = fs::File::create(self.log).map_err(setup("write its log"))?;
        let child = command.spawn().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => SandboxError::NotInstalled(self.tier),
            _ => SandboxError::Setup("start".to_owned(), e),
        })?;
        // our ends of the pipe and the filter: only the build holds them now
        drop((command, held));
        let copier = std::thread::spawn(move || copy_log(reader, log));
        let outcome = self.wait(child, group.as_ref());
        drop(container);
        let all_dead = group.as_ref().is_none_or(Group::kill);
        copier.join().ok();
        if !all_dead {
            return Err(SandboxError::StillRunning);
        }
        self.judge(outcome?, group.as_ref())
    }

    /// Waits for the end, and brings it about where the build uses too much.
    fn wait(&self, mut child: Child, group: Option<&Group>) -> Result<ExitStatus, SandboxError> {
        let limit = Duration::from_secs(u64::try_from(self.limits.time.as_seconds()).unwrap_or(0));
        let start = Instant::now();
        let mut watch = Watch::new(self.source, self.limits, group);
        loop {
            if let Some(status) = child.try_wait().map_err(|e| SandboxError::Setup("wait".to_owned(), e))? {
                // what it wrote in its last moments counts too
                return watch.exceeded().map_or(Ok(status), |what| Err(SandboxError::TooMuch(what)));
            }
            let is_late = start.elapsed() > limit;
            if let Some(what) = watch.look().filter(|_| !is_late) {
                kill(&mut child, group)?;
                return Err(SandboxError::TooMuch(what));
            }
            if is_late {
                let reached = group.and_then(|g| g.reached(self.limits));
                kill(&mut child, group)?;
                return Err(SandboxError::TimedOut { time: self.limits.time, reached });
            }
            let pause = if start.elapsed() < Duration::from_millis(200) { 1 } else { 10 };
            std::thread::sleep(Duration::from_millis(pause));
        }
    }

    fn judge(&self, status: ExitStatus, group: Option<&Group>) -> Result<(), SandboxError> {
        // a command that lost a process to a limit, and says that it succeeded, made something else than it was told to
        let reached = group.and_then(|g| g.reached(self.limits));
        if status.success() && reached.is_none() {
            return Ok(());
        }
        let status = match (status.code(), status.signal()) {
            (Some(code), _) => format!("status {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        let status = reached.map_or_else(|| status.clone(), |reached| format!("{status}, and {reached}"));
        Err(SandboxError::Failed { status, output: self.last_lines() })
    }

    /// The end of the command's output; the rest may be long.
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
        let text: String =
            String::from_utf8_lossy(&bytes).chars().map(|c| if is_steering(c) { ' ' } else { c }).collect();
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(15)).map(|l| format!("    {l}\n")).collect()
    }

    /// Limits, then the user, and after them the sandbox: each outer layer holds should an inner one fail.
    fn launcher(&self, group: Option<&Group>, keep: &str) -> Command {
        let mut command = Command::new("bash");
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.args(["--norc", "--noprofile", "-c", LAUNCH, "launcher", keep]);
        command.args(group.map(Group::doors).unwrap_or_default()).arg("--");
        command.arg("prlimit").arg("--core=0");
        if self.tier == Tier::Bubblewrap {
            command.arg(format!("--fsize={}", self.limits.disk));
        }
        if group.is_none() {
            // each process by itself is what can be limited without a group
            command.arg(format!("--as={}", self.limits.memory));
            command.arg(format!("--nproc={}", self.limits.processes.max(64)));
        }
        command.arg("--");
        if self.variation.is_one_cpu {
            command.args(["taskset", "1"]);
        }
        if let Some(user) = self.user.filter(|_| self.tier == Tier::Bubblewrap) {
            command
                .arg("setpriv")
                .arg(format!("--reuid={}", user.id()))
                .arg(format!("--regid={}", user.id()));
            command.args(["--clear-groups", "--no-new-privs", "--"]);
        }
        command
    }
}

/// Moves the cursor, or turns the text around that is read.
fn is_steering(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\n')
}

/// bubblewrap's first process dies with it, and with that the whole process namespace; the group is killed in any case.
fn kill(child: &mut Child, group: Option<&Group>) -> Result<(), SandboxError> {
    let failed = |e| SandboxError::Setup("kill the build".to_owned(), e);
    group.map(Group::kill);
    child.kill().map_err(failed)?;
    child.wait().map_err(failed).map(drop)
}

/// Copies the build's output to its log, and lets it write on where the log is full.
fn copy_log(mut reader: io::PipeReader, mut log: fs::File) {
    let kept = io::copy(&mut reader.by_ref().take(MAX_LOG), &mut log);
    if kept.is_ok_and(|count| count == MAX_LOG) {
        writeln!(log, "\n[the log ends here: it is longer than {} MiB]", MAX_LOG >> 20).ok();
    }
    io::copy(&mut reader, &mut io::sink()).ok();
}
