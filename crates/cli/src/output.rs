//! Where words go: results to standard output, errors to standard error, colour only on a terminal.

use std::io::IsTerminal as _;

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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    stdout: Style,
    stderr: Style,
}

impl Output {
    pub(crate) fn new(format: Format, color: Color) -> Self {
        let style = |is_terminal: bool| match (color, is_terminal) {
            (Color::Always, _) | (Color::Auto, true) => Style::Colour,
            (Color::Never, _) | (Color::Auto, false) => Style::Plain,
        };
        Self {
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
        use std::io::Write as _;
        let text = if self.is_json() { format!("{}\n", json().pretty()) } else { human.to_owned() };
        std::io::stdout().write_all(text.as_bytes()).ok();
    }

    /// Prints something for people as it happens; nothing in JSON.
    pub(crate) fn say(&self, line: &str) {
        if !self.is_json() {
            use std::io::Write as _;
            let mut out = std::io::stdout();
            writeln!(out, "{line}").and_then(|()| out.flush()).ok();
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
