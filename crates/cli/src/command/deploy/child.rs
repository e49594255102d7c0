//! The command: started with exactly what it was given, heard to its end, and told what this process is told.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::sealed::Sealed;
use crate::failure::Failure;
use crate::output::Output;

/// What a terminal sends to everything that runs in it.
const OF_A_TERMINAL: [Signal; 2] = [Signal::INT, Signal::QUIT];
const FORWARDED: [Signal; 6] =
    [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2];

/// A command that has not begun.
#[derive(Debug)]
pub(super) struct Child {
    program: String,
    command: Command,
    /// What it inherits lives until it has begun.
    secrets: Vec<Sealed>,
}

/// A command that cannot be started is no matter for a decision. Whether it can is found out again when it is.
pub(super) fn check(program: &str, search: Option<&OsStr>) -> Result<(), Failure> {
    // the artifact itself
    if program.contains("{}") {
        return Ok(());
    }
    let may_run = |file: &Path| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    let is_there = match search {
        _ if program.contains('/') => may_run(Path::new(program)),
        Some(search) => std::env::split_paths(search).any(|folder| may_run(&folder.join(program))),
        // the system's own folders
        None => true,
    };
    is_there.then_some(()).ok_or_else(|| {
        Failure::new(&format!("`{program}` cannot be run, so nothing was decided"))
            .code("command")
            .line("wanted", "a program that this user may run, by its path, or in a folder of PATH")
            .line("fix", "check its name, and that this user may run it")
    })
}

impl Child {
    /// The command with `{}` replaced: an argument that has it is there once for each path.
    pub(super) fn new(words: &[String], paths: &[String]) -> Result<Self, Failure> {
        let mut given = Vec::new();
        for word in words {
            if word.contains("{}") {
                given.extend(paths.iter().map(|path| word.replace("{}", path)));
            } else {
                given.push(word.clone());
            }
        }
        let (program, arguments) =
            given.split_first().ok_or_else(|| Failure::new("nothing says what to run"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(Self { program: program.clone(), command, secrets: Vec::new() })
    }

    pub(super) fn stdin(&mut self, file: Option<&Sealed>) -> Result<(), Failure> {
        let Some(file) = file else { return Ok(()) };
        let stdin = file.open().map_err(|e| {
            Failure::new("the verified bytes cannot be handed over").line("found", &e.to_string())
        })?;
        self.command.stdin(stdin);
        Ok(())
    }

    pub(super) fn environment(&mut self, name: &str, value: &[u8]) {
        self.command.env(name, OsString::from_vec(value.to_vec()));
    }

    /// A file that nobody else has, under a name in the environment.
    pub(super) fn secret(&mut self, name: &str, value: &[u8]) -> Result<(), Failure> {
        let kept = Sealed::secret(value).and_then(|sealed| Ok((sealed.inherit()?, sealed)));
        let (path, sealed) = kept.map_err(|e| {
            Failure::new("the credential cannot be handed over").line("found", &e.to_string())
        })?;
        self.command.env(name, path);
        self.secrets.push(sealed);
        Ok(())
    }

    /// Runs it to its end, and gives its exit code; 128 and the signal's number where one ended it.
    pub(super) fn run(mut self, output: &Output) -> Result<u8, Failure> {
        if output.is_json() {
            // one document on standard output, and it is ours
            self.command.stdout(Stdio::from(std::io::stderr()));
        }
        let failed = |e: std::io::Error| {
            Failure::new(&format!("the file is admitted, and `{}` did not run", self.program))
                .code("command")
                .line("found", &e.to_string())
                .line("fix", "check its name, and that this user may run it")
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let status = runtime.block_on(async {
            let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
            for which in FORWARDED {
                let mut came = signal(SignalKind::from_raw(which.as_raw()))?;
                let sender = sender.clone();
                tokio::spawn(
                    async move { while came.recv().await.is_some() && sender.send(which).is_ok() {} },
                );
            }
            let mut child = self.command.spawn()?;
            self.secrets.clear();
            loop {
                tokio::select! {
                    status = child.wait() => return status,
                    Some(which) = heard.recv() => forward(child.id(), which),
                }
            }
        });
        status.map(code).map_err(failed)
    }
}

fn forward(child: Option<u32>, which: Signal) {
    let is_told = OF_A_TERMINAL.contains(&which) && std::io::stdin().is_terminal();
    let child = child.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(child) = child.filter(|_| !is_told) {
        kill_process(child, which).ok();
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
