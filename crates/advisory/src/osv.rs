//! OSV records (schema 1.x): what is known of one bad thing, and of which versions.

mod read;

pub(crate) use read::severity;

use std::fmt;

use attest::claims::Severity;
use attest::json::{JsonError, ShapeError};
use jiff::Timestamp;

use crate::ecosystem::Ecosystem;

/// An advisory, as far as matching needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `GHSA-…`, `RUSTSEC-…`, `CVE-…`.
    pub id: String,
    /// Other names for the same thing.
    pub aliases: Vec<String>,
    /// One line about it.
    pub summary: Option<String>,
    /// When the record was changed last.
    pub modified: Timestamp,
    /// Since when it is held to be wrong: it matches nothing.
    pub withdrawn: Option<Timestamp>,
    /// What is affected.
    pub affected: Vec<Affected>,
}

/// One affected package. What names none cannot be looked up and is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Which.
    pub package: Package,
    /// Versions from an event to another.
    pub ranges: Vec<Range>,
    /// Versions one by one.
    pub versions: Vec<String>,
    /// How bad; nothing where the record does not say, which is no reason to hope.
    pub severity: Option<Severity>,
}

/// A package, as OSV names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Where it comes from.
    pub ecosystem: Ecosystem,
    /// Its name there.
    pub name: String,
}

/// Which order the events of a range are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeKind {
    /// Semantic versions, whatever the ecosystem.
    SemVer,
    /// The ecosystem's.
    Ecosystem,
    /// Commits, whose order stands in a repository: nothing is decided by them here.
    Git,
}

/// From where to where versions are affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// In which order.
    pub kind: RangeKind,
    /// What happened at which version, in any order.
    pub events: Vec<Event>,
}

/// What happened at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This one and later ones are affected; `0` is before all.
    Introduced(String),
    /// This one and later ones are not.
    Fixed(String),
    /// Later ones are not.
    LastAffected(String),
    /// Nothing is said of this one and later ones; `*` is after all.
    Limit(String),
}

/// A record that cannot be read. The packages that it names are known nevertheless: nothing is sure about those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// The packages that it names.
    pub packages: Vec<Package>,
    /// Why.
    pub why: RecordError,
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Not strict JSON.
    Json(JsonError),
    /// JSON of another shape.
    Shape(ShapeError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(e) => e.fmt(f),
            Self::Shape(e) => e.fmt(f),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id.as_deref().unwrap_or("a record without an id"), self.why)
    }
}

impl std::error::Error for RecordError {}
impl std::error::Error for Unread {}

impl Event {
    /// The version at which it happened.
    #[must_use]
    pub fn version(&self) -> &str {
        match self {
            Self::Introduced(v) | Self::Fixed(v) | Self::LastAffected(v) | Self::Limit(v) => v,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, event) in self.events.iter().enumerate() {
            let sign = match event {
                Event::Introduced(_) => ">=",
                Event::Fixed(_) | Event::Limit(_) => "<",
                Event::LastAffected(_) => "<=",
            };
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{sign}{}", event.version())?;
        }
        Ok(())
    }
}
