//! What was let in elsewhere while this choke point could not be reached: its grant is judged again by what is in force
//! here, and it is alarmed and on record before whoever brings it is answered.
//!
//! Nothing of it is believed but the grant's signature: when and what it was, its bringer says. A grant that somebody of the
//! trust root signed is alarmed also where it does not hold here: it may have held on that machine, and a key that was
//! revoked since, or a policy that changed, must not keep anybody from hearing of it. Without such a signature all of it is
//! its bringer's word: then that is on record, under the bringer's name, and nobody is alarmed, or else whoever may ask for a
//! decision could wake people with what never was.

use std::collections::BTreeMap;

use attest::json::ShapeError;
use attest::time::parse_time;
use attest::{Digest, Envelope, Json, Object};
use chokepoint::alarm::{Alarm, Away};
use chokepoint::{EventKind, NewEvent, without_secrets};
use jiff::Timestamp;
use policy::{Beside, Case, DeploymentRequest, Frame, Outcome, Submitted, Verdict};

use crate::webhook::alarming::nowhere;
use crate::webhook::decide::Kubernetes;
use crate::webhook::decisions::{artifact, line, only_keys};
use crate::webhook::judge::{Brought, NotKept};
use crate::webhook::rate::Allowance;

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
/// So many records in an hour of one client under one grant that does not hold.
const UNDER_ONE: usize = 100;
/// Two clocks may differ by so many seconds.
const TOLERANCE: i64 = 60;

impl Kubernetes {
    /// Takes all, or nothing where one cannot be read; gives their digests. What is nobody's word but the bringer's is charged
    /// where it is new, and of it all is taken or nothing. It keeps no grant back that somebody signed.
    pub(super) fn spooled(&self, brought: &Brought<'_>) -> Result<Option<Vec<String>>, NotKept> {
        let Brought { records, by, now, allowance } = brought;
        let desk = self.desk.get().ok_or_else(nowhere)?;
        let judged = |record: &Json| self.judged(record.to_string().into_bytes(), by, *now);
        let all = records.iter().map(judged).collect::<Result<Vec<Spooled>, NotKept>>()?;
        let digests = all.iter().map(|one| one.digest.to_string()).collect();
        let (signed, said): (Vec<Spooled>, Vec<Spooled>) =
            all.into_iter().partition(|one| one.alarm.is_some());
        let mut is_too_much = false;
        for one in signed {
            // a grant that holds always gets through; an old one is no licence to raise so many alarms that none is raised any more
            let own = one.old.as_ref().filter(|_| !desk.has(&one.digest));
            let own = own.map(|grant| allowance.beside(grant, UNDER_ONE));
            if own.as_ref().is_some_and(|own| !own.has_room(1)) {
                is_too_much = true;
                continue;
            }
            desk.bring(&one.digest, one.event, one.alarm).map_err(NotKept::Store)?;
            own.iter().for_each(Allowance::charge);
        }
        let new = said.into_iter().filter(|one| !desk.has(&one.digest));
        let new: BTreeMap<Digest, NewEvent> = new.map(|one| (one.digest, one.event)).collect();
        if is_too_much || !allowance.has_room(new.len()) {
            return Ok(None);
        }
        for (digest, event) in new {
            desk.bring(&digest, event, None).map_err(NotKept::Store)?;
            allowance.charge();
        }
        Ok(Some(digests))
    }

