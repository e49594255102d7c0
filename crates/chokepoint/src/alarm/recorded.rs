//! Which alarms a decision on record is: at once, and again from the log where the process died before it could say so.

use attest::{Json, Object};

use super::{Alarm, AlarmKind};
use crate::decision::Decision;
use crate::record::Record;

/// The alarms of a decision that was just put on record. None for most.
#[must_use]
pub fn of_decision(record: &Record, decision: &Decision) -> Vec<Alarm> {
    if !is_alarmed(record) {
        return Vec::new();
    }
    of_recorded(record, Some(&decision.to_json()))
}

/// The same, from the log: the record, and the decision that it names where it can be read. The decision says who gave a
/// grant and why; what the alarm is called is the record's alone.
#[must_use]
pub fn of_recorded(record: &Record, decision: Option<&Json>) -> Vec<Alarm> {
    if !is_alarmed(record) {
        return Vec::new();
    }
    let grant = decision.and_then(|d| d.as_object().ok()?.optional_object("grant").ok()?);
    match record.basis.as_str() {
        "breakglass" => vec![used(record, grant)],
        _ => vec![failed_open(record)],
    }
}

/// Dry runs are many, and are looked at in their own queue; what runs already brings nothing in.
fn is_alarmed(record: &Record) -> bool {
    record.decision == "admit" && matches!(record.basis.as_str(), "breakglass" | "outage")
}

fn artifact(record: &Record) -> String {
    record.digest.as_ref().map_or_else(|| record.artifact.clone(), ToString::to_string)
}

/// One a grant, workload and artifact: a rollout of many Pods is one, and another artifact under the same grant is another.
fn used(record: &Record, grant: Option<&Object>) -> Alarm {
    let id = record.grant.as_deref().unwrap_or("a grant without a name");
    let said = |key: &str| grant.and_then(|g| g.string(key).ok()).unwrap_or("not known here").to_owned();
    let digest = said("digest");
    let workload = record.workload.as_deref().unwrap_or("no workload");
    let subject = format!("{id} {} {workload} {}", record.environment, artifact(record));
    let alarm = Alarm::new(AlarmKind::BreakglassUsed, &subject, record.at).say(
        &format!("breakglass let {} into {}", record.artifact, record.environment),
        &format!("a deployment that its policy admits; the policy says {}", record.outcome),
        &format!("grant {id} by {} for {}: {}", said("person"), said("ticket"), said("reason")),
        &format!(
            "look at it, and have a second person say so: portcullis breakglass review {id} --verdict …"
        ),
    );
    let alarm = alarm.field("grant", id).field("grant_digest", &digest).field("person", &said("person"));
    let alarm = alarm.field("ticket", &said("ticket")).field("expires", &said("expires"));
    of_request(alarm, record)
}

/// One an environment: while a part of ours fails, everything in it is let in alike.
fn failed_open(record: &Record) -> Alarm {
    let alarm = Alarm::new(AlarmKind::FailedOpen, &record.environment, record.at).say(
        &format!("{} was let into {} although nothing could be decided", record.artifact, record.environment),
        "a decision; the policy says `on-outage: admit`",
        &format!("verdict {}, basis {}", record.outcome, record.basis),
        "mend the part that fails (see /readyz), then verify what was let in: portcullis audit",
    );
    of_request(alarm, record)
}

fn of_request(alarm: Alarm, record: &Record) -> Alarm {
    let alarm = alarm.field("environment", &record.environment).field("artifact", &artifact(record));
    let alarm = alarm.field("requester", record.requester.as_deref().unwrap_or("nobody known"));
    match &record.workload {
        Some(workload) => alarm.field("workload", workload),
        None => alarm,
    }
}
