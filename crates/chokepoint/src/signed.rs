//! What a release key signed, on record: whoever finds a signature finds the decision that it rests on.

use std::collections::BTreeMap;

use attest::json::ShapeError;
use attest::{Digest, Object};
use jiff::Timestamp;

use crate::chokepoint::read_digest;
use crate::entry::Entry;
use crate::event::{Event, EventKind, NewEvent};
use crate::record::{Record, leaf_digest};

/// The choke points that sign, as records call them.
const SIGNING: [&str; 2] = ["sign", "signatures"];

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

/// Looks for the decision that each signature on record rests on, leaf by leaf.
#[derive(Debug, Default)]
pub struct Rests {
    /// Leaves of admissions that let something be signed: the file's digest, and where it may be.
    admitted: BTreeMap<Digest, (Digest, String)>,
}

impl Rests {
    /// Takes the next leaf. Of a signature, gives when it was made, what it is, and why it rests on nothing, where it does
    /// not; an event that cannot be read is such a reason alone.
    #[must_use]
    pub fn add(&mut self, leaf: &[u8]) -> Option<(Timestamp, Result<Signed, String>, Option<&'static str>)> {
        match Entry::parse(leaf).ok()? {
            Entry::Decision(record) => {
                self.remember(leaf, &record);
                None
            }
            Entry::Event(event) => match Signed::read(&event) {
                Ok(signed) => {
                    let signed = signed?;
                    let why = self.why_not(&signed);
                    Some((event.at, Ok(signed), why))
                }
                Err(e) => Some((event.at, Err(e.to_string()), Some("it cannot be read"))),
            },
        }
    }

    fn remember(&mut self, leaf: &[u8], record: &Record) {
        let is_admitted =
            record.decision == "admit" && matches!(record.basis.as_str(), "policy" | "breakglass");
        if !(is_admitted && SIGNING.contains(&record.chokepoint.as_str())) {
            return;
        }
        if let (Some(leaf), Some(file)) = (leaf_digest(leaf), &record.digest) {
            self.admitted.insert(leaf, (file.clone(), record.environment.clone()));
        }
    }

    fn why_not(&self, signed: &Signed) -> Option<&'static str> {
        let leaf = signed.record.split_once(':').and_then(|(_, leaf)| read_digest(leaf));
        match leaf.and_then(|leaf| self.admitted.get(&leaf)) {
            None => Some("no record before it admits what is signed"),
            Some((file, _)) if *file != signed.file => Some("its record is about another file"),
            Some((_, environment)) if *environment != signed.environment => {
                Some("its record is for another environment")
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(chokepoint: &str, decision: &str, basis: &str) -> Vec<u8> {
        let (file, part) = (Digest::sha256(b"file"), Digest::sha256(b""));
        format!(
            r#"{{"format":"portcullis-record/v2","writer":"w","epoch":1,"sequence":0,"at":"2026-11-22T09:00:00Z",
            "decision":"{decision}","basis":"{basis}","outcome":"met","environment":"release/apt","artifact":"shop",
            "digest":"{file}","chokepoint":"{chokepoint}","rules":[],"trust_root_version":1,"case":"{part}",
            "decided":"{part}","book":"{part}"}}"#
        )
        .into_bytes()
    }

    fn signature(record: &[u8], file: &[u8], environment: &str) -> Vec<u8> {
        let signed = Signed {
            signature: Digest::sha256(b"signature"),
            record: format!("7:{}", leaf_digest(record).unwrap()),
            file: Digest::sha256(file),
            environment: environment.to_owned(),
            form: "openpgp".to_owned(),
            key: "00".to_owned(),
        };
        let new = signed.event("2026-11-22T09:00:01Z".parse().unwrap());
        format!(
            r#"{{"format":"portcullis-event/v1","writer":"w","epoch":1,"sequence":1,"at":"{}","kind":"{}",
            "trust_root_version":1,"body":{},"parts":[]}}"#,
            new.at,
            new.kind,
            attest::Json::from(new.body)
        )
        .into_bytes()
    }

    fn found(records: &[&[u8]], signature: &[u8]) -> Option<&'static str> {
        let mut rests = Rests::default();
        for record in records {
            assert!(rests.add(record).is_none());
        }
        rests.add(signature).expect("a signature").2
    }

    #[test]
    fn a_signature_rests_on_a_record_before_it_that_admits_just_that() {
        let good = record("sign", "admit", "policy");
        let apt = "release/apt";
        assert_eq!(found(&[&good], &signature(&good, b"file", apt)), None);
        let none = Some("no record before it admits what is signed");
        assert_eq!(found(&[], &signature(&good, b"file", apt)), none);
        assert_eq!(
            found(&[&good], &signature(&good, b"other", apt)),
            Some("its record is about another file")
        );
        assert_eq!(
            found(&[&good], &signature(&good, b"file", "release/x")),
            Some("its record is for another environment")
        );
        for bad in [
            record("sign", "reject", "policy"),
            record("sign", "admit", "dry-run"),
            record("sign", "admit", "outage"),
            record("kubernetes/eu-1", "admit", "policy"),
        ] {
            assert_eq!(found(&[&bad], &signature(&bad, b"file", apt)), none);
        }
        let glass = record("signatures", "admit", "breakglass");
        assert_eq!(found(&[&glass], &signature(&glass, b"file", apt)), None);
    }
}
