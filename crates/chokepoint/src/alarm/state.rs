//! Which alarms are open: learnt from the log, so that each is raised once over every restart.

use std::collections::BTreeMap;
use std::fmt;

use attest::Object;
use jiff::Timestamp;

use super::{Alarm, AlarmKind, line, recorded};
use crate::entry::Entry;
use crate::event::{Event, EventKind, NewEvent};
use crate::record::Record;

/// So many of one kind are open at most. The bound is each kind's own: whoever can raise many of one kind must not silence
/// another with them.
const MAX_OPEN: usize = 10_000;

type Name = (AlarmKind, String);

/// The alarms that are open.
#[derive(Clone, Debug, Default)]
pub struct Alarms {
    open: BTreeMap<Name, Open>,
    counts: BTreeMap<AlarmKind, usize>,
    /// Records that must be alarmed, and are not yet: the process died in between.
    owed: BTreeMap<Name, Record>,
}

/// An alarm that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// What it says.
    pub alarm: Alarm,
    /// Whether somebody has seen it: then it is silent until it was gone.
    pub is_acknowledged: bool,
}

/// Why an alarm is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing<'a> {
    /// What it says is so no more.
    Gone,
    /// Somebody has seen it.
    Acknowledged {
        /// Who, as far as is known.
        by: &'a str,
        /// What they say of it.
        reason: &'a str,
    },
}

/// Why an alarm cannot be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such alarm; the field is what was asked for.
    None(String),
    /// More than one has this name.
    Ambiguous(String),
    /// Somebody acknowledged it already.
    Already(String),
    /// No acknowledgement ends it; the second field is what does.
    Needs(String, &'static str),
    /// Nobody says why.
    NoReason,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(id) => write!(f, "no open alarm is called {id}; `portcullis alarms list` shows them"),
            Self::Ambiguous(id) => write!(f, "more than one open alarm is called {id}"),
            Self::Already(id) => write!(f, "{id} was acknowledged already; it ends when it is gone"),
            Self::Needs(id, remedy) => write!(f, "no acknowledgement ends {id}; {remedy}"),
            Self::NoReason => f.write_str("an alarm is closed with a reason, and none was given"),
        }
    }
}
impl std::error::Error for Refused {}

impl Alarms {
    /// Learns an entry of the log, in the log's order.
    pub fn learn(&mut self, entry: &Entry) {
        match entry {
            Entry::Decision(record) => self.owe(record),
            Entry::Event(event) => self.learn_event(event),
        }
    }

    /// Learns that a record may have to be alarmed, until its alarm is raised. A log that had no room for the alarm at that
    /// moment must not keep it from being raised at all: whoever can fill the queue could silence what he does.
    pub fn owe(&mut self, record: &Record) {
        for alarm in recorded::of_recorded(record, None) {
            let name = (alarm.kind, alarm.subject);
            if !self.open.contains_key(&name) && self.owed.len() < MAX_OPEN {
                self.owed.insert(name, record.clone());
            }
        }
    }

    fn learn_event(&mut self, event: &Event) {
        match event.kind {
            EventKind::Alarm => {
                if let Ok(alarm) = Alarm::read(&event.body) {
                    self.keep(alarm);
                }
            }
            EventKind::AlarmClosed => self.learn_closed(&event.body),
            _ => {}
        }
    }

    fn learn_closed(&mut self, body: &Object) {
        let kind = body.string("kind").ok().and_then(AlarmKind::parse);
        let (Some(kind), Ok(subject)) = (kind, body.string("subject")) else { return };
        let is_acknowledged = body.string("why").is_ok_and(|why| why == "acknowledged");
        self.ended(&(kind, subject.to_owned()), is_acknowledged);
    }

    fn keep(&mut self, alarm: Alarm) {
        let name = (alarm.kind, alarm.subject.clone());
        self.owed.remove(&name);
        let kind = alarm.kind;
        if !self.open.contains_key(&name) {
            *self.counts.entry(kind).or_default() += 1;
            self.open.insert(name, Open { alarm, is_acknowledged: false });
        }
    }

    fn ended(&mut self, name: &Name, is_acknowledged: bool) {
        if is_acknowledged && !name.0.is_occurrence() {
            if let Some(open) = self.open.get_mut(name) {
                open.is_acknowledged = true;
            }
        } else if self.open.remove(name).is_some() {
            let count = self.counts.entry(name.0).or_default();
            *count = count.saturating_sub(1);
        }
    }

