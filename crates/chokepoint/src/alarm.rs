//! Alarms: what a person must look at. Pure: what is alarmed, what it is called, and that it is said once.
//!
//! An alarm is its kind and its subject. The same alarm is raised once until it is closed, also over restarts, because
//! what was raised and closed is learnt from the log. Where it is told is another matter (`server::alarm`).

mod kind;
mod recorded;
mod said;
mod state;

use attest::json::ShapeError;
use attest::{Digest, Json, Object};
use jiff::Timestamp;

pub use kind::{AlarmKind, Severity};
pub use recorded::{of_decision, of_recorded};
pub use said::{Away, Live};
pub use state::{Alarms, Closing, Open, Refused};

use crate::entry::time;
use crate::event::{EventKind, NewEvent};

/// A subject that is longer is cut, and ends in its digest.
const MAX_SUBJECT: usize = 300;
/// Other texts are cut at so many characters.
const MAX_TEXT: usize = 1000;

/// Something that a person must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What kind of thing.
    pub kind: AlarmKind,
    /// What it is about: with the kind, what it is called.
    pub subject: String,
    /// How bad.
    pub severity: Severity,
    /// What is the matter, in one line.
    pub what: String,
    /// What should be.
    pub wanted: String,
    /// What is.
    pub found: String,
    /// How to mend it.
    pub fix: String,
    /// Since when it is known.
    pub first_seen: Timestamp,
    /// What it is about, in fields for programs.
    pub fields: Object,
}

impl Alarm {
    /// An alarm about something that was found beside the engine: by the watch, for one.
    #[must_use]
    pub fn found(kind: AlarmKind, subject: &str, at: Timestamp) -> Self {
        Self::new(kind, subject, at)
    }

    /// What it says.
    #[must_use]
    pub fn told(self, what: &str, wanted: &str, found: &str, fix: &str) -> Self {
        self.say(what, wanted, found, fix)
    }

    /// What is known, for programs: texts and numbers.
    #[must_use]
    pub fn with(self, details: &Object) -> Self {
        details.iter().fold(self, |alarm, (key, value)| match value.as_str() {
            Ok(text) => alarm.field(key, text),
            Err(_) => alarm.field(key, &value.to_string()),
        })
    }

    fn new(kind: AlarmKind, subject: &str, at: Timestamp) -> Self {
        Self {
            kind,
            subject: subject_text(subject),
            severity: kind.severity(),
            what: String::new(),
            wanted: String::new(),
            found: String::new(),
            fix: String::new(),
            first_seen: at,
            fields: Object::new(),
        }
    }

    fn say(mut self, what: &str, wanted: &str, found: &str, fix: &str) -> Self {
        self.what = line(what);
        self.wanted = line(wanted);
        self.found = line(found);
        self.fix = line(fix);
        self
    }

    fn field(mut self, key: &str, value: &str) -> Self {
        self.fields.set(key, line(value));
        self
    }

    fn severe(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// What a person types: the kind, and 64 bits of the subject's digest.
    #[must_use]
    pub fn id(&self) -> String {
        id(self.kind, &self.subject)
    }

    /// The JSON form: on record, and what sinks tell.
    #[must_use]
    pub fn to_json(&self) -> Object {
        Object::new()
            .with("id", self.id())
            .with("kind", self.kind.name())
            .with("subject", self.subject.as_str())
            .with("severity", self.severity.name())
            .with("what", self.what.as_str())
            .with("wanted", self.wanted.as_str())
            .with("found", self.found.as_str())
            .with("fix", self.fix.as_str())
            .with("first_seen", self.first_seen.to_string())
            .with("fields", self.fields.clone())
    }

    /// Reads the body of an event.
    ///
    /// # Errors
    /// [`ShapeError`] for anything that was not written by [`Alarm::to_json`].
    pub fn read(body: &Object) -> Result<Self, ShapeError> {
        let text = |key: &str| body.string(key).map(str::to_owned);
        let (kind, severity) = (body.string("kind")?, body.string("severity")?);
        Ok(Self {
            kind: AlarmKind::parse(kind).ok_or_else(|| ShapeError::new("kind", "a kind of alarm", kind))?,
            subject: text("subject")?,
            severity: Severity::parse(severity)
                .ok_or_else(|| ShapeError::new("severity", "warning or critical", severity))?,
            what: text("what")?,
            wanted: text("wanted")?,
            found: text("found")?,
            fix: text("fix")?,
            first_seen: time(body, "first_seen")?,
            fields: body.object("fields")?.clone(),
        })
    }

    /// As people read it.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{}: {} ({})\n  wanted    {}\n  found     {}\n  fix       {}\n  since     {}\n",
            self.severity.name(),
            self.what,
            self.id(),
            self.wanted,
            self.found,
            self.fix,
            self.first_seen
        )
    }

    fn event(&self, at: Timestamp) -> NewEvent {
        NewEvent { at, kind: EventKind::Alarm, body: self.to_json(), parts: Vec::new() }
    }
}

fn id(kind: AlarmKind, subject: &str) -> String {
    let hex = Digest::sha256(subject.as_bytes()).hex();
    format!("{}-{}", kind.name(), hex.get(..16).unwrap_or_default())
}

/// One line without anything that a terminal, a mail header or a log would take for more than text. Much of what stands
/// in an alarm was written by whoever it is about.
fn line(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{feff}')
    };
    text.chars().take(MAX_TEXT).map(|c| if is_hidden(c) { ' ' } else { c }).collect()
}

/// Two subjects that are cut or cleaned to the same text stay two: else the alarm for the one would hide the other's.
fn subject_text(subject: &str) -> String {
    let clean: String = line(subject).chars().take(MAX_SUBJECT).collect();
    if clean == subject { clean } else { format!("{clean} {}", Digest::sha256(subject.as_bytes())) }
}

fn int(number: u64) -> Json {
    Json::Int(i64::try_from(number).unwrap_or(attest::json::MAX_INT).min(attest::json::MAX_INT))
}

#[cfg(test)]
mod tests;
