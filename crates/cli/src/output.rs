//! Where words go: results to standard output, errors to standard error, colour only on a terminal.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write as _};

use attest::Json;
use clap::ValueEnum;
use policy::{Diagnostic, Style};

use crate::failure::{Exit, Failure};

/// The form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Human,
    /// For programs: one JSON document.
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to print.
#[derive(Debug)]
pub(crate) struct Output {
    lost: Cell<bool>,
    format: Format,
    stdout: Style,
    stderr: Style,
}

impl Output {
    /// `no_color` is the variable NO_COLOR, which speaks where nobody chose.
    pub(crate) fn new(format: Format, color: Color, no_color: bool) -> Self {
        let style = |is_terminal: bool| match (color, is_terminal && !no_color) {
            (Color::Always, _) | (Color::Auto, true) => Style::Colour,
            (Color::Never, _) | (Color::Auto, false) => Style::Plain,
        };
        Self {
            lost: Cell::new(false),
            format,
            stdout: style(std::io::stdout().is_terminal()),
            stderr: style(std::io::stderr().is_terminal()),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints a result: text for people, or JSON. A closed pipe is no error of ours.
    pub(crate) fn result(&self, human: &str, json: impl FnOnce() -> Json) {
        let text = if self.is_json() { format!("{}\n", json().pretty()) } else { human.to_owned() };
        let mut out = io::stdout();
        self.note(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }

    /// Prints text that is the same in every format.
    pub(crate) fn script(&self, text: &str) {
        let mut out = io::stdout();
        self.note(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }

    /// Remembers that a result did not reach its reader. A reader that went away on purpose lost nothing.
    fn note(&self, written: io::Result<()>) {
        if written.is_err_and(|e| e.kind() != io::ErrorKind::BrokenPipe) {
            self.lost.set(true);
        }
    }

    /// Whether something that should have been printed was lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.get()
    }

    /// Prints something for people as it happens; nothing in JSON.
    pub(crate) fn say(&self, line: &str) {
        if !self.is_json() {
            let mut out = io::stdout();
            self.note(writeln!(out, "{line}").and_then(|()| out.flush()));
        }
    }

    /// Prints progress to standard error; nothing in JSON.
    pub(crate) fn progress(&self, line: &str) {
        if !self.is_json() {
            eprintln!("{line}");
        }
    }

    pub(crate) fn diagnostic(&self, diagnostic: &Diagnostic) -> String {
        diagnostic.to_text(self.stdout)
    }

    pub(crate) fn failure(&self, failure: &Failure) -> Exit {
        if self.is_json() {
            println!("{}", failure.to_json().pretty());
        } else {
            eprint!("{}", failure.to_text(self.stderr));
        }
        failure.exit()
    }
}
