//! A build as a process of its own: the same program, with nothing of the service's environment.
//!
//! The child's standard input is a pipe that the service holds and never writes. When the service closes it, or is
//! killed and the kernel closes it, `portcullis build --until-input-closes` kills its own process group. Unlike a parent-death
//! signal, this does not depend on the thread that started it, and it has no window between start and set-up.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr};

use crate::config::Repository;
use crate::folders::JobFolder;
use crate::job::Job;
use crate::service::Service;

/// A build that was told to end and does not is killed after this.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often the command's log is looked at.
const LOOK: Duration = Duration::from_millis(100);
const MAX_PIECE: usize = 1 << 20;

/// The command line of a build: the only place that knows it.
pub(crate) fn command(service: &Service, job: &Job, repository: &Repository, folder: &JobFolder) -> Command {
    let config = &service.config;
    let mut command = Command::new(&service.program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    command.env("TMPDIR", folder.work(job.attempts));
    command.args(["--format", "json", "build", "--until-input-closes"]);
    // with `=`, a value that looks like an option stays a value
    command.arg(format!("--ref={}", job.wish.reference)).arg(format!("--target={}", job.wish.target));
    command.arg("--out").arg(folder.out(job.attempts));
    command.arg("--signer").arg(&config.signer).arg("--store").arg(&config.store);
    command.arg("--log").arg(folder.command_log(job.attempts));
    command.arg(format!("--invocation={}", job.id));
    command.arg(format!("--protected={}", repository.protected));
    let builds = &config.builds;
    command.args(builds.sandbox.iter().map(|name| format!("--sandbox={name}")));
    command.args(builds.retention.iter().map(|span| format!("--retention={span}")));
    command.args(builds.hosts.iter().map(|host| format!("--allow-host={host}")));
    command.args(builds.mirrors.iter().map(|(from, to)| format!("--mirror={from}={to}")));
    if let Some(file) = &builds.trust_root {
        command.arg("--trust-root").arg(file);
    }
    command.arg("--").arg(&repository.url);
    command
}

/// Where the log of a build comes from, where it goes, and how much of it.
#[derive(Clone, Debug)]
pub(crate) struct LogFiles {
    /// What the command prints, written by the build.
    pub(crate) command: PathBuf,
    /// What is kept of everything.
    pub(crate) all: PathBuf,
    /// How many bytes at most.
    pub(crate) limit: u64,
}

/// A build that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    group: Option<rustix::process::Pid>,
    log: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Starts a build in a process group of its own.
    pub(crate) fn start(mut command: Command, result: File, log: LogFiles) -> io::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        command.stdin(Stdio::piped()).stdout(result).stderr(Stdio::piped()).process_group(0);
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        let stderr = child.stderr.take();
        let mut log = JobLog::open(&log)?;
        let log = tokio::spawn(async move {
            if let Some(stderr) = stderr {
                log.copy(stderr).await.ok();
            }
        });
        Ok(Self { child, group, log })
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        // tokio would close the child's input first, which is how we tell it to end
        let input = self.child.stdin.take();
        let status = self.child.wait().await;
        drop(input);
        // whatever of it is left holds the log's pipe open
        self.kill();
        (&mut self.log).await.ok();
        status
    }

    /// Ends it, whatever it does.
    pub(crate) async fn stop(mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(LAST_WORDS, self.child.wait()).await.is_err() {
            self.kill();
            self.child.wait().await.ok();
        }
        self.kill();
        self.log.await.ok();
    }

    fn kill(&self) {
        if let Some(group) = self.group {
            // none left is what is wanted
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        }
    }
}

/// The log of a job: what the orchestrator says, and what the command prints, as both come. Up to a size; the rest is
/// read and dropped, so that the build goes on.
struct JobLog {
    file: File,
    left: u64,
    /// Where the command's own log stands, and how much of it was taken.
    command: (PathBuf, u64),
}

impl JobLog {
    fn open(log: &LogFiles) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&log.all)?;
        let left = log.limit.saturating_sub(file.metadata()?.len());
        Ok(Self { file, left, command: (log.command.clone(), 0) })
    }

    async fn copy(&mut self, mut from: ChildStderr) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 14];
        loop {
            let read = tokio::time::timeout(LOOK, from.read(&mut buffer)).await;
            self.take_command()?;
            match read {
                Err(_) => {}
                Ok(Ok(0)) => return Ok(()),
                Ok(count) => self.add(buffer.get(..count?).unwrap_or_default())?,
            }
        }
    }

    /// Takes what the command printed since.
    fn take_command(&mut self) -> io::Result<()> {
        let Ok(mut file) = File::open(&self.command.0) else { return Ok(()) };
        // it begins anew for another command
        if file.metadata()?.len() < self.command.1 {
            self.command.1 = 0;
        }
        file.seek(io::SeekFrom::Start(self.command.1))?;
        let mut bytes = Vec::new();
        let most = u64::try_from(MAX_PIECE).unwrap_or(0);
        self.command.1 += u64::try_from(file.take(most).read_to_end(&mut bytes)?).unwrap_or(0);
        self.add(&bytes)?;
        if bytes.len() == MAX_PIECE { self.take_command() } else { Ok(()) }
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        let keep = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.file.write_all(bytes.get(..keep).unwrap_or_default())?;
        if keep < bytes.len() && self.left > 0 {
            self.file.write_all(b"\n[the log is longer than this service keeps]\n")?;
        }
        self.left = self.left.saturating_sub(u64::try_from(keep).unwrap_or(0));
        Ok(())
    }
}
