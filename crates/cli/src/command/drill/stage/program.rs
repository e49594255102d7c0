//! The program itself, run as a user runs it.

use std::path::Path;
use std::process::{Command, Stdio};

use super::Stage;
use crate::command::drill::outcome::Seen;
use crate::failure::Failure;

/// What a command said, and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) text: String,
}

impl Ran {
    /// What it comes to where `stated` is what should have been said.
    pub(crate) fn seen(self, stated: &str) -> Seen {
        let said = self.text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let reason = if self.text.contains(stated) { stated } else { said };
        Seen {
            is_let_through: self.exit == 0,
            reasons: vec![reason.to_owned()],
            basis: format!("exit {}", self.exit),
            message: self.text,
            left: Vec::new(),
        }
    }

    /// It had to work for the drill to go on.
    pub(crate) fn worked(self) -> Result<String, Failure> {
        if self.exit == 0 {
            return Ok(self.text);
        }
        Err(Failure::new("a step of the drill failed").line("found", self.text.trim()))
    }
}

impl Stage<'_> {
    /// This program, with nothing of the caller's environment.
    pub(crate) fn program(&self) -> Result<Command, Failure> {
        let program = std::env::current_exe().map_err(|e| {
            Failure::new("the drill cannot start its own program").line("found", &e.to_string())
        })?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.at("home"))
            .current_dir(self.at(""))
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Runs it to its end.
    pub(crate) fn portcullis(&self, words: &[&str]) -> Result<Ran, Failure> {
        let mut program = self.program()?;
        program.args(words);
        Self::run(program)
    }

    pub(super) fn run(mut program: Command) -> Result<Ran, Failure> {
        let output = program.output();
        let output = output.map_err(|e| {
            Failure::new("the drill cannot start its own program").line("found", &e.to_string())
        })?;
        let text = [output.stderr, output.stdout].concat();
        Ok(Ran {
            exit: output.status.code().unwrap_or(-1),
            text: String::from_utf8_lossy(&text).into_owned(),
        })
    }
}

/// The words for programs in messages: `rule` in `error[rule]: …`.
pub(crate) fn words_of(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in text.split("error[").skip(1) {
        let word = part.split(']').next().unwrap_or_default().to_owned();
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// A path as a word of a command line.
pub(crate) fn word(path: &Path) -> String {
    path.display().to_string()
}
