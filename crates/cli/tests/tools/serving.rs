//! `portcullis serve`, running, and what it says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::portcullis_command;

/// Killed when it is dropped.
pub struct Serving {
    child: Child,
    pub url: String,
    metrics: String,
    events: Arc<Mutex<Vec<String>>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Serving {
    /// Starts it, and waits until it listens.
    pub fn start(config: &Path) -> Self {
        let mut command = portcullis_command();
        command.args(["serve", "--config"]).arg(config).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let (stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&events));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let mut serving = Self { child, url: String::new(), metrics: String::new(), events };
        let line = attest::json::parse(serving.event("\"listening\"").as_bytes()).unwrap();
        let line = line.as_object().unwrap();
        serving.url = format!("https://{}", line.string("address").unwrap());
        serving.metrics = line.string("metrics").unwrap().to_owned();
        serving
    }

    /// The first event with this in it, waited for.
    pub fn event(&self, part: &str) -> String {
        self.event_with(&[part])
    }

    /// The first event with all of this in it, waited for.
    pub fn event_with(&self, parts: &[&str]) -> String {
        let began = Instant::now();
        loop {
            let events = self.events.lock().unwrap().clone();
            if let Some(line) = events.iter().find(|line| parts.iter().all(|part| line.contains(part))) {
                return line.clone();
            }
            assert!(began.elapsed() < Duration::from_secs(30), "no {parts:?} in {events:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How many events have this in them.
    pub fn count(&self, part: &str) -> usize {
        self.events.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }

    /// What it said until now is waited for no more.
    pub fn forget(&self) {
        self.events.lock().unwrap().clear();
    }

    /// The answer at the address of its metrics.
    pub fn read(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.metrics).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: metrics\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Ends it as an orchestrator does, and gives its exit code.
    pub fn end(mut self) -> i32 {
        self.signal("TERM");
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}
