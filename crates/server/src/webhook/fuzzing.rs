//! What the decision API reads.

use attest::Artifact;

use crate::webhook::{decisions, spooled as elsewhere};

/// The artifact that a body asks about.
pub fn question(body: &[u8]) -> Option<Artifact> {
    let question = decisions::read::question(body, "fuzz.example", Some("eu-1")).ok()?;
    Some(question.request.artifact)
}

/// The artifact of a record of what was let in elsewhere.
pub fn spooled(record: &[u8]) -> Option<Artifact> {
    let record = attest::json::parse(record).ok()?;
    Some(elsewhere::read(record.as_object().ok()?).ok()?.0.artifact)
}
