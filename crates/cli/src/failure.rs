//! An error of ours: we could not do our job. Never said of a deployment.

use std::path::Path;
use std::process::ExitCode;

use attest::{Json, LoadError, Object};
use policy::Diagnostic;

/// How a command ended, as grep ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Admitted, or clean.
    Clean,
    /// Rejected, or something found.
    Found,
    /// Could not do the job.
    Failed,
    /// As the command ended that was run after an admission.
    Of(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Clean => Self::from(0),
            Exit::Found => Self::from(1),
            Exit::Failed => Self::from(2),
            Exit::Of(status) => Self::from(status),
        }
    }
}

/// What went wrong, and how to mend it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: &'static str,
    message: String,
    lines: Vec<(&'static str, String)>,
    files: Vec<(&'static str, LoadError)>,
    exit: Exit,
}

impl Failure {
    pub(crate) fn new(message: &str) -> Self {
        Self {
            code: "failed",
            message: message.to_owned(),
            lines: Vec::new(),
            files: Vec::new(),
            exit: Exit::Failed,
        }
    }

    /// A word for programs, which stays where the message is worded anew.
    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// Another line of the message.
    pub(crate) fn line(mut self, label: &'static str, text: &str) -> Self {
        self.lines.push((label, text.to_owned()));
        self
    }

    /// The content of evidence is bad, rather than something of ours.
    pub(crate) fn found(mut self) -> Self {
        self.exit = Exit::Found;
        self
    }

    /// An I/O error on a path.
    pub(crate) fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let fix = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "check the name; relative names are relative to the current folder"
            }
            std::io::ErrorKind::PermissionDenied => "let this user read or write it, or run as another user",
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                "make room on the disk; nothing was half-written"
            }
            std::io::ErrorKind::ReadOnlyFilesystem => "choose a place that can be written",
            _ => "see the system's message above",
        };
        Self::new(&format!("cannot {what} {}", path.display()))
            .code("file-error")
            .line("found", &error.to_string())
            .line("fix", fix)
    }

    /// Files that a person wrote do not load.
    pub(crate) fn load(code: &'static str, errors: Vec<LoadError>) -> Self {
        let mut failure = Self::new("").code(code);
        failure.files = errors.into_iter().map(|e| (code, e)).collect();
        failure
    }

    /// The same of files of several kinds, each with its own word for programs.
    pub(crate) fn load_all(code: &'static str, errors: Vec<(&'static str, LoadError)>) -> Self {
        Self { files: errors, ..Self::new("").code(code) }
    }

    /// The whole of it in one line, where it is only a part of what is told.
    pub(crate) fn reason(&self) -> String {
        let found = self.lines.iter().filter(|(label, _)| matches!(*label, "found" | "wanted"));
        let found: Vec<String> = found.map(|(label, text)| format!("{label} {text}")).collect();
        format!("{}: {}", self.message, found.join(", ")).trim_end_matches(": ").to_owned()
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn to_text(&self, style: policy::Style) -> String {
        let (on, off) = match style {
            policy::Style::Plain => ("", ""),
            policy::Style::Colour => ("\u{1b}[1;31m", "\u{1b}[0m"),
        };
        let mut out = String::new();
        for (code, error) in &self.files {
            out.push_str(&Diagnostic::of_load_error(code, error).to_text(style));
        }
        if !self.message.is_empty() {
            out.push_str(&format!("{on}error{off}: {}\n", self.message));
            for (label, text) in &self.lines {
                out.push_str(&format!("  {label:<9} {text}\n"));
            }
        }
        out
    }

    pub(crate) fn to_json(&self) -> Json {
        let line = |(label, text): &(&'static str, String)| {
            Json::from(Object::new().with("label", *label).with("text", text.as_str()))
        };
        let files = self.files.iter().map(|(code, e)| Diagnostic::load_error_json(code, e)).collect();
        let message = if self.message.is_empty() { "the files have errors" } else { &self.message };
        Object::new()
            .with("code", self.code)
            .with("error", message)
            .with("lines", Json::Array(self.lines.iter().map(line).collect()))
            .with("files", Json::Array(files))
            .into()
    }
}
