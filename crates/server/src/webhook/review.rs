//! The story of one request on the wire: who asks, until when, whether there is time; then a thread judges, and the
//! answer goes out or nobody waits for it any more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use attest::Object;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;

use crate::http::{Refusal, json};
use crate::webhook::door::Inside;
use crate::webhook::frame::{End, Frame};
use crate::webhook::http::{Caller, Permission, permitted};
use crate::webhook::judge::{Ask, Deadline, Judged, NoAnswer, Purpose, Stage, Stages, Told};
use crate::webhook::service::Front;
use crate::webhook::trace::Trace;

/// Answers one review.
pub(crate) async fn answer(
    front: Arc<Front>,
    caller: &Caller,
    purpose: Purpose,
    request: Request,
) -> Response {
    let name = if purpose == Purpose::Validate { "validate" } else { "mutate" };
    let (mut frame, deadline) = Frame::begin(&front, name, &request);
    let end = match deadline {
        Err(refusal) => ("malformed", refusal.into_response()),
        Ok(deadline) => {
            let asked = Asked { purpose, deadline, now: frame.now };
            through(&front, caller, asked, request, (&mut frame.stages, &mut frame.attributes)).await
        }
    };
    frame.end(end)
}

struct Asked {
    purpose: Purpose,
    deadline: Deadline,
    now: jiff::Timestamp,
}

type Notes<'a> = (&'a mut Stages, &'a mut Vec<(&'static str, String)>);

async fn through(
    front: &Arc<Front>,
    caller: &Caller,
    asked: Asked,
    request: Request,
    (stages, attributes): Notes<'_>,
) -> End {
    if let Err(refusal) = permitted(front, caller, Permission::Ask) {
        drain(request.into_body()).await;
        return ("unauthenticated", refusal.into_response());
    }
    let inside = match front.door.enter(&asked.deadline) {
        Ok(inside) => inside,
        Err(estimate) => return ("shed", shed(estimate).into_response()),
    };
    let began = Instant::now();
    let body = match body(request, front.config.webhook.body, &asked.deadline).await {
        Ok(body) => body,
        Err(refusal) => return ("malformed", refusal.into_response()),
    };
    stages.add(Stage::Read, began);
    let began = Instant::now();
    let until = tokio::time::Instant::from_std(asked.deadline.at());
    let Ok(Some(thread)) = tokio::time::timeout_at(until, front.door.thread()).await else {
        return ("late", late());
    };
    stages.add(Stage::Wait, began);
    let ask = Ask { body, purpose: asked.purpose, deadline: asked.deadline, now: asked.now };
    let (work, own) = (Work { inside, thread }, Arc::clone(front));
    let work = tokio::task::spawn_blocking(move || work.judge(&own, &ask));
    match tokio::time::timeout_at(until, work).await {
        Ok(Ok((outcome, measured))) => {
            stages.extend(measured);
            if let Outcome::Judged(judged) = &outcome {
                attributes.extend(Trace::attributes(judged));
            }
            respond(&outcome)
        }
        // the thread catches panics itself; what fails here is the runtime
        Ok(Err(e)) => ("failed", Refusal::new(500, "failed", &format!("cannot decide: {e}")).into_response()),
        Err(_) => ("late", late()),
    }
}

/// What a thread holds while it works: its place, also where nobody waits any more.
struct Work {
    inside: Inside,
    thread: OwnedSemaphorePermit,
}

/// How judging came out.
enum Outcome {
    Judged(Judged),
    No(NoAnswer),
    /// The judge broke; the field is the review's uid.
    Panicked(String),
}

impl Work {
    fn judge(self, front: &Front, ask: &Ask) -> (Outcome, Stages) {
        let (began, mut stages) = (Instant::now(), Stages::default());
        let judge = || ask.deadline.check().and_then(|()| front.judge.judge(ask, &mut stages));
        let outcome = match catch_unwind(AssertUnwindSafe(judge)) {
            Ok(Ok(judged)) => Outcome::Judged(judged),
            Ok(Err(no)) => Outcome::No(no),
            Err(_) => Outcome::Panicked(uid_of(&ask.body)),
        };
        front.door.took(began.elapsed());
        // here, and not where the answer goes out: nobody may be there any more
        record(front, &outcome, ask.deadline.is_over());
        drop((self.inside, self.thread));
        (outcome, stages)
    }
}

fn record(front: &Front, outcome: &Outcome, is_gone: bool) {
    let (event, details) = match outcome {
        Outcome::Judged(judged) => return decisions(front, judged, is_gone),
        Outcome::Panicked(uid) => ("review-panicked", Object::new().with("uid", uid.as_str())),
        Outcome::No(NoAnswer::Late) => ("review-late", Object::new().with("caller", "gone")),
        Outcome::No(NoAnswer::Malformed(why)) => {
            ("review-malformed", Object::new().with("found", why.as_str()))
        }
        Outcome::No(NoAnswer::Failed(uid, why)) => {
            ("review-failed", Object::new().with("uid", uid.as_str()).with("found", why.as_str()))
        }
    };
    front.tell(event, details);
}

