//! The beginning of a writer's life, and how late it is at least.

use std::sync::{Mutex, MutexGuard, PoisonError};

use attest::Object;
use attest::json::MAX_INT;
use jiff::Timestamp;

use crate::chokepoint::ENGINE;
use crate::event::{EventKind, NewEvent};
use crate::prepared::Prepared;
use crate::record::Recorded;
use crate::recorder::Author;

/// The latest time of any record: the clock must not be behind it.
#[derive(Debug)]
pub(crate) struct LastSeen(Mutex<Option<Timestamp>>);

/// Who writes from now on, and what says so: the first entry of an epoch, with the last one of the epoch before.
pub(crate) fn open_epoch(
    recorded: &Recorded,
    writer: &str,
    trust_root_version: u64,
) -> (Author, Result<Prepared, usize>) {
    let epoch = recorded.own.as_ref().map_or(0, |(position, _)| position.epoch + 1);
    let mut body = Object::new().with("engine", ENGINE);
    let why = match &recorded.own {
        None => "first start".to_owned(),
        Some((position, _)) if position.writer == writer => "start".to_owned(),
        Some((position, _)) => format!("continues {}", position.writer),
    };
    body.set("why", why);
    if let Some((position, leaf)) = &recorded.own {
        body.set("last_sequence", i64::try_from(position.sequence).unwrap_or(MAX_INT).min(MAX_INT));
        body.set("last_leaf", leaf.to_string());
    }
    let previous = recorded.own.as_ref().map(|(_, leaf)| leaf.clone());
    let at = Timestamp::UNIX_EPOCH;
    let event = NewEvent { at, kind: EventKind::EpochOpen, body, parts: Vec::new() };
    let event = Prepared::event(event, trust_root_version);
    (Author { name: writer.to_owned(), epoch, previous, trust_root_version }, event)
}

impl LastSeen {
    pub(crate) fn new(at: Option<Timestamp>) -> Self {
        Self(Mutex::new(at))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Option<Timestamp> {
        *self.lock()
    }

    /// Never goes back.
    pub(crate) fn raise(&self, at: Timestamp) {
        let mut last = self.lock();
        *last = (*last).max(Some(at));
    }
}