    fn judged(&self, bytes: Vec<u8>, by: &str, now: Timestamp) -> Result<Spooled, NotKept> {
        let malformed = |e: &dyn std::fmt::Display| NotKept::Malformed(e.to_string());
        let record = attest::json::parse(&bytes).map_err(|e| malformed(&e))?;
        let record = record.as_object().map_err(|e| malformed(&e))?;
        let (request, at) = read(record).map_err(|e| malformed(&e))?;
        if at.as_second() > now.as_second().saturating_add(TOLERANCE) {
            return Err(NotKept::Malformed(format!("at: wanted a time that has been, found {at}")));
        }
        let (artifact, digest) = (request.artifact.short(), Digest::sha256(&bytes));
        let shown = self.shown(request.clone(), at);
        let alarm = shown.grant.as_ref().map(|grant| {
            let away = Away {
                record: &digest,
                environment: &request.environment,
                artifact: &artifact,
                requester: request.requester.as_deref(),
                by,
                when: at,
                grant: (&grant.id, &grant.person),
                why_not: shown.why_not.as_deref(),
            };
            Alarm::breakglass_away(&away, now)
        });
        let mut body = Object::new().with("at", at.to_string()).with("by", by);
        for key in ["environment", "decision", "basis", "chokepoint", "record", "requester", "workload"] {
            body.set_some(key, record.optional_string(key).ok().flatten());
        }
        body.set("artifact", artifact.as_str());
        body.set("grant_holds", shown.why_not.is_none());
        let grant = shown.grant.map(|grant| grant.digest.to_string());
        body.set_some("grant", grant.as_deref());
        let old = grant.filter(|_| shown.why_not.is_some());
        let kind = if shown.why_not.is_none() { EventKind::Spooled } else { EventKind::SpooledUnverified };
        body.set_some("found", shown.why_not);
        Ok(Spooled { digest, event: NewEvent { at: now, kind, body, parts: vec![bytes] }, alarm, old })
    }

    /// Judges the grant under the files in force, as of the time at which it was used: a clock that has gone on since is none
    /// that went back.
    fn shown(&self, request: DeploymentRequest, at: Timestamp) -> Shown {
        let (book, root) = self.engine().in_force();
        let submitted = request.grant.clone();
        let frame = Frame {
            at,
            last_seen: None,
            book: book.digest().clone(),
            trust_root: root.digest().clone(),
            trust_root_version: root.version(),
            beside: Beside::default(),
            engine: chokepoint::ENGINE.to_owned(),
        };
        let verdict = policy::evaluate(&Case::open(request, frame), &book, &root);
        if let Some(held) = verdict.grant() {
            let (id, person, digest) =
                (held.grant().id.clone(), held.person().to_owned(), held.digest().clone());
            return Shown { grant: Some(Used { id, person, digest }), why_not: None };
        }
        let signed = submitted.as_ref().and_then(|submitted| {
            let signed = root.signed_grant(&Envelope::parse(&submitted.bytes).ok()?)?;
            let digest = Digest::sha256(&submitted.bytes);
            Some(Used { id: signed.grant.id, person: signed.signers.join(" and "), digest })
        });
        Shown { grant: signed, why_not: Some(why_not(&verdict, submitted.is_some())) }
    }
}

/// A record that was judged.
struct Spooled {
    digest: Digest,
    event: NewEvent,
    alarm: Option<Alarm>,
    /// The digest of a grant that somebody signed, where it does not hold.
    old: Option<String>,
}

/// What a record shows by itself.
struct Shown {
    /// Its grant, where somebody of the trust root signed it: then it is alarmed, whether it holds or not.
    grant: Option<Used>,
    /// Why no grant holds, where none does.
    why_not: Option<String>,
}

struct Used {
    id: String,
    person: String,
    digest: Digest,
}

/// Why the grant does not hold by what is in force here.
fn why_not(verdict: &Verdict, has_grant: bool) -> String {
    let all = verdict.findings().iter().chain(verdict.warnings());
    let found = all.into_iter().find(|finding| finding.rule == "breakglass-grant");
    match (found, verdict.outcome()) {
        _ if !has_grant => "it came without one".to_owned(),
        (Some(finding), _) => finding.message.clone(),
        (None, Outcome::CannotDecide(why)) => why.clone(),
        (None, _) => "a grant holds for nothing that is named without a digest".to_owned(),
    }
}

/// The question that was answered elsewhere, and when.
pub(super) fn read(record: &Object) -> Result<(DeploymentRequest, Timestamp), ShapeError> {
    only_keys(record, &KEYS)?;
    // what is on record of it is the sender's bytes, so that it is known by their digest: they are cleaned there, or nowhere
    let clean = without_secrets(record);
    if let Some((key, _)) = record.iter().find(|(key, value)| clean.get(key) != Some(*value)) {
        let wanted = "a record without logins and secrets: take them out before it is brought";
        return Err(ShapeError::new(key, wanted, "a login or a secret, which would stay in the log"));
    }
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
        let (name, bytes) = ("the grant that was used".to_owned(), Json::from(grant.clone()).to_string());
        request.grant = Some(Submitted { name, bytes: bytes.into_bytes() });
    }
    Ok((request, at))
}
