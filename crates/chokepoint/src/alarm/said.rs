//! What each kind of alarm says. Who finds something calls one of these: the words are here alone.

use attest::Digest;
use attest::time::Span;
use jiff::Timestamp;

use super::{Alarm, AlarmKind, Severity, int};
use crate::breakglass::{Budget, Used};

/// Something that was let in while the choke point could not be reached, as it was brought later.
#[derive(Clone, Copy, Debug)]
pub struct Away<'a> {
    /// SHA-256 of what was brought.
    pub record: &'a Digest,
    /// The environment.
    pub environment: &'a str,
    /// What, short.
    pub artifact: &'a str,
    /// Who asked, as the one who brings it says.
    pub requester: Option<&'a str>,
    /// Who brings it.
    pub by: &'a str,
    /// When it was, as the one who brings it says.
    pub when: Timestamp,
    /// The id of the grant, and its giver.
    pub grant: (&'a str, &'a str),
    /// Why it does not hold by what is in force now, where it does not.
    pub why_not: Option<&'a str>,
}

/// Something that runs, as alarms name it.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    /// `CLUSTER/NAMESPACE/KIND/NAME`.
    pub workload: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// What runs, short.
    pub artifact: &'a str,
    /// Its digest.
    pub digest: Option<&'a Digest>,
}

impl Live<'_> {
    fn subject(&self) -> String {
        let digest = self.digest.map_or_else(|| self.artifact.to_owned(), ToString::to_string);
        format!("{} {digest}", self.workload)
    }

    fn fields(&self, alarm: Alarm) -> Alarm {
        let alarm = alarm.field("workload", self.workload).field("environment", self.environment);
        let alarm = alarm.field("image", self.artifact);
        match self.digest {
            Some(digest) => alarm.field("artifact", &digest.to_string()),
            None => alarm,
        }
    }
}

impl Alarm {
    /// The subject of [`Alarm::summary_failed`].
    pub const SUMMARIES: &str = "summaries";

    /// Nobody else looked at what a grant let in, and its time has passed.
    #[must_use]
    pub fn breakglass_unreviewed(used: &Used, due: Timestamp, at: Timestamp) -> Self {
        let id = &used.id;
        Self::new(AlarmKind::BreakglassUnreviewed, &format!("{id} {}", used.digest), at)
            .say(
                &format!("nobody has reviewed what breakglass let into {}", used.environment),
                &format!("a review by {due}, by a person who neither gave the grant nor deployed under it"),
                &format!(
                    "records that nobody has reviewed: {}, under grant {id} by {} for {}; the first is of {}",
                    used.unreviewed().count(),
                    used.person,
                    used.ticket,
                    used.first
                ),
                &format!("portcullis breakglass review {id} --verdict justified|abuse --comment … --key …"),
            )
            .field("grant", id)
            .field("grant_digest", &used.digest.to_string())
            .field("person", &used.person)
            .field("ticket", &used.ticket)
            .field("due", &due.to_string())
    }

    /// More grants were used than the budget has.
    #[must_use]
    pub fn breakglass_budget(budget: Budget, used: usize, at: Timestamp) -> Self {
        Self::new(AlarmKind::BreakglassBudget, &budget.to_string(), at).say(
            "breakglass is used more often than its budget allows",
            &format!("at most {} grants used in {}", budget.grants, budget.per),
            &format!("{used} in the {} before {at}", budget.per),
            "find out why the way of every day does not do: portcullis breakglass list --log DIR",
        )
    }

    /// Something was let in while the choke point could not be reached.
    #[must_use]
    pub fn breakglass_away(away: &Away<'_>, at: Timestamp) -> Self {
        let Away { record, environment, artifact, requester, by, when, grant: (id, person), why_not } = *away;
        let found = format!("grant {id} by {person}, used at {when}; brought by {by}");
        let (found, fix) = match why_not {
            None => {
                (found, "look at it with whoever gave the grant, and close this: portcullis alarms close")
            }
            Some(why) => (
                format!("{found}; by what is in force here it does not hold: {why}"),
                "find out by which files that machine let it in, look at it with whoever signed the grant, and close this",
            ),
        };
        let alarm = Self::new(AlarmKind::BreakglassAway, &record.to_string(), at).say(
            &format!("breakglass let {artifact} into {environment} while the choke point was away"),
            "a decision of the choke point",
            &found,
            fix,
        );
        let alarm = alarm.field("environment", environment).field("artifact", artifact).field("by", by);
        let alarm = alarm.field("requester", requester.unwrap_or("nobody known"));
        alarm.field("grant", id).field("person", person)
    }

