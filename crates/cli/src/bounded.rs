//! Programs of others, run for so long and no longer, and heard for so much and no more.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What a program left.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; nothing where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Why a program was stopped, or did not begin.
#[derive(Debug)]
pub(crate) enum Stopped {
    Start(std::io::Error),
    TooLong,
    TooMuch(usize),
    Read(std::io::Error),
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(e) => write!(f, "it cannot be started: {e}"),
            Self::TooLong => f.write_str("it did not end in time, and was stopped"),
            Self::TooMuch(limit) => write!(f, "it printed more than {limit} bytes, and was stopped"),
            Self::Read(e) => write!(f, "its answer cannot be read: {e}"),
        }
    }
}

/// Runs a program until `deadline`. Everything that it started is killed with it.
pub(crate) fn run(
    command: &mut Command,
    input: Vec<u8>,
    deadline: Instant,
    limit: usize,
) -> Result<Ended, Stopped> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(Stopped::Start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // a program that does not read its input closes it, which is no error of ours
        std::thread::spawn(move || stdin.write_all(&input).ok());
    }
    let stdout = child.stdout.take().map(|pipe| listen(pipe, limit));
    let stderr = child.stderr.take().map(|pipe| listen(pipe, limit));
    let heard = hear(stdout, deadline, limit).and_then(|out| Ok((out, hear(stderr, deadline, limit)?)));
    let ended =
        heard.and_then(|(stdout, stderr)| Ok(Ended { code: wait(&mut child, deadline)?, stdout, stderr }));
    // also after a good end: what it left behind must not go on
    stop(&mut child);
    ended
}

type Heard = mpsc::Receiver<std::io::Result<Vec<u8>>>;

/// In a thread of its own, that nobody waits for: a pipe that was handed on to others may never close.
fn listen(pipe: impl std::io::Read + Send + 'static, limit: usize) -> Heard {
    let (sender, receiver) = mpsc::channel();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.take(most).read_to_end(&mut bytes);
        sender.send(read.map(|_| bytes)).ok();
    });
    receiver
}

fn hear(heard: Option<Heard>, deadline: Instant, limit: usize) -> Result<Vec<u8>, Stopped> {
    let Some(heard) = heard else { return Ok(Vec::new()) };
    let left = deadline.saturating_duration_since(Instant::now());
    let bytes = heard.recv_timeout(left).map_err(|_| Stopped::TooLong)?.map_err(Stopped::Read)?;
    if bytes.len() > limit { Err(Stopped::TooMuch(limit)) } else { Ok(bytes) }
}

fn wait(child: &mut Child, deadline: Instant) -> Result<Option<i32>, Stopped> {
    loop {
        match child.try_wait().map_err(Stopped::Read)? {
            Some(status) => return Ok(status.code()),
            None if Instant::now() >= deadline => return Err(Stopped::TooLong),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn stop(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
    child.wait().ok();
}
