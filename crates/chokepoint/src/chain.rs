//! Whether every writer's entries are all there: what nobody sees in a tree that only grows is an entry that never came.
//!
//! Pure: it looks at leaves in the order of their index, and at nothing else.

use std::collections::BTreeMap;
use std::fmt;

use attest::Digest;
use attest::time::Span;
use jiff::Timestamp;

use crate::entry::{Entry, Position};
use crate::event::EventKind;
use crate::record::leaf_digest;

/// A writer that beats is missed after so many of its own intervals.
const INTERVALS: i64 = 3;

/// What is wrong with a writer's entries, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The entry's index in the log.
    pub index: u64,
    /// Who wrote it.
    pub writer: String,
    /// What is wrong.
    pub kind: FlawKind,
}

/// What is wrong with an entry among its writer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlawKind {
    /// The leaf is no entry, in a log that has entries.
    Unreadable(String),
    /// It has another number than the one after the entry before: some are missing, or are there twice.
    Sequence {
        /// The number that comes next.
        wanted: u64,
        /// The number it has.
        found: u64,
    },
    /// It does not name the entry before it.
    Previous,
    /// Its epoch is another one, and it does not open it; or it opens the one that is open already.
    Epoch {
        /// The epoch before.
        before: u64,
        /// Its own.
        found: u64,
    },
    /// It opens an epoch, and says of the one before what the log does not.
    Opening,
    /// Its writer was silent for longer than its heartbeats allow, and did not begin anew.
    Silent {
        /// For so long.
        silent: Span,
        /// It promised an entry in each.
        every: Span,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, writer, kind } = self;
        match kind {
            FlawKind::Unreadable(why) => write!(f, "record {index} is no entry of a decision log: {why}"),
            FlawKind::Sequence { wanted, found } if found > wanted => {
                let missing = found - wanted;
                write!(
                    f,
                    "before record {index}, {missing} of the entries of {writer} are missing, from its number {wanted}"
                )
            }
            FlawKind::Sequence { wanted, found } => {
                write!(f, "record {index} is number {found} of {writer}, where number {wanted} comes next")
            }
            FlawKind::Previous => write!(f, "record {index} does not name the entry of {writer} before it"),
            FlawKind::Epoch { before, found } => {
                write!(
                    f,
                    "record {index} of {writer} is of epoch {found} after {before}, and nothing opened that"
                )
            }
            FlawKind::Opening => {
                write!(
                    f,
                    "record {index} opens an epoch of {writer} after another last entry than the log has"
                )
            }
            FlawKind::Silent { silent, every } => write!(
                f,
                "before record {index}, {writer} was silent for {silent}, where it promised an entry every {every}"
            ),
        }
    }
}

/// A check that goes through a log entry by entry.
#[derive(Debug, Default)]
pub struct Check {
    writers: BTreeMap<String, Last>,
    flaws: Vec<Flaw>,
    /// Leaves that are no entries; flaws only where others are.
    unreadable: Vec<Flaw>,
}

/// A writer's last entry.
#[derive(Debug)]
struct Last {
    position: Position,
    hash: Option<Digest>,
    at: Timestamp,
    /// How often it promised an entry, since it did.
    every: Option<Span>,
}

/// Checks a log's leaves, in the order of their index.
pub fn check<'l>(leaves: impl IntoIterator<Item = (u64, &'l [u8])>) -> Vec<Flaw> {
    let mut check = Check::default();
    leaves.into_iter().for_each(|(index, leaf)| check.add(index, leaf));
    check.finish()
}

impl Check {
    /// Takes the next leaf.
    pub fn add(&mut self, index: u64, leaf: &[u8]) {
        let entry = match Entry::parse(leaf) {
            Ok(entry) => entry,
            Err(e) => {
                let kind = FlawKind::Unreadable(e.to_string());
                self.unreadable.push(Flaw { index, writer: String::new(), kind });
                return;
            }
        };
        let position = entry.position().clone();
        let writer = position.writer.clone();
        let last = self.before(&position);
        let kinds = match &last {
            Some(last) => last.flaws(&entry),
            None => first_flaws(&position),
        };
        self.flaws.extend(kinds.into_iter().map(|kind| Flaw { index, writer: writer.clone(), kind }));
        let same_epoch = last.as_ref().filter(|last| last.position.epoch == position.epoch);
        let every = beat(&entry).unwrap_or(same_epoch.and_then(|last| last.every));
        // requests that came in together are on record in another order
        let at = same_epoch.map_or(entry.at(), |last| last.at.max(entry.at()));
        self.writers.insert(writer, Last { position, hash: leaf_digest(leaf), at, every });
    }

