//! What is found: each once, by a name that stays the same as long as it is so.

use std::collections::BTreeSet;

use attest::{Json, Object};
use jiff::Timestamp;

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Something runs, and no decision admitted it there.
    Undecided,
    /// Something else runs than what was admitted.
    DigestDiffers,
    /// A node runs it from its own disk, where that is not expected: nobody can decide about it.
    StaticPod,
    /// Nobody sees what runs.
    Blind,
    /// What the API server or its log says cannot be read.
    Unreadable,
    /// A write that was stored, and that nobody of ours was asked about.
    UndecidedWrite,
    /// A write that went on because nobody of ours answered: to be evaluated now.
    FailedOpen,
    /// A write names a record that is in no log of ours.
    RecordUnknown,
    /// A write names a record of another deployment.
    RecordDiffers,
    /// Two writes name one record.
    RecordReused,
    /// A part of the audit log is gone before it was read.
    Gap,
}

impl FindingKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Undecided,
        Self::DigestDiffers,
        Self::StaticPod,
        Self::Blind,
        Self::Unreadable,
        Self::UndecidedWrite,
        Self::FailedOpen,
        Self::RecordUnknown,
        Self::RecordDiffers,
        Self::RecordReused,
        Self::Gap,
    ];

    /// What a watch of a cluster finds itself; the rest is found in the audit log.
    pub(crate) const WATCHED: [Self; 5] =
        [Self::Undecided, Self::DigestDiffers, Self::StaticPod, Self::Blind, Self::Unreadable];

    /// The word in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::DigestDiffers => "digest-differs",
            Self::StaticPod => "static-pod",
            Self::Blind => "blind",
            Self::Unreadable => "unreadable",
            Self::UndecidedWrite => "undecided-write",
            Self::FailedOpen => "failed-open",
            Self::RecordUnknown => "record-unknown",
            Self::RecordDiffers => "record-differs",
            Self::RecordReused => "record-reused",
            Self::Gap => "audit-gap",
        }
    }
}

/// Something that a person must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// Its name: the same finding has the same one for as long as it lasts.
    pub identity: String,
    /// When it was found, or when it happened.
    pub at: Timestamp,
    /// One line for people.
    pub title: String,
    /// Everything that is known, for programs.
    pub details: Object,
}

/// What a sink hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is so, from now on; told once.
    Raised(Finding),
    /// It is so no more; by its identity.
    Over(String),
    /// Everything about this cluster was looked at, and of what a watch of it finds only these are so: what an earlier
    /// process raised beside them is over. Told once.
    Whole(String, BTreeSet<String>),
}

impl Finding {
    /// A finding about this, as in `undecided` and what follows in its identity.
    pub(crate) fn new(kind: FindingKind, about: &str, at: Timestamp, title: &str, details: Object) -> Self {
        let title = policy::one_line(title);
        Self { kind, identity: format!("{}/{about}", kind.name()), at, title, details }
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut out = Object::new()
            .with("kind", self.kind.name())
            .with("identity", self.identity.as_str())
            .with("at", self.at.to_string())
            .with("title", self.title.as_str());
        for (key, value) in self.details.iter() {
            out.set(key, value.clone());
        }
        out.into()
    }
}
