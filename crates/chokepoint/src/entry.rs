//! One leaf of the decision log: the record of a decision, or an event.

use attest::json::{MAX_INT, ShapeError};
use attest::time::parse_time;
use attest::{Digest, Json, Object};
use jiff::Timestamp;
use tlog::{Blobs, Storage};

use crate::chokepoint::read_digest;
use crate::event::{self, Event};
use crate::record::{self, Record, RecordError};

/// One leaf of the decision log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The record of a decision.
    Decision(Box<Record>),
    /// Something else that happened.
    Event(Box<Event>),
}

/// Where an entry stands among its writer's. Each entry names the one before it, so that a writer's missing entry is a
/// gap that everybody sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Who wrote it: one process at a time.
    pub writer: String,
    /// Which life of that process.
    pub epoch: u64,
    /// Its number among this writer's entries, from 0, over all epochs.
    pub sequence: u64,
    /// The leaf hash of this writer's entry before.
    pub previous: Option<Digest>,
}

impl Entry {
    /// Reads a leaf.
    ///
    /// # Errors
    /// [`RecordError::Shape`] for anything else.
    pub fn parse(leaf: &[u8]) -> Result<Self, RecordError> {
        let bad = |e: attest::json::JsonError| ShapeError::new("", "strict JSON", &e.to_string());
        let value = attest::json::parse(leaf).map_err(bad)?;
        let object = value.as_object()?;
        match object.string("format")? {
            record::FORMAT => Ok(Self::Decision(Box::new(Record::read(object)?))),
            event::FORMAT => Ok(Self::Event(Box::new(Event::read(object)?))),
            other => {
                let wanted = format!("{} or {}", record::FORMAT, event::FORMAT);
                Err(ShapeError::new("format", &wanted, other).into())
            }
        }
    }

    /// Where it stands among its writer's.
    #[must_use]
    pub fn position(&self) -> &Position {
        match self {
            Self::Decision(record) => &record.position,
            Self::Event(event) => &event.position,
        }
    }

    /// When it was.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Decision(record) => record.at,
            Self::Event(event) => event.at,
        }
    }

    /// The version of the trust root that was in force.
    #[must_use]
    pub fn trust_root_version(&self) -> u64 {
        match self {
            Self::Decision(record) => record.trust_root_version,
            Self::Event(event) => event.trust_root_version,
        }
    }

    /// Whether everything that it names is there as it was written.
    ///
    /// # Errors
    /// [`RecordError`] with the first part that is missing or changed.
    pub fn check_parts<S: Storage>(&self, blobs: &Blobs<S>) -> Result<(), RecordError> {
        match self {
            Self::Decision(record) => {
                let case = record.case(blobs)?;
                blobs.get(&case.frame().trust_root)?;
                record.book_files(blobs)?;
                blobs.get(&record.decided)?;
            }
            Self::Event(event) => {
                for part in &event.parts {
                    blobs.get(part)?;
                }
            }
        }
        Ok(())
    }

    /// The record, where it is one.
    #[must_use]
    pub fn decision(&self) -> Option<&Record> {
        match self {
            Self::Decision(record) => Some(record),
            Self::Event(_) => None,
        }
    }
}

/// A writer's name is at most so long.
pub(crate) const MAX_WRITER: usize = 100;

impl Position {
    /// As long as any place is when written.
    pub(crate) fn longest() -> Self {
        Self {
            writer: "w".repeat(MAX_WRITER),
            epoch: MAX_INT.unsigned_abs(),
            sequence: MAX_INT.unsigned_abs(),
            previous: Some(Digest::sha256(b"")),
        }
    }

    pub(crate) fn write(&self, object: &mut Object) {
        let number = |n: u64| Json::Int(i64::try_from(n).unwrap_or(MAX_INT).min(MAX_INT));
        object.set("writer", self.writer.as_str());
        object.set("epoch", number(self.epoch));
        object.set("sequence", number(self.sequence));
        object.set_some("previous", self.previous.as_ref().map(Digest::to_string));
    }

    pub(crate) fn read(object: &Object) -> Result<Self, ShapeError> {
        Ok(Self {
            writer: object.string("writer")?.to_owned(),
            epoch: count(object, "epoch")?,
            sequence: count(object, "sequence")?,
            previous: object.get("previous").map(|_| digest(object, "previous")).transpose()?,
        })
    }
}

pub(crate) fn digest(object: &Object, key: &str) -> Result<Digest, ShapeError> {
    let text = object.string(key)?;
    read_digest(text).ok_or_else(|| ShapeError::new(key, "a digest", text))
}

pub(crate) fn time(object: &Object, key: &str) -> Result<Timestamp, ShapeError> {
    let text = object.string(key)?;
    parse_time(text).ok_or_else(|| ShapeError::new(key, "a time in UTC", text))
}

pub(crate) fn count(object: &Object, key: &str) -> Result<u64, ShapeError> {
    u64::try_from(object.int(key)?).or(Err(ShapeError::new(key, "a number from 0", "a negative one")))
}
