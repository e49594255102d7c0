//! What is on record beside decisions: what came into force, who lives, what was alarmed, what was reviewed.

use std::fmt;

use attest::json::{MAX_INT, ShapeError, each};
use attest::{Digest, Json, Object};
use jiff::Timestamp;

use crate::chokepoint::read_digest;
use crate::entry::{Position, count, time};

pub(crate) const FORMAT: &str = "portcullis-event/v1";

/// What kind of event it is: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// A writer began another life; says what its life before had written.
    EpochOpen,
    /// A writer lives.
    Heartbeat,
    /// A book, a trust root, guardrails or a configuration came into force.
    FilesInForce,
    /// A book, a trust root, guardrails or a configuration was not taken, whatever its evidence says: it was in force
    /// before, does not load, or breaks the guardrails. What policies refuse is a decision.
    FilesRefused,
    /// The spool took over, was drained, or passed a mark.
    Degraded,
    /// A second person looked at what a breakglass grant let in.
    BreakglassReview,
    /// Something that a person must look at.
    Alarm,
    /// It is over, or was looked at.
    AlarmClosed,
    /// What a re-verification of everything live came to.
    ReVerified,
    /// What a comparison with an API server's audit log came to.
    AuditJoin,
    /// Something was let in while the choke point could not be reached, and was brought to it later.
    Spooled,
    /// Somebody brought a record of that sort whose grant does not hold: it is the word of whoever brought it.
    SpooledUnverified,
    /// A release key signed what was admitted.
    Signature,
    /// A snapshot of what stands was written: its digest.
    StandingKept,
}

/// An event on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place among its writer's entries.
    pub position: Position,
    /// When it was.
    pub at: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// The version of the trust root in force.
    pub trust_root_version: u64,
    /// What is known of it: small, without secrets.
    pub body: Object,
    /// Blobs beside it.
    pub parts: Vec<Digest>,
}

/// An event that is not on record yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// When it was.
    pub at: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// What is known of it: small, without secrets.
    pub body: Object,
    /// What is too large for a leaf; kept beside the log, by digest.
    pub parts: Vec<Vec<u8>>,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::EpochOpen,
        Self::Heartbeat,
        Self::FilesInForce,
        Self::FilesRefused,
        Self::Degraded,
        Self::BreakglassReview,
        Self::Alarm,
        Self::AlarmClosed,
        Self::ReVerified,
        Self::AuditJoin,
        Self::Spooled,
        Self::SpooledUnverified,
        Self::Signature,
        Self::StandingKept,
    ];

    /// The word in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EpochOpen => "epoch-open",
            Self::Heartbeat => "heartbeat",
            Self::FilesInForce => "files-in-force",
            Self::FilesRefused => "files-refused",
            Self::Degraded => "degraded",
            Self::BreakglassReview => "breakglass-review",
            Self::Alarm => "alarm",
            Self::AlarmClosed => "alarm-closed",
            Self::ReVerified => "re-verified",
            Self::AuditJoin => "audit-join",
            Self::Spooled => "spooled",
            Self::SpooledUnverified => "spooled-unverified",
            Self::Signature => "signature",
            Self::StandingKept => "standing-kept",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Event {
    /// The leaf.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut object = Object::new().with("format", FORMAT);
        self.position.write(&mut object);
        let version = i64::try_from(self.trust_root_version).unwrap_or(MAX_INT).min(MAX_INT);
        object.set("at", self.at.to_string());
        object.set("kind", self.kind.name());
        object.set("trust_root_version", version);
        object.set("body", self.body.clone());
        object.with("parts", self.parts.iter().map(Digest::to_string).collect::<Vec<_>>()).into()
    }

    pub(crate) fn read(object: &Object) -> Result<Self, ShapeError> {
        let kind = object.string("kind")?;
        let known = EventKind::ALL.into_iter().find(|k| k.name() == kind);
        let parts = each("parts", object.array("parts")?, |part| {
            let text = part.as_str()?;
            read_digest(text).ok_or_else(|| ShapeError::new("", "a digest", text))
        })?;
        Ok(Self {
            position: Position::read(object)?,
            at: time(object, "at")?,
            kind: known.ok_or_else(|| ShapeError::new("kind", "a kind of event", kind))?,
            trust_root_version: count(object, "trust_root_version")?,
            body: object.object("body")?.clone(),
            parts,
        })
    }
}
