//! A build as a process of its own: the same program, with nothing of the service's environment.
//!
//! The child's standard input is a pipe that the service holds and never writes. When the service closes it, or is
//! killed and the kernel closes it, `portcullis build --served` kills its own process group. Unlike a parent-death
//! signal, this does not depend on the thread that started it, and it has no window between start and set-up.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr};

use crate::config::Repository;
use crate::folders::JobFolder;
use crate::job::Job;
use crate::service::Service;

/// A build that was told to end and does not is killed after this.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The command line of a build: the only place that knows it.
pub(crate) fn command(service: &Service, job: &Job, repository: &Repository, folder: &JobFolder) -> Command {
    let config = &service.config;
    let mut command = Command::new(&service.program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    command.env("TMPDIR", folder.work(job.attempts));
    command.args(["--format", "json", "build", "--served"]);
    // with `=`, a value that looks like an option stays a value
    command.arg(format!("--ref={}", job.wish.reference)).arg(format!("--target={}", job.wish.target));
    command.arg("--out").arg(folder.out(job.attempts));
    command.arg("--signer").arg(&config.signer).arg("--store").arg(&config.store);
    command.arg(format!("--invocation={}", job.id));
    command.arg(format!("--protected={}", repository.protected));
    if let Some(tier) = &config.builds.tier {
        command.arg(format!("--tier={tier}"));
    }
    command.arg("--").arg(&repository.url);
    command
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
    pub(crate) fn start(mut command: Command, result: File, log: (PathBuf, u64)) -> io::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        command.stdin(Stdio::piped()).stdout(result).stderr(Stdio::piped()).process_group(0);
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        let stderr = child.stderr.take();
        let log = tokio::spawn(async move {
            if let Some(stderr) = stderr {
                copy_log(stderr, &log.0, log.1).await.ok();
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

/// Appends what the build says to its log, up to a size; the rest is read and dropped, so that the build goes on.
async fn copy_log(mut from: ChildStderr, to: &Path, limit: u64) -> io::Result<()> {
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).mode(0o600).open(to).await?;
    let mut left = limit.saturating_sub(file.metadata().await?.len());
    let mut buffer = vec![0; 1 << 14];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let keep = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        file.write_all(buffer.get(..keep).unwrap_or_default()).await?;
        if keep < count && left > 0 {
            file.write_all(b"\n[the log is longer than this service keeps]\n").await?;
        }
        file.flush().await?;
        left = left.saturating_sub(u64::try_from(keep).unwrap_or(0));
    }
}
