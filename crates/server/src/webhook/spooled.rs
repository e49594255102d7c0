//! What was let in elsewhere while this choke point could not be reached: its grant is judged again by what is in force
//! here, and it is alarmed and on record before whoever brings it is answered.
//!
//! Nothing of it is believed but the grant's signature: when and what it was, its bringer says. Where the grant does not
//! hold, all of it is its bringer's word: then that is on record, under the bringer's name, and nobody is alarmed, or else
//! whoever may ask for a decision could wake people with what never was.

use attest::json::ShapeError;
use attest::time::parse_time;
use attest::{Digest, Object};
use chokepoint::alarm::{Alarm, Away};
use chokepoint::{Decision, EventKind, NewEvent};
use jiff::Timestamp;
use policy::{DeploymentRequest, Submitted};

use crate::webhook::alarming::nowhere;
use crate::webhook::decide::Kubernetes;
use crate::webhook::decisions::{artifact, line, only_keys};
use crate::webhook::judge::NotKept;

const KEYS: [&str; 12] = [
    "at",
    "environment",
    "artifact",
    "decision",
    "basis",
    "chokepoint",
    "record",
    "requester",
    "workload",
    "grant",
    "receipt",
    "vkey",
];
const MAX_TEXT: usize = 500;
/// Two clocks may differ by so many seconds.
const TOLERANCE: i64 = 60;

impl Kubernetes {
    /// Takes one; answers with its digest.
    pub(super) fn spooled(&self, bytes: &[u8], by: &str, now: Timestamp) -> Result<String, NotKept> {
        let desk = self.desk.get().ok_or_else(nowhere)?;
        let malformed = |e: &dyn std::fmt::Display| NotKept::Malformed(e.to_string());
        let record = attest::json::parse(bytes).map_err(|e| malformed(&e))?;
        let record = record.as_object().map_err(|e| malformed(&e))?;
        let (request, at) = read(record).map_err(|e| malformed(&e))?;
        if at.as_second() > now.as_second().saturating_add(TOLERANCE) {
            return Err(NotKept::Malformed(format!("at: wanted a time that has been, found {at}")));
        }
        let (short, environment) = (request.artifact.short(), request.environment.clone());
        let requester = request.requester.clone();
        let decision = self.engine().judge(request, at).decision;
        let held = decision.grant();
        let digest = Digest::sha256(bytes);
        let alarm = held.map(|held| {
            let away = Away {
                record: &digest,
                environment: &environment,
                artifact: &short,
                requester: requester.as_deref(),
                by,
                when: at,
                grant: (held.grant().id.as_str(), held.person()),
            };
            Alarm::breakglass_away(&away, now)
        });
        let mut body = Object::new().with("at", at.to_string()).with("by", by);
        for key in ["environment", "decision", "basis", "chokepoint", "record", "requester", "workload"] {
            body.set_some(key, record.optional_string(key).ok().flatten());
        }
        body.set("artifact", short.as_str());
        body.set("grant_holds", held.is_some());
        body.set_some("grant", held.map(|held| held.digest().to_string()));
        body.set_some("found", held.is_none().then(|| why_not(&decision)));
        let kind = if held.is_some() { EventKind::Spooled } else { EventKind::SpooledUnverified };
        let event = NewEvent { at: now, kind, body, parts: vec![bytes.to_vec()] };
        desk.bring(&digest, event, alarm).map_err(NotKept::Store)?;
        Ok(digest.to_string())
    }
}

/// Why the grant does not hold by what is in force here.
fn why_not(decision: &Decision) -> String {
    let findings = decision.verdict().findings();
    let found = findings.iter().find(|finding| finding.rule == "breakglass-grant");
    found.map_or_else(|| "it came without one".to_owned(), |finding| finding.message.clone())
}

/// The question that was answered elsewhere, and when.
pub(super) fn read(record: &Object) -> Result<(DeploymentRequest, Timestamp), ShapeError> {
    only_keys(record, &KEYS)?;
    for key in ["decision", "basis"] {
        line(record, key, MAX_TEXT)?;
    }
    let text = record.string("at")?;
    let at =
        parse_time(text).ok_or_else(|| ShapeError::new("at", "a time, as in 2026-11-22T09:00:00Z", text))?;
    let artifact = artifact(record.object("artifact")?).map_err(|e| e.within("artifact"))?;
    let environment = line(record, "environment", MAX_TEXT)?;
    let mut request = DeploymentRequest::new(artifact, environment, line(record, "chokepoint", MAX_TEXT)?);
    let optional =
        |key: &str| record.get(key).map(|_| line(record, key, MAX_TEXT).map(str::to_owned)).transpose();
    (request.requester, request.workload) = (optional("requester")?, optional("workload")?);
    // a node has no log
    optional("record")?;
    for key in ["receipt", "vkey"] {
        record.optional_string(key)?;
    }
    if let Some(grant) = record.optional_object("grant")? {
        let (name, bytes) =
            ("the grant that was used".to_owned(), attest::Json::from(grant.clone()).to_string());
        request.grant = Some(Submitted { name, bytes: bytes.into_bytes() });
    }
    Ok((request, at))
}
