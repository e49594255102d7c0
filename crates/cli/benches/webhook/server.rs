//! A server as a process of its own, so that its CPU and memory are its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use attest::Json;

use crate::fixture::{self, Fixture};

/// What serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    AlwaysYes,
    OnlyChecks,
    Uncached,
    Cached,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::AlwaysYes => "bare, always yes",
            Self::OnlyChecks => "bare, 4 checks",
            Self::Uncached => "portcullis, uncached",
            Self::Cached => "portcullis, cached",
        }
    }
}

pub struct Server {
    child: Child,
    port: u16,
    _run: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    pub fn start(fixture: &Fixture, kind: Kind) -> Self {
        // does nothing but start what follows
        Self::start_under(Command::new("env"), fixture, kind)
    }

    /// Starts it as an argument of another program, which becomes it.
    pub fn start_under(runner: Command, fixture: &Fixture, kind: Kind) -> Self {
        let run = tempfile::tempdir_in(fixture.path()).unwrap();
        match kind {
            Kind::AlwaysYes => Self::floor(runner, fixture, run, "yes"),
            Kind::OnlyChecks => Self::floor(runner, fixture, run, "checks"),
            Kind::Uncached => Self::portcullis(runner, fixture, run, "none"),
            Kind::Cached => Self::portcullis(runner, fixture, run, "64MiB"),
        }
    }

    /// Tells it to end, and waits until it has.
    pub fn end(mut self) {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        self.child.wait().unwrap();
    }

    fn floor(mut command: Command, fixture: &Fixture, run: tempfile::TempDir, kind: &str) -> Self {
        command.arg(std::env::current_exe().unwrap());
        command.arg("--floor").arg(kind).arg(fixture.path()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap(), _run: run }
    }

    #[allow(clippy::zombie_processes, reason = "a benchmark that panics ends with its process")]
    fn portcullis(mut command: Command, fixture: &Fixture, run: tempfile::TempDir, cache: &str) -> Self {
        let config = fixture::configuration(fixture.path(), run.path(), cache);
        let log = run.path().join("stderr");
        command.arg(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("serve").arg("--config").arg(config).stderr(std::fs::File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        for _ in 0..3000 {
            let text = std::fs::read_to_string(&log).unwrap();
            if let Some(port) = text.lines().find_map(listening) {
                return Self { child, port, _run: run };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not listen: {}", std::fs::read_to_string(&log).unwrap());
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// User and system time so far.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after = stat.rsplit_once(')').unwrap().1;
        let words: Vec<u64> = after.split_whitespace().skip(11).take(2).map(|w| w.parse().unwrap()).collect();
        // a tick is 10 ms on Linux
        Duration::from_millis(10 * (words[0] + words[1]))
    }

    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }
}

/// The port in an event line that says where the webhook listens.
fn listening(line: &str) -> Option<u16> {
    let value = attest::json::parse(line.as_bytes()).ok()?;
    let Json::Object(object) = value else { return None };
    let is_it = matches!(object.get("event"), Some(Json::String(e)) if e == "listening");
    let Some(Json::String(address)) = object.get("address").filter(|_| is_it) else { return None };
    address.rsplit_once(':')?.1.parse().ok()
}