    /// It runs, and no record lets it in.
    #[must_use]
    pub fn undecided(live: Live<'_>, since: Timestamp, at: Timestamp) -> Self {
        let alarm = Self::new(AlarmKind::Undecided, &live.subject(), at).say(
            &format!("{} runs in {}, and nobody decided about it", live.artifact, live.workload),
            "a record that lets it in, in the decision log",
            &format!("none; it runs since {since}"),
            "find out how it came past the choke point, and stop it: the API server's audit log says who made it",
        );
        live.fields(alarm)
    }

    /// What runs is vouched for by nothing that counts any more; `why` names the key or the recall.
    #[must_use]
    pub fn revoked_live(live: Live<'_>, why: &str, at: Timestamp) -> Self {
        let alarm = Self::new(AlarmKind::RevokedLive, &live.subject(), at).say(
            &format!("{} in {} rests on what was revoked", live.artifact, live.workload),
            "evidence under keys and builders that count",
            why,
            "build it again with a builder that counts, deploy that, and treat what ran as an intruder's",
        );
        live.fields(alarm)
    }

    /// What runs would not be let in today; `fix` is the verdict's own.
    #[must_use]
    pub fn no_longer_met(live: Live<'_>, rules: &[String], fix: &str, at: Timestamp) -> Self {
        let alarm = Self::new(AlarmKind::NoLongerMet, &live.subject(), at).say(
            &format!("{} in {} would be refused today", live.artifact, live.workload),
            &format!("every rule of the policy for {}", live.environment),
            &format!("not met: {}", rules.join(", ")),
            fix,
        );
        live.fields(alarm)
    }

    /// What runs holds a package with a known vulnerability; `fixed` is the first version without it.
    #[must_use]
    pub fn advisory(
        live: Live<'_>,
        id: &str,
        package: &str,
        fixed: Option<&str>,
        severity: Severity,
        at: Timestamp,
    ) -> Self {
        let fix = fixed.map_or_else(
            || format!("no version of {package} without it is known: take it out, or guard against it"),
            |fixed| format!("build with {fixed} or later, and deploy that"),
        );
        let alarm = Self::new(AlarmKind::Advisory, &format!("{id} {package} {}", live.subject()), at)
            .severe(severity)
            .say(
                &format!("{} in {} has {id}", live.artifact, live.workload),
                "nothing with a known vulnerability",
                &format!("{package} is affected by {id}"),
                &fix,
            )
            .field("advisory", id)
            .field("package", package);
        live.fields(alarm)
    }

    /// What a dry run or a failing part let in waits in its queue for too long. `kind` is one of those two.
    #[must_use]
    pub fn queue_overdue(
        kind: AlarmKind,
        environment: &str,
        waiting: u64,
        (oldest, within): (Timestamp, Span),
        at: Timestamp,
    ) -> Self {
        let mut alarm = Self::new(kind, &format!("queue of {environment}"), at)
            .say(
                &format!("{waiting} deployments to {environment} wait to be looked at: {}", kind.name()),
                &format!("each looked at within {within}"),
                &format!("the oldest is of {oldest}"),
                "portcullis audit shows them by what would mend them",
            )
            .field("environment", environment);
        alarm.fields.set("waiting", int(waiting));
        alarm
    }

    /// The log is not what it should be: `part` is the spool or the store, `found` what of it.
    #[must_use]
    pub fn log_degraded(part: &str, found: &str, severity: Severity, at: Timestamp) -> Self {
        Self::new(AlarmKind::LogDegraded, part, at)
            .severe(severity)
            .say(
                &format!("the decision log is degraded: {part}"),
                "decisions in the store as well as in the spool, and room in both",
                found,
                "mend the store or make room before the spool is full: then nothing can be decided",
            )
            .field("part", part)
    }

