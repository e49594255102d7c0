//! What the API server hears, and through it the person at kubectl.
//!
//! kubectl prints `Error from server (Forbidden): … admission webhook "…" denied the request: MESSAGE`, with line breaks
//! as they are. With several failing webhooks only one message reaches the person, so this one stands alone: a summary,
//! then every finding with its fix.

use attest::{Json, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use policy::{Diagnostic, Style};

use crate::pin::{Pin, patch};
use crate::refusal::Refusal;
use crate::review::{Review, ReviewError};
use crate::subject::Nothing;

/// The longest message, in bytes: what a terminal still shows whole, and etcd's events still keep.
pub const MAX_MESSAGE: usize = 8 << 10;
/// Kubernetes asks for warnings of at most 120 characters, and cuts off past 256.
pub const MAX_WARNING: usize = 120;
/// Past 4 KiB in all, the API server drops warnings.
pub const MAX_WARNINGS: usize = 4096;

/// What was decided about one deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ruling {
    /// It may go on.
    Admitted,
    /// The policy refuses it.
    Refused,
    /// It could not be decided.
    CannotDecide,
    /// There was no time or place to decide: ask again.
    Busy,
}

impl Ruling {
    /// The word in audit annotations.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Admitted => "admit",
            Self::Refused => "reject",
            Self::CannotDecide => "cannot-decide",
            Self::Busy => "busy",
        }
    }

    /// HTTP status and reason as Kubernetes knows them.
    fn status(self) -> (i64, &'static str) {
        match self {
            Self::Admitted => (200, ""),
            Self::Refused => (403, "Forbidden"),
            Self::CannotDecide => (500, "InternalError"),
            Self::Busy => (429, "TooManyRequests"),
        }
    }
}

/// One deployment's outcome, ready to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Where it stands in the object: `spec.containers[0].image`.
    pub place: String,
    /// The artifact, as a person reads it.
    pub artifact: String,
    /// What was decided.
    pub ruling: Ruling,
    /// Why: the basis' word.
    pub basis: String,
    /// Everything that is wrong; of an admitted one, what the verdict would have been.
    pub findings: Vec<Diagnostic>,
    /// Why nothing could be decided, where that is so.
    pub why: Option<String>,
    /// One line each, for people whose deployment goes on: dry run, upcoming requirements, grants.
    pub warnings: Vec<String>,
    /// The record's place in the log.
    pub record: Option<u64>,
    /// The receipt: leaf hash and index.
    pub receipt: Option<String>,
}

/// The answer to a review whose deployments were decided. Without any outcome nothing was decided, and nothing goes on:
/// where there is nothing to judge, [`answer_nothing`] says so by name. Refusals of the request itself stand before
/// findings.
#[must_use]
pub fn answer(review: &Review, outcomes: &[Outcome], refusals: &[Refusal]) -> Json {
    let worst = outcomes.iter().map(|o| o.ruling).max().unwrap_or(Ruling::CannotDecide);
    let any_refused = !refusals.is_empty() || outcomes.iter().any(|o| o.ruling == Ruling::Refused);
    // a violation is what the person can mend: it is named even where something else could not be decided
    let ruling = if any_refused { Ruling::Refused } else { worst };
    let mut response =
        Object::new().with("uid", review.uid.as_str()).with("allowed", ruling == Ruling::Admitted);
    if ruling != Ruling::Admitted {
        response.set("status", status(ruling, &message(review, outcomes, refusals)));
    }
    let warnings = warnings(outcomes);
    if !warnings.is_empty() {
        response.set("warnings", warnings);
    }
    let audit = audit(outcomes, refusals);
    if !audit.is_empty() {
        response.set("auditAnnotations", audit);
    }
    envelope(response)
}

/// The answer where there is nothing to judge: the reason is in the audit log.
#[must_use]
pub fn answer_nothing(review: &Review, nothing: &Nothing) -> Json {
    let response = Object::new()
        .with("uid", review.uid.as_str())
        .with("allowed", true)
        .with("auditAnnotations", Object::new().with("nothing", nothing.name()));
    envelope(response)
}

/// The answer to a body that is no review; nothing where not even its id can be read, and HTTP's own 400 has to do.
#[must_use]
pub fn answer_malformed(error: &ReviewError) -> Option<Json> {
    let uid = error.uid.as_deref()?;
    let message = policy::one_line(&error.to_string());
    let status = Object::new().with("code", 400_i64).with("reason", "BadRequest").with("message", message);
    Some(envelope(Object::new().with("uid", uid).with("allowed", false).with("status", status)))
}

/// The answer where there was no time or place to decide; clients ask again after the seconds given.
#[must_use]
pub fn answer_busy(review: &Review, why: &str, retry_seconds: i64) -> Json {
    let message = format!("{} was not decided: {why}; ask again", review.title());
    let mut status = status(Ruling::Busy, &policy::one_line(&message));
    status.set("details", Object::new().with("retryAfterSeconds", retry_seconds));
    envelope(Object::new().with("uid", review.uid.as_str()).with("allowed", false).with("status", status))
}