    /// Raises an alarm: the event that must be on record before anybody is told. Nothing where it is open already. Past the
    /// bound of its kind, one alarm says so, once.
    ///
    /// Where the event does not get on record, [`Alarms::withdraw`] it: else it would never be told.
    pub fn raise(&mut self, alarm: Alarm, at: Timestamp) -> Option<NewEvent> {
        let is_open = |name: &Name| self.open.contains_key(name);
        if is_open(&(alarm.kind, alarm.subject.clone())) {
            return None;
        }
        let is_full = self.counts.get(&alarm.kind).is_some_and(|count| *count >= MAX_OPEN);
        let alarm = if is_full { Alarm::too_many(alarm.kind, MAX_OPEN, at) } else { alarm };
        if is_open(&(alarm.kind, alarm.subject.clone())) {
            return None;
        }
        let event = alarm.event(at);
        self.keep(alarm);
        Some(event)
    }

    /// Takes back what was raised, and is not on record.
    pub fn withdraw(&mut self, event: &NewEvent) {
        if let Ok(alarm) = Alarm::read(&event.body) {
            self.ended(&(alarm.kind, alarm.subject), false);
        }
    }

    /// What an alarm says is so no more: the event for the record, where it was open.
    pub fn gone(&mut self, kind: AlarmKind, subject: &str, at: Timestamp) -> Option<NewEvent> {
        self.end(&(kind, super::subject_text(subject)), at)
    }

    fn end(&mut self, name: &Name, at: Timestamp) -> Option<NewEvent> {
        let open = self.open.get(name)?;
        let event = closed(&open.alarm, &Closing::Gone, at);
        self.ended(name, false);
        Some(event)
    }

    /// Closes the alarms of a kind that say what is so no more: the events for the record.
    pub fn gone_unless(
        &mut self,
        kind: AlarmKind,
        is_so: impl Fn(&Alarm) -> bool,
        at: Timestamp,
    ) -> Vec<NewEvent> {
        let over = self.open().filter(|open| open.alarm.kind == kind && !is_so(&open.alarm));
        let names: Vec<Name> = over.map(|open| (kind, open.alarm.subject.clone())).collect();
        names.iter().filter_map(|name| self.end(name, at)).collect()
    }

    /// Closes an alarm because somebody has seen it: the event for the record.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn acknowledge(
        &mut self,
        id: &str,
        by: &str,
        reason: &str,
        at: Timestamp,
    ) -> Result<NewEvent, Refused> {
        if reason.trim().is_empty() {
            return Err(Refused::NoReason);
        }
        let mut named = self.open.iter().filter(|(_, open)| open.alarm.id() == id);
        let (name, open) = named.next().ok_or_else(|| Refused::None(line(id)))?;
        if named.next().is_some() {
            return Err(Refused::Ambiguous(id.to_owned()));
        }
        if let Some(remedy) = name.0.remedy() {
            return Err(Refused::Needs(id.to_owned(), remedy));
        }
        if open.is_acknowledged {
            return Err(Refused::Already(id.to_owned()));
        }
        let name = name.clone();
        let event = closed(&open.alarm, &Closing::Acknowledged { by, reason }, at);
        self.ended(&name, true);
        Ok(event)
    }

    /// The alarms that are open, acknowledged ones among them.
    pub fn open(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    /// How many are open and not acknowledged, by kind and severity: every pair has a number.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(AlarmKind, super::Severity), u64> {
        let pairs = AlarmKind::ALL.into_iter().flat_map(|k| super::Severity::ALL.map(|s| ((k, s), 0)));
        let mut counts: BTreeMap<_, u64> = pairs.collect();
        for open in self.open().filter(|open| !open.is_acknowledged) {
            *counts.entry((open.alarm.kind, open.alarm.severity)).or_default() += 1;
        }
        counts
    }

    /// Records that had to be alarmed at once, and are not: the process died between the two, or the log was full. [`super::of_recorded`] makes
    /// their alarms.
    pub fn owed(&self) -> impl Iterator<Item = &Record> {
        self.owed.values()
    }
}

fn closed(alarm: &Alarm, closing: &Closing<'_>, at: Timestamp) -> NewEvent {
    let body = Object::new()
        .with("id", alarm.id())
        .with("kind", alarm.kind.name())
        .with("subject", alarm.subject.as_str());
    let body = match closing {
        Closing::Gone => body.with("why", "gone"),
        Closing::Acknowledged { by, reason } => {
            body.with("why", "acknowledged").with("by", line(by)).with("reason", line(reason))
        }
    };
    let body = body.with("what", alarm.what.as_str());
    NewEvent { at, kind: EventKind::AlarmClosed, body, parts: Vec::new() }
}