    /// Entries of a writer are missing from the log.
    #[must_use]
    pub fn writer_gap(writer: &str, after: u64, next: u64, at: Timestamp) -> Self {
        let mut alarm = Self::new(AlarmKind::WriterGap, &format!("{writer} {after}"), at)
            .say(
                &format!("entries of the writer {writer} are missing from the log"),
                &format!("its entry {} after its entry {after}", after.saturating_add(1)),
                &format!("its entry {next}"),
                "keep the log as it is, and look at that writer's spool: somebody took them away, or it forked",
            )
            .field("writer", writer);
        alarm.fields.set("after", int(after));
        alarm.fields.set("next", int(next));
        alarm
    }

    /// A writer does not say that it lives.
    #[must_use]
    pub fn writer_silent(writer: &str, last: Timestamp, within: Span, at: Timestamp) -> Self {
        Self::new(AlarmKind::WriterSilent, writer, at)
            .say(
                &format!("the writer {writer} is silent"),
                &format!("an entry every {within}"),
                &format!("the last at {last}"),
                "find out whether it was stopped on purpose; if not, its newest entries may be missing",
            )
            .field("writer", writer)
    }

    /// A witness does not sign the log's checkpoint.
    #[must_use]
    pub fn witness_refuses(witness: &str, why: &str, at: Timestamp) -> Self {
        Self::new(AlarmKind::WitnessRefuses, witness, at)
            .say(
                &format!("the witness {witness} does not sign: the log is not what it saw before"),
                "a checkpoint that continues the one that the witness signed last",
                why,
                "the log was rolled back or forked: stop it, keep every copy, and compare them with the witness's",
            )
            .field("witness", witness)
    }

    /// A recorded case, decided again, gives something else.
    #[must_use]
    pub fn replay_differs(index: u64, found: &str, at: Timestamp) -> Self {
        let mut alarm = Self::new(AlarmKind::ReplayDiffers, &index.to_string(), at).say(
            &format!("record {index}, decided again, gives something else"),
            "the same decision, byte for byte",
            found,
            &format!("portcullis replay shows the difference: either record {index} was forged, or this version decides anew"),
        );
        alarm.fields.set("index", int(index));
        alarm
    }

    /// A file was not taken; the last good one stays in force.
    #[must_use]
    pub fn files_refused(what: &str, why: &str, at: Timestamp) -> Self {
        Self::new(AlarmKind::FilesRefused, what, at)
            .say(
                &format!("the {what} on disk is not taken; the last good one stays in force"),
                &format!("a {what} that loads, was reviewed, and is no older than the one in force"),
                why,
                "deploy a corrected one through its review, or find out who changed the file",
            )
            .field("what", what)
    }

    /// What runs was not verified again in time.
    #[must_use]
    pub fn verifier_stale(oldest: Timestamp, within: Span, at: Timestamp) -> Self {
        Self::new(AlarmKind::VerifierStale, "re-verification", at).say(
            "what runs was not verified again in time",
            &format!("every live workload verified again within {within}"),
            &format!("the oldest was verified at {oldest}"),
            "see why `portcullis audit` does not run or does not finish",
        )
    }

    /// What was admitted is not summarised; the subject is always the same.
    #[must_use]
    pub fn summary_failed(why: &str, at: Timestamp) -> Self {
        Self::new(AlarmKind::SummaryFailed, Self::SUMMARIES, at).say(
            "what is admitted here is not summarised: choke points that ask for a summary will refuse it",
            "a signed summary in the evidence store of everything that the policy admits",
            why,
            "mend what fails; then, for what was admitted meanwhile: portcullis summary issue",
        )
    }

    /// So many of one kind are open that no more are raised.
    pub(super) fn too_many(kind: AlarmKind, limit: usize, at: Timestamp) -> Self {
        Self::new(AlarmKind::TooMany, kind.name(), at).say(
            &format!("{limit} alarms of the kind {} are open; no more are raised", kind.name()),
            "alarms that somebody looks at",
            &format!("{limit} open"),
            "portcullis alarms list --log DIR; close what was looked at",
        )
    }
}
