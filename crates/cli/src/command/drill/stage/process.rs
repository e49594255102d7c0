//! A process of ours that runs while a drill does, and ends with it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use attest::Object;

use super::Stage;
use crate::failure::Failure;

/// How long it may take to say what is waited for.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Stage<'_> {
    /// Starts this program with these words.
    pub(crate) fn start(&self, words: &[&str]) -> Result<Process, Failure> {
        let cannot = |e: &dyn std::fmt::Display| {
            Failure::new("the drill cannot start its own program").line("found", &e.to_string())
        };
        let child = self.program()?.args(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| cannot(&e))?;
        let (send, lines) = channel();
        let stderr = child.stderr.take().ok_or_else(|| cannot(&"it has no standard error"))?;
        let read = move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        };
        let started = std::thread::Builder::new().name("drill".to_owned()).spawn(read);
        started.map_err(|e| cannot(&e))?;
        Ok(Process { child, lines, said: Vec::new() })
    }
}

impl Process {
    /// The next of its events with this name.
    pub(crate) fn event(&mut self, name: &str) -> Result<Object, Failure> {
        let began = Instant::now();
        while let Some(left) = WITHIN.checked_sub(began.elapsed()) {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            let json = attest::json::parse(line.as_bytes()).ok();
            let event = json.and_then(|json| json.as_object().ok().cloned());
            self.said.push(line);
            if let Some(event) = event.filter(|event| event.string("event").is_ok_and(|word| word == name)) {
                return Ok(event);
            }
        }
        Err(Failure::new(&format!("a process of the drill does not say `{name}`"))
            .line("found", &self.said.join("; ")))
    }

    /// Waits until a file is there that it makes.
    pub(crate) fn wait_for(&mut self, file: &Path) -> Result<(), Failure> {
        let began = Instant::now();
        while !file.exists() {
            if began.elapsed() > WITHIN || self.child.try_wait().ok().flatten().is_some() {
                let said: Vec<String> = self.lines.try_iter().collect();
                return Err(
                    Failure::new("a process of the drill did not begin").line("found", &said.join("; "))
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