/// One line for each decision: which, about what, why. Never what was asked with.
fn decisions(front: &Front, judged: &Judged, is_gone: bool) {
    for told in &judged.decisions {
        tell(front, told, Object::new().with("uid", judged.uid.as_str()), is_gone);
    }
}

/// Counts a decision, and writes its line, which begins with who or what it is for.
pub(crate) fn tell(front: &Front, told: &Told, mut line: Object, is_gone: bool) {
    front.metrics.decided(told);
    if let Some((index, leaf)) = &told.record {
        line.set("record", i64::try_from(*index).unwrap_or(i64::MAX));
        line.set("leaf", leaf.as_str());
    }
    line.set("environment", told.environment.as_str());
    line.set("artifact", told.artifact.as_str());
    line.set("decision", told.decision.as_str());
    line.set("basis", told.basis.as_str());
    line.set("rules", told.rules.clone());
    line.set_some("unproven", told.unproven.as_deref());
    line.set_some("registry", told.registry.clone());
    line.set_some("caller", is_gone.then_some("gone"));
    front.tell("decision", line);
}

fn respond(outcome: &Outcome) -> End {
    let fix = "try again; where it stays so, the choke point's log says why";
    match outcome {
        Outcome::Judged(judged) => ("answered", json(StatusCode::OK, &judged.answer)),
        Outcome::Panicked(uid) => {
            let why = "the choke point failed; nothing is deployed that was not judged";
            ("panicked", denial(uid, &format!("cannot decide: {why}\n  fix: {fix}")))
        }
        Outcome::No(NoAnswer::Failed(uid, why)) => {
            ("failed", denial(uid, &format!("cannot decide: {why}\n  fix: {fix}")))
        }
        Outcome::No(NoAnswer::Malformed(why)) => {
            let refusal =
                Refusal::new(400, "malformed", "the body is no AdmissionReview of admission.k8s.io/v1");
            ("malformed", refusal.found(why).into_response())
        }
        Outcome::No(NoAnswer::Late) => ("late", late()),
    }
}

/// No answer but this one would be refused by the API server too; this one also says why.
fn denial(uid: &str, message: &str) -> Response {
    if uid.is_empty() {
        return Refusal::new(500, "failed", message).into_response();
    }
    let status = Object::new().with("code", 500).with("reason", "InternalError").with("message", message);
    let response = Object::new().with("uid", uid).with("allowed", false).with("status", status);
    let review = Object::new()
        .with("apiVersion", "admission.k8s.io/v1")
        .with("kind", "AdmissionReview")
        .with("response", response);
    json(StatusCode::OK, &review.into())
}

/// The uid of what may be a review; empty where it has none.
fn uid_of(body: &[u8]) -> String {
    let find = || {
        let review = attest::json::parse(body).ok()?;
        let uid = review.as_object().ok()?.object("request").ok()?.string("uid").ok()?.to_owned();
        Some(uid).filter(|uid| uid.len() <= 128)
    };
    catch_unwind(find).ok().flatten().unwrap_or_default()
}

fn late() -> Response {
    Refusal::new(504, "late", "there is no decision in the time that was given")
        .fix("try again; where it stays so, look at `portcullis_stage_seconds`, or raise `timeoutSeconds`")
        .into_response()
}

pub(crate) fn shed(estimate: Duration) -> Refusal {
    let seconds = estimate.as_secs().saturating_add(1).min(30);
    Refusal::new(429, "busy", "more is asked than can be decided in time; nothing was judged")
        .found(&format!("an answer would take {} ms", estimate.as_millis()))
        .fix("try again; where it stays so, run more of this webhook")
        .again(seconds)
}

/// What is thrown away of a body that nobody reads, so that its sender hears why: a connection that is closed over unread
/// bytes, or a stream, is reset, and the answer lost.
const THROWN_AWAY: usize = 1 << 20;
const THROWING: Duration = Duration::from_secs(1);

pub(crate) async fn drain(mut body: Body) {
    let reading = async {
        let mut left = THROWN_AWAY;
        while left > 0 {
            let Some(Ok(frame)) = body.frame().await else { return };
            left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len));
        }
    };
    // who sends no more in this time has heard nothing either way
    tokio::time::timeout(THROWING, reading).await.ok();
}

/// The body, whole, of the right kind, no larger than allowed, and in time.
pub(crate) async fn body(request: Request, most: u64, deadline: &Deadline) -> Result<Bytes, Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    if kind.as_deref() != Some("application/json") {
        drain(request.into_body()).await;
        return Err(Refusal::new(415, "no-json", "the body is sent as something else than JSON")
            .wanted("Content-Type: application/json")
            .found(kind.as_deref().unwrap_or("none")));
    }
    let most_bytes = usize::try_from(most).unwrap_or(usize::MAX);
    let too_large =
        || Refusal::new(413, "too-large", "the body is too large").wanted(&format!("at most {most} bytes"));
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok());
    // said beforehand, it need not be read
    if length.and_then(|l| l.parse::<u64>().ok()).is_some_and(|length| length > most) {
        drain(request.into_body()).await;
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), most_bytes).collect();
    match tokio::time::timeout_at(tokio::time::Instant::from_std(deadline.at()), body).await {
        Err(_) => Err(Refusal::new(408, "slow", "the body did not come in time")),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refusal::new(400, "broken-off", "the body broke off")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}