/// The answer of the mutating webhook: a patch where something is pinned. It never refuses.
#[must_use]
pub fn answer_patch(review: &Review, pins: &[Pin]) -> Json {
    let mut response = Object::new().with("uid", review.uid.as_str()).with("allowed", true);
    if !pins.is_empty() {
        response.set("patchType", "JSONPatch");
        response.set("patch", STANDARD.encode(patch(pins).to_string()));
    }
    envelope(response)
}

fn envelope(response: Object) -> Json {
    Object::new()
        .with("apiVersion", "admission.k8s.io/v1")
        .with("kind", "AdmissionReview")
        .with("response", response)
        .into()
}

fn status(ruling: Ruling, message: &str) -> Object {
    let (code, reason) = ruling.status();
    Object::new().with("code", code).with("reason", reason).with("message", message)
}

/// The summary line, and below it every diagnostic that has room.
fn message(review: &Review, outcomes: &[Outcome], refusals: &[Refusal]) -> String {
    let failed: Vec<&Outcome> = outcomes.iter().filter(|o| o.ruling != Ruling::Admitted).collect();
    let mut blocks: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    for outcome in &failed {
        let mut block = String::new();
        if let Some(why) = &outcome.why {
            let line = policy::one_line(why);
            let fix = if why.ends_with("set the clock") {
                "have the clock of the choke point's machine set; trying again does not help before"
            } else {
                "try again; if it stays so, tell those who run the choke point"
            };
            block.push_str(&format!(
                "error[cannot-decide]: {line}\n  artifact  {}\n  fix       {fix}\n",
                policy::one_line(&outcome.artifact)
            ));
        }
        blocks.push(block);
        blocks.extend(outcome.findings.iter().map(|finding| finding.to_text(Style::Plain)));
    }
    // each line of a diagnostic is bounded, their number is not: one that is long is cut, so that the first always shows
    let cut_to = |b: String| if b.len() > MAX_MESSAGE / 2 { cut(&b, MAX_MESSAGE / 8) } else { b };
    let blocks: Vec<String> = blocks.into_iter().filter(|b| !b.is_empty()).map(cut_to).collect();
    let mut out = format!("{}\n", summary(review, &failed, refusals));
    const RESERVE: usize = 160;
    let mut shown = 0;
    for block in &blocks {
        let room = MAX_MESSAGE.saturating_sub(out.len() + RESERVE);
        if block.len() + 1 > room {
            break;
        }
        out.push('\n');
        out.push_str(block);
        shown += 1;
    }
    if shown < blocks.len() {
        let left = blocks.len() - shown;
        out.push_str(&format!(
            "\n… and {left} more, in the decision log under the records that the audit log names\n"
        ));
    }
    out.trim_end().to_owned()
}

fn summary(review: &Review, failed: &[&Outcome], refusals: &[Refusal]) -> String {
    let places: Vec<&str> =
        refusals.iter().map(|r| r.place.as_str()).chain(failed.iter().map(|o| o.place.as_str())).collect();
    let mut shown: Vec<&str> = places.iter().copied().filter(|p| !p.is_empty()).take(3).collect();
    shown.dedup();
    let more = places.len().saturating_sub(3);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let at = if shown.is_empty() { String::new() } else { format!(" because of {}{more}", shown.join(", ")) };
    let is_refused = !refusals.is_empty() || failed.iter().any(|o| o.ruling == Ruling::Refused);
    let word = if is_refused { "is refused" } else { "could not be decided, and is refused" };
    policy::one_line(&format!("{} {word}{at}", review.title()))
}

/// What people whose deployment goes on should know: short lines, the first that have room.
fn warnings(outcomes: &[Outcome]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut room = MAX_WARNINGS;
    for text in outcomes.iter().flat_map(|o| &o.warnings) {
        let text = cut(&policy::one_line(text), MAX_WARNING);
        if out.contains(&text) {
            continue;
        }
        if text.len() > room {
            break;
        }
        room -= text.len();
        out.push(text);
    }
    out
}

/// At most so many characters, an ellipsis among them.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// What the API server writes into its audit log, under the webhook's name.
fn audit(outcomes: &[Outcome], refusals: &[Refusal]) -> Object {
    let mut out = Object::new();
    let join = |part: &dyn Fn(&Outcome) -> Option<String>| {
        let parts: Vec<String> = outcomes
            .iter()
            .filter_map(|o| Some(format!("{}={}", policy::one_line(&o.place), part(o)?)))
            .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    out.set_some("decision", join(&|o| Some(o.ruling.word().to_owned())));
    out.set_some("basis", join(&|o| Some(o.basis.clone())));
    out.set_some("record", join(&|o| o.record.map(|r| r.to_string())));
    out.set_some("receipt", join(&|o| o.receipt.clone()));
    if !refusals.is_empty() {
        let codes: Vec<&str> = refusals.iter().map(|r| r.code).collect();
        out.set("refused", codes.join(" "));
    }
    out
}
