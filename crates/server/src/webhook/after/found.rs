//! What the watch finds, as alarms.

use std::collections::BTreeSet;

use chokepoint::alarm::{Alarm, AlarmKind};
use jiff::Timestamp;

use crate::alarm::Desk;
use crate::watch::{Finding, FindingKind, Told};

/// Raises what was found, and closes what is over.
///
/// # Errors
/// Why that is not on record.
pub(super) fn alarm(desk: &Desk, told: Told, now: Timestamp) -> Result<(), String> {
    match told {
        Told::Raised(finding) => desk.raise(of(&finding), now).map(drop),
        Told::Over(identity) => {
            let word = identity.split('/').next().unwrap_or_default();
            let kind = FindingKind::ALL.into_iter().find(|kind| kind.name() == word);
            kind.map_or(Ok(()), |kind| desk.gone(kind_of(kind), &identity, now))
        }
        Told::Whole(cluster, standing) => FindingKind::WATCHED
            .into_iter()
            .try_for_each(|kind| close(desk, kind, (&cluster, &standing), now)),
    }
}

/// What of one kind an earlier process found in this cluster, and is so no more.
fn close(
    desk: &Desk,
    kind: FindingKind,
    (cluster, standing): (&str, &BTreeSet<String>),
    now: Timestamp,
) -> Result<(), String> {
    let of_watch = format!("{}/{cluster}/", kind.name());
    // as a subject, an identity may be shorter
    let subject = |identity: &String| Alarm::found(kind_of(kind), identity, now).subject;
    let standing: BTreeSet<String> = standing.iter().map(subject).collect();
    // whether the audit log can be read, those know who read it
    let is_so = |subject: &String| {
        !subject.starts_with(&of_watch) || subject.ends_with("/audit-log") || standing.contains(subject)
    };
    desk.gone_unless(kind_of(kind), is_so, now)
}

fn of(finding: &Finding) -> Alarm {
    let (wanted, fix) = words(finding.kind);
    let alarm = Alarm::found(kind_of(finding.kind), &finding.identity, finding.at);
    alarm.told(&finding.title, wanted, finding.kind.name(), fix).with(&finding.details)
}

fn kind_of(kind: FindingKind) -> AlarmKind {
    match kind {
        FindingKind::Undecided
        | FindingKind::DigestDiffers
        | FindingKind::StaticPod
        | FindingKind::UndecidedWrite => AlarmKind::Undecided,
        FindingKind::FailedOpen => AlarmKind::FailedOpen,
        FindingKind::RecordUnknown | FindingKind::RecordDiffers | FindingKind::RecordReused => {
            AlarmKind::WriterGap
        }
        FindingKind::Blind | FindingKind::Unreadable | FindingKind::Gap => AlarmKind::VerifierStale,
    }
}

/// What should be, and what to do.
fn words(kind: FindingKind) -> (&'static str, &'static str) {
    match kind {
        FindingKind::Undecided | FindingKind::UndecidedWrite => (
            "a record that lets it in, in the decision log",
            "find out how it came past the choke point, and stop it: the API server's audit log says who made it",
        ),
        FindingKind::DigestDiffers => (
            "the digest that was let in",
            "stop it, and look at the node and its registry: something else runs than what was asked for",
        ),
        FindingKind::StaticPod => (
            "only Pods that the API server was asked about",
            "look at the node's own folder of manifests, and at who can write there",
        ),
        FindingKind::FailedOpen => (
            "an answer of the choke point to every write",
            "judge it now: portcullis audit; and find out why nobody answered",
        ),
        FindingKind::RecordUnknown | FindingKind::RecordDiffers | FindingKind::RecordReused => (
            "the record that the API server's audit log names, in the decision log, once",
            "keep both logs for the investigation; compare the decision log with its witnesses: portcullis log verify",
        ),
        FindingKind::Blind | FindingKind::Unreadable | FindingKind::Gap => (
            "to see everything that runs, and every write",
            "look at the API server, at the rights of this account, and at the rotation of the audit log",
        ),
    }
}
