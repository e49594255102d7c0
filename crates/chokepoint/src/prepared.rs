//! What will be written: made on the asker's thread, all but its place in the log.

use attest::Digest;
use jiff::Timestamp;
use policy::Case;
use tlog::{MAX_ENTRY, Purpose};

use crate::decision::{Basis, Decision};
use crate::entry::Position;
use crate::event::{Event, EventKind, NewEvent};
use crate::record::Record;

/// An entry without its place, and the blobs that it names.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) at: Timestamp,
    entry: Unplaced,
    /// The envelopes, the grant, the case and the decision, by digest; or what an event brings.
    pub(crate) parts: Vec<(Digest, Vec<u8>)>,
    /// Where it may lie when the spool is full.
    pub(crate) purpose: Purpose,
    /// How long its leaf is at most.
    pub(crate) leaf_length: usize,
}

#[derive(Debug)]
enum Unplaced {
    Decision(Box<Record>),
    Event(Box<Event>),
}

impl Prepared {
    /// Lays out the record of a decision and its parts.
    ///
    /// # Errors
    /// The length of a record that no log can hold.
    pub(crate) fn decision(case: &Case, decision: &Decision, book: Digest) -> Result<Self, usize> {
        let case_bytes = case.to_text().into_bytes();
        let decision_bytes = decision.to_json().to_string().into_bytes();
        let digests = [Digest::sha256(&case_bytes), Digest::sha256(&decision_bytes), book];
        let mut parts = vec![(digests[0].clone(), case_bytes), (digests[1].clone(), decision_bytes)];
        parts.extend(case.parts().map(|(part, digest)| (digest.clone(), part.bytes.clone())));
        let record = Record::new(case, decision, Position::longest(), digests);
        let purpose = Self::purpose_of(decision);
        Self { at: case.at(), entry: Unplaced::Decision(Box::new(record)), parts, purpose, leaf_length: 0 }
            .measured()
    }

    /// Where the record of a decision may lie when the spool is full.
    pub(crate) fn purpose_of(decision: &Decision) -> Purpose {
        match decision.basis() {
            Basis::Breakglass => Purpose::Reserve,
            Basis::Outage => Purpose::Outage,
            _ => Purpose::Ordinary,
        }
    }

    /// A copy of the record, where it must be alarmed at once.
    pub(crate) fn record(&self, decision: &Decision) -> Option<Box<Record>> {
        let is_alarmed = matches!(decision.basis(), Basis::Breakglass | Basis::Outage);
        match &self.entry {
            Unplaced::Decision(record) if is_alarmed => Some(record.clone()),
            Unplaced::Decision(_) | Unplaced::Event(_) => None,
        }
    }

    /// Lays out an event and its parts.
    ///
    /// # Errors
    /// The length of an event that no log can hold.
    pub(crate) fn event(new: NewEvent, trust_root_version: u64) -> Result<Self, usize> {
        let parts: Vec<_> = new.parts.into_iter().map(|part| (Digest::sha256(&part), part)).collect();
        let event = Event {
            position: Position::longest(),
            at: new.at,
            kind: new.kind,
            trust_root_version,
            body: new.body,
            parts: parts.iter().map(|(digest, _)| digest.clone()).collect(),
        };
        let purpose = match new.kind {
            EventKind::Alarm | EventKind::Degraded => Purpose::Reserve,
            _ => Purpose::Ordinary,
        };
        Self { at: new.at, entry: Unplaced::Event(Box::new(event)), parts, purpose, leaf_length: 0 }
            .measured()
    }

    /// Brings blobs that its parts name, and its leaf does not.
    pub(crate) fn with(mut self, blobs: impl Iterator<Item = Vec<u8>>) -> Self {
        self.parts.extend(blobs.map(|blob| (Digest::sha256(&blob), blob)));
        self
    }

    /// Moves an event to the time of the entry that it travels with.
    pub(crate) fn move_to(&mut self, at: Timestamp) {
        if let Unplaced::Event(event) = &mut self.entry {
            (self.at, event.at) = (at, at);
        }
    }

    /// Measured at the longest of places: one that is too long must not fail the others of its batch.
    fn measured(mut self) -> Result<Self, usize> {
        self.leaf_length = self.leaf(&Position::longest()).len();
        if self.leaf_length > MAX_ENTRY { Err(self.leaf_length) } else { Ok(self) }
    }

    /// The leaf at its place among this writer's entries.
    pub(crate) fn leaf(&self, position: &Position) -> Vec<u8> {
        let position = position.clone();
        let json = match &self.entry {
            Unplaced::Decision(record) => Record { position, ..Record::clone(record) }.to_json(),
            Unplaced::Event(event) => Event { position, ..Event::clone(event) }.to_json(),
        };
        json.to_string().into_bytes()
    }

    /// How many bytes it adds to a batch at most.
    pub(crate) fn length(&self) -> usize {
        self.parts.iter().map(|(_, bytes)| bytes.len() + 4).sum::<usize>() + self.leaf_length + 4
    }
}
