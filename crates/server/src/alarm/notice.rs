//! What a sink is told: an event that is on record.

use attest::{Json, Object};
use chokepoint::alarm::Severity;
use chokepoint::{Event, EventKind};
use jiff::Timestamp;

/// What a sink is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number among this writer's entries.
    pub sequence: u64,
    /// The log's name.
    pub origin: String,
    /// `alarm`, `alarm-closed` or `test`.
    pub event: &'static str,
    /// When.
    pub at: Timestamp,
    /// The event's body.
    pub body: Object,
}

impl Notice {
    /// The notice of an event, where it is one that is told.
    #[must_use]
    pub fn of(event: &Event, origin: &str) -> Option<Self> {
        Self::new(event.kind, event.position.sequence, origin, event.at, &event.body)
    }

    pub(crate) fn new(
        kind: EventKind,
        sequence: u64,
        origin: &str,
        at: Timestamp,
        body: &Object,
    ) -> Option<Self> {
        // who closes an alarm is told of too: nobody silences one in silence
        let is_told = matches!(kind, EventKind::Alarm | EventKind::AlarmClosed);
        let origin = origin.to_owned();
        is_told.then(|| Self { sequence, origin, event: kind.name(), at, body: body.clone() })
    }

    /// A test.
    #[must_use]
    pub fn test(origin: &str, at: Timestamp) -> Self {
        let body = Object::new()
            .with("id", "test")
            .with("kind", "test")
            .with("severity", Severity::Warning.name())
            .with("what", "this is a test: nothing is wrong")
            .with("fix", "nothing is to be done");
        Self { sequence: 0, origin: origin.to_owned(), event: "test", at, body }
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.body.string(key).unwrap_or_default()
    }

    /// The JSON that a webhook and a file get.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Object::new()
            .with("format", "portcullis-alarm/v1")
            .with("log", self.origin.as_str())
            .with("event", self.event)
            .with("sequence", i64::try_from(self.sequence).unwrap_or(i64::MAX))
            .with("at", self.at.to_string())
            .with("alarm", self.body.clone())
            .into()
    }

    /// One line for people.
    #[must_use]
    pub fn title(&self) -> String {
        let what = self.text("what");
        match self.event {
            "alarm-closed" => format!("closed, {}: {what}", self.text("why")),
            _ => format!("{}: {what}", self.text("severity")),
        }
    }

    /// All of it for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n\n", self.title());
        let keys = ["wanted", "found", "fix", "by", "reason", "first_seen", "id"];
        for key in keys.into_iter().filter(|key| !self.text(key).is_empty()) {
            text.push_str(&format!("{key:<11} {}\n", self.text(key)));
        }
        let fields = self.body.optional_object("fields").ok().flatten();
        for (key, value) in fields.into_iter().flat_map(Object::iter) {
            text.push_str(&format!(
                "{key:<11} {}\n",
                value.as_str().map_or_else(|_| value.to_string(), str::to_owned)
            ));
        }
        text.push_str(&format!("{:<11} {}, entry {}, {}\n", "log", self.origin, self.sequence, self.at));
        text
    }
}