    /// What was found since it was asked last, for who goes on checking.
    pub fn take(&mut self) -> Vec<Flaw> {
        if !self.writers.is_empty() {
            self.flaws.append(&mut self.unreadable);
        }
        std::mem::take(&mut self.flaws)
    }

    /// Writers that promised to say that they live, and did not for so long: the name, its last entry, what it promised.
    pub fn silent(&self, now: Timestamp) -> impl Iterator<Item = (&str, Timestamp, Span)> {
        let is_silent = move |last: &Last, every: Span| {
            Span::between(last.at, now).as_seconds() > every.as_seconds().saturating_mul(INTERVALS)
        };
        self.writers.iter().filter_map(move |(writer, last)| {
            let every = last.every.filter(|every| is_silent(last, *every))?;
            Some((writer.as_str(), last.at, every))
        })
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Vec<Flaw> {
        if !self.writers.is_empty() {
            self.flaws.append(&mut self.unreadable);
        }
        self.flaws.sort_by_key(|flaw| flaw.index);
        self.flaws
    }

    /// The entry before this one: the writer's own, or where it has another name now, the one that it names.
    fn before(&mut self, position: &Position) -> Option<Last> {
        if let Some(last) = self.writers.remove(&position.writer) {
            return Some(last);
        }
        let named = |last: &&Last| last.hash.is_some() && last.hash == position.previous;
        let name = self.writers.values().find(named)?.position.writer.clone();
        self.writers.remove(&name)
    }
}

/// What is wrong with a writer's first entry.
fn first_flaws(position: &Position) -> Vec<FlawKind> {
    match position.sequence {
        0 if position.previous.is_none() => Vec::new(),
        0 => vec![FlawKind::Previous],
        found => vec![FlawKind::Sequence { wanted: 0, found }],
    }
}

impl Last {
    fn flaws(&self, entry: &Entry) -> Vec<FlawKind> {
        let (before, position) = (&self.position, entry.position());
        let wanted = before.sequence.saturating_add(1);
        if position.sequence != wanted {
            // what it names is missing too, and says nothing more
            return vec![FlawKind::Sequence { wanted, found: position.sequence }];
        }
        let mut flaws = Vec::new();
        if position.previous != self.hash {
            flaws.push(FlawKind::Previous);
        }
        let opening = opening(entry);
        let is_new = position.epoch > before.epoch;
        if is_new != opening.is_some() || position.epoch < before.epoch {
            flaws.push(FlawKind::Epoch { before: before.epoch, found: position.epoch });
        }
        if opening
            .is_some_and(|last| last != (Some(before.sequence), self.hash.as_ref().map(Digest::to_string)))
        {
            flaws.push(FlawKind::Opening);
        }
        let silent = Span::between(self.at, entry.at());
        let every = self.every.filter(|_| !is_new);
        if let Some(every) =
            every.filter(|every| silent.as_seconds() > every.as_seconds().saturating_mul(INTERVALS))
        {
            flaws.push(FlawKind::Silent { silent, every });
        }
        flaws
    }
}

/// What an entry that opens an epoch says of the last one before.
fn opening(entry: &Entry) -> Option<(Option<u64>, Option<String>)> {
    let Entry::Event(event) = entry else { return None };
    let sequence = event.body.int("last_sequence").ok().and_then(|n| u64::try_from(n).ok());
    let leaf = event.body.optional_string("last_leaf").ok().flatten().map(str::to_owned);
    (event.kind == EventKind::EpochOpen).then_some((sequence, leaf))
}

/// How often this writer promises an entry from now on, where the entry says something of that: a heartbeat does, and one
/// whose spool is full promises nothing.
fn beat(entry: &Entry) -> Option<Option<Span>> {
    let Entry::Event(event) = entry else { return None };
    match event.kind {
        EventKind::Heartbeat => {
            Some(event.body.int("every").ok().filter(|every| *every > 0).map(Span::seconds))
        }
        EventKind::Degraded if event.body.int("mark").is_ok_and(|mark| mark == 100) => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
