//! Anything that a person is told, before style. One value becomes terminal text, plain text and JSON, with the same
//! words everywhere.

use attest::{Json, LoadError, Object, Place};

use crate::finding::{Finding, place_json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It refuses, or the file does not load.
    Error,
    /// It will refuse later.
    Warning,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The rule, or the kind of error.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Label and text, in order, with the place that belongs to it.
    lines: Vec<(&'static str, String, Option<String>)>,
}

/// Whether escape codes may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// No escape codes.
    Plain,
    /// Colour, for terminals. The words are the same.
    Colour,
}

impl Diagnostic {
    /// An error that no rule of a policy found. `code` is its word for programs.
    #[must_use]
    pub fn new(code: &str, message: &str) -> Self {
        let message = crate::finding::one_line(message);
        Self { severity: Severity::Error, code: code.to_owned(), message, lines: Vec::new() }
    }

    /// The same with another line at its end, where there is something to say.
    #[must_use]
    pub fn line(mut self, label: &'static str, text: &str) -> Self {
        if !text.is_empty() {
            self.lines.push((label, crate::finding::one_line(text), None));
        }
        self
    }

    /// A finding about an artifact.
    #[must_use]
    pub fn of_finding(finding: &Finding, artifact: &str, severity: Severity) -> Self {
        let mut lines = vec![("artifact", artifact.to_owned(), None)];
        if !finding.wanted.is_empty() {
            lines.push(("wanted", finding.wanted.clone(), finding.place.as_ref().map(Place::to_string)));
        }
        if !finding.found.is_empty() {
            lines.push(("found", finding.found.clone(), finding.evidence.clone()));
        }
        for (index, fix) in finding.fixes().iter().enumerate() {
            lines.push((if index == 0 { "fix" } else { "or" }, fix.clone(), None));
        }
        lines.push(("more", format!("portcullis explain {}", finding.rule), None));
        Self { severity, code: finding.rule.to_owned(), message: finding.message.clone(), lines }
    }

    /// The same with another line before the fixes: what only the choke point knows about the request.
    #[must_use]
    pub fn noting(mut self, label: &'static str, text: &str) -> Self {
        self.lines.insert(self.place_of("fix"), (label, crate::finding::one_line(text), None));
        self
    }

    /// The same with another fix before the others.
    #[must_use]
    pub fn rather(mut self, fix: &str) -> Self {
        let at = self.place_of("fix");
        if let Some(first) = self.lines.get_mut(at) {
            first.0 = if first.0 == "fix" { "or" } else { first.0 };
        }
        self.lines.insert(at, ("fix", crate::finding::one_line(fix), None));
        self
    }

    /// The same with another fix behind the others.
    #[must_use]
    pub fn or(mut self, fix: &str) -> Self {
        self.lines.insert(self.place_of("more"), ("or", crate::finding::one_line(fix), None));
        self
    }

    fn place_of(&self, label: &str) -> usize {
        self.lines.iter().position(|(known, ..)| *known == label).unwrap_or(self.lines.len())
    }

    /// An error in a file that a person wrote.
    #[must_use]
    pub fn of_load_error(code: &str, error: &LoadError) -> Self {
        let mut lines = vec![("place", error.place.to_string(), None)];
        lines.extend(error.wanted.as_ref().map(|w| ("wanted", w.clone(), None)));
        lines.extend(error.found.as_ref().map(|f| ("found", f.clone(), None)));
        lines.extend(error.fix.as_ref().map(|f| ("fix", f.clone(), None)));
        Self { severity: Severity::Error, code: code.to_owned(), message: error.message.clone(), lines }
    }

    /// The text: a head line and aligned lines below it.
    #[must_use]
    pub fn to_text(&self, style: Style) -> String {
        let (word, colour) = match self.severity {
            Severity::Error => ("error", "\u{1b}[1;31m"),
            Severity::Warning => ("warning", "\u{1b}[1;33m"),
        };
        let (on, bold, dim, off) = match style {
            Style::Plain => ("", "", "", ""),
            Style::Colour => (colour, "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[0m"),
        };
        let mut out = format!("{on}{word}[{}]{off}{bold}: {}{off}\n", self.code, self.message);
        let width = self.lines.iter().filter(|l| l.2.is_some()).map(|l| l.1.chars().count()).max();
        let width = width.unwrap_or(0).min(60);
        for (label, text, place) in &self.lines {
            match place {
                Some(place) => {
                    let gap = width.saturating_sub(text.chars().count());
                    out.push_str(&format!("  {label:<9} {text}{:gap$}  {dim}{place}{off}\n", ""));
                }
                None => out.push_str(&format!("  {label:<9} {text}\n")),
            }
        }
        out
    }

    /// The JSON form of an error in a file.
    #[must_use]
    pub fn load_error_json(code: &str, error: &LoadError) -> Json {
        let text = |t: &Option<String>| t.as_deref().map_or(Json::Null, Json::from);
        Object::new()
            .with("code", code)
            .with("message", error.message.as_str())
            .with("place", place_json(&error.place))
            .with("wanted", text(&error.wanted))
            .with("found", text(&error.found))
            .with("fix", text(&error.fix))
            .into()
    }
}
