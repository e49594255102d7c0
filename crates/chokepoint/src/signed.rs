//! What a release key signed, on record: whoever finds a signature finds the decision that it rests on.

use attest::json::ShapeError;
use attest::{Digest, Object};
use jiff::Timestamp;

use crate::chokepoint::read_digest;
use crate::event::{Event, EventKind, NewEvent};

/// A signature of a release key, after the record that let it be made, and before anybody has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// SHA-256 of the signature's file.
    pub signature: Digest,
    /// The record's name: its number and its leaf.
    pub record: String,
    /// SHA-256 of what was signed.
    pub file: Digest,
    /// Where it was admitted.
    pub environment: String,
    /// In which form.
    pub form: String,
    /// The release key: SHA-256 of its public half.
    pub key: String,
}

impl Signed {
    /// The event.
    #[must_use]
    pub fn event(&self, at: Timestamp) -> NewEvent {
        let body = Object::new()
            .with("signature", self.signature.to_string())
            .with("record", self.record.as_str())
            .with("file", self.file.to_string())
            .with("environment", self.environment.as_str())
            .with("form", self.form.as_str())
            .with("key", self.key.as_str());
        NewEvent { at, kind: EventKind::Signature, body, parts: Vec::new() }
    }

    /// What an event says; nothing of one of another kind.
    ///
    /// # Errors
    /// [`ShapeError`] for fields that are missing or malformed.
    pub fn read(event: &Event) -> Result<Option<Self>, ShapeError> {
        if event.kind != EventKind::Signature {
            return Ok(None);
        }
        let body = &event.body;
        let digest = |key: &str| {
            let text = body.string(key)?;
            read_digest(text).ok_or_else(|| ShapeError::new(key, "a digest", text))
        };
        Ok(Some(Self {
            signature: digest("signature")?,
            record: body.string("record")?.to_owned(),
            file: digest("file")?,
            environment: body.string("environment")?.to_owned(),
            form: body.string("form")?.to_owned(),
            key: body.string("key")?.to_owned(),
        }))
    }
}
