//! The decision API: one question about one artifact, for every choke point that is neither Kubernetes' nor a proxy's.
//!
//! The story of one question on the wire: who asks, until when, whether there is time, whether it was asked before; then a
//! thread decides, and the answer goes out as JSON or as text. Only the status 200 lets anything go on.

mod answers;
mod asker;
pub(crate) mod read;
mod spooled;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use attest::{Digest, Json, Object};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use chokepoint::Basis;
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::{Refusal, idempotency, only};
use crate::token::Tokens;
use crate::webhook::config::Decisions;
use crate::webhook::decisions::answers::Claim;
use crate::webhook::door::Inside;
use crate::webhook::frame::{End, Frame};
use crate::webhook::http::Caller;
use crate::webhook::judge::{Deadline, NotRuled, Question, Stage, Stages, Told};
use crate::webhook::rate::Rates;
use crate::webhook::review::{body, drain, shed, tell};
use crate::webhook::ruling::Ruling;
use crate::webhook::service::Front;

pub(crate) use answers::{Answers, Id, Lead, Said};
pub(crate) use read::{artifact, line, only as only_keys};
pub(crate) use spooled::take;

/// What is decided now may be decided otherwise so many seconds later.
const AGAIN: u64 = 5;

/// What the API works with.
#[derive(Debug)]
pub(crate) struct Deciding {
    config: Decisions,
    tokens: Tokens,
    answers: Arc<Answers>,
    /// Of records that were made elsewhere.
    brought: Rates,
}

impl Deciding {
    pub(crate) fn new(config: &Decisions) -> Self {
        let answers = Arc::default();
        Self {
            config: config.clone(),
            tokens: Tokens::new(&config.issuers),
            answers,
            brought: Rates::default(),
        }
    }

    /// Whether a certificate may ask. Who comes with a token is known only once it is shown.
    pub(crate) fn knows(&self, caller: &Caller) -> bool {
        caller.0.as_ref().is_some_and(|own| own.iter().any(|name| self.config.names.contains(name)))
    }
}

/// Answers one question.
pub(crate) async fn answer(front: Arc<Front>, caller: &Caller, request: Request) -> Response {
    let (mut frame, deadline) = Frame::begin(&front, "decide", &request);
    let wants_text = wants_text(request.headers());
    let end = match deadline {
        Err(refusal) => {
            drain(request.into_body()).await;
            Err(malformed(refusal))
        }
        Ok(deadline) => through(&front, caller, deadline, request, &mut frame).await,
    };
    let end: End = match end {
        Ok((said, is_replayed)) => (said.end, said.response(wants_text, is_replayed)),
        Err((end, refusal)) if wants_text => (end, refusal.to_text()),
        Err((end, refusal)) => (end, refusal.into_response()),
    };
    frame.end(end)
}

pub(crate) type Refused = (&'static str, Refusal);

async fn through(
    front: &Arc<Front>,
    caller: &Caller,
    deadline: Deadline,
    request: Request,
    frame: &mut Frame,
) -> Result<(Arc<Said>, bool), Refused> {
    let nobody = || ("failed", Refusal::new(404, "no-such-route", "nobody may ask for decisions here"));
    let deciding = front.decisions.as_ref().ok_or_else(nobody)?;
    let (now, until) = (frame.now, tokio::time::Instant::from_std(deadline.at()));
    let (head, rest) = request.into_parts();
    let who = tokio::time::timeout_at(until, asker::who(deciding, caller, &head.headers, now));
    let who =
        who.await.map_err(|_| late()).and_then(|who| who.map_err(|refusal| ("unauthenticated", refusal)));
    let Entered { asker, key, inside } = match who.and_then(|asker| enter(front, &head, asker, &deadline)) {
        Ok(entered) => entered,
        Err(refused) => {
            drain(rest).await;
            return Err(refused);
        }
    };
    let began = Instant::now();
    let body = body(Request::from_parts(head, rest), front.config.webhook.body, &deadline);
    let body = body.await.map_err(malformed)?;
    frame.stages.add(Stage::Read, began);
    let parse = || read::question(&body, &asker, front.config.cluster());
    let question = frame.stages.measure(Stage::Parse, parse).map_err(malformed)?;
    let began = Instant::now();
    let mut lead = None;
    if let Some(key) = key {
        let id = Id { asker: asker.clone(), key };
        match claim(&deciding.answers, id, &body, front, (now, until)).await? {
            Ok(said) => return Ok((said, true)),
            Err(own) => lead = Some(own),
        }
    }
    let Ok(Some(thread)) = tokio::time::timeout_at(until, front.door.thread()).await else {
        return Err(late());
    };
    frame.stages.add(Stage::Wait, began);
    let work = Work { inside, thread, lead, asker, question, deadline, now };
    Ok((decided(front, work, until, frame).await?, false))
}

/// What was said to this question under its key; or the duty to find it.
pub(crate) async fn claim(
    answers: &Arc<Answers>,
    id: Id,
    body: &[u8],
    front: &Front,
    (now, until): (Timestamp, tokio::time::Instant),
) -> Result<Result<Arc<Said>, Lead>, Refused> {
    let (body, files) = (Digest::sha256(body), front.judge.files());
    match tokio::time::timeout_at(until, answers.claim(id, &body, &files, now)).await.map_err(|_| late())? {
        Claim::Said(said) => Ok(Ok(said)),
        Claim::Lead(lead) => Ok(Err(lead)),
        Claim::Other => Err(malformed(reused())),
    }
}

/// Who is let in, and what they call their question.
struct Entered {
    asker: String,
    key: Option<String>,
    inside: Inside,
}

fn enter(front: &Front, head: &Parts, asker: String, deadline: &Deadline) -> Result<Entered, Refused> {
    only(head.uri.query(), &["timeout"]).map_err(malformed)?;
    let key = idempotency(&head.headers).map_err(malformed)?;
    let inside = front.door.enter(deadline).map_err(|estimate| ("shed", shed(estimate)))?;
    Ok(Entered { asker, key, inside })
}

/// Decides on a thread; nobody waits longer than the asker does.
async fn decided(
    front: &Arc<Front>,
    work: Work,
    until: tokio::time::Instant,
    frame: &mut Frame,
) -> Result<Arc<Said>, Refused> {
    let own = Arc::clone(front);
    let work = tokio::task::spawn_blocking(move || work.decide(&own));
    match tokio::time::timeout_at(until, work).await {
        Ok(Ok((outcome, measured))) => {
            frame.stages.extend(measured);
            let (said, attributes) = outcome?;
            frame.attributes.extend(attributes);
            Ok(said)
        }
        // the thread catches panics itself; what fails here is the runtime
        Ok(Err(e)) => Err(("failed", failed(&format!("cannot decide: {e}")))),
        Err(_) => Err(late()),
    }
}

/// What a thread holds while it works: its place, also where nobody waits any more, and the duty to whoever asks again.
struct Work {
    inside: Inside,
    thread: OwnedSemaphorePermit,
    lead: Option<Lead>,
    asker: String,
    question: Question,
    deadline: Deadline,
    now: Timestamp,
}

type Attributes = Vec<(&'static str, String)>;

impl Work {
    fn decide(self, front: &Front) -> (Result<(Arc<Said>, Attributes), Refused>, Stages) {
        let Self { inside, thread, lead, asker, question, deadline, now } = self;
        let (began, mut stages) = (Instant::now(), Stages::default());
        let (environment, is_dry_run) = (question.request.environment.clone(), question.dry_run);
        let artifact = question.request.artifact.short();
        let rule = || {
            deadline.check().or(Err(NotRuled::Late))?;
            front.judge.rule(question, &deadline, now)
        };
        let stage = if is_dry_run { Stage::Judge } else { Stage::Record };
        let ruled = stages.measure(stage, || catch_unwind(AssertUnwindSafe(rule)));
        front.door.took(began.elapsed());
        // here, and not where the answer goes out: nobody may be there any more
        let line = Object::new().with("asker", asker.as_str());
        let outcome = match ruled {
            Ok(Ok(ruling)) => {
                let told = Told { environment, artifact, ..told(&ruling) };
                tell(front, &told, line, deadline.is_over());
                let said = Arc::new(said(&ruling));
                if let Some(lead) = lead.filter(|_| said.end == "answered") {
                    lead.finish(Arc::clone(&said), now, end_of(&ruling));
                }
                Ok((said, attributes(&told)))
            }
            Ok(Err(no)) => Err(refused(front, &no, line)),
            Err(_) => {
                front.tell("decision-panicked", line);
                Err((
                    "panicked",
                    failed("cannot decide: the choke point failed; nothing goes on that was not judged"),
                ))
            }
        };
        drop((inside, thread));
        (outcome, stages)
    }
}

/// The answer to a decision. One that could not be made is not given again: whoever comes again wants one.
pub(crate) fn said(ruling: &Ruling) -> Said {
    let (end, status, again) = match (ruling.is_admitted(), ruling.decision().word()) {
        (true, _) => ("answered", StatusCode::OK, None),
        (false, "cannot-decide") => ("undecided", StatusCode::SERVICE_UNAVAILABLE, Some(AGAIN)),
        (false, _) => ("answered", StatusCode::FORBIDDEN, None),
    };
    Said { end, status, json: format!("{}\n", Json::from(ruling.to_json())), text: ruling.to_text(), again }
}

/// Until when an admission counts at most: a grant ends.
pub(crate) fn end_of(ruling: &Ruling) -> Option<Timestamp> {
    let decision = ruling.decision();
    let grant = decision.grant().filter(|_| decision.basis() == Basis::Breakglass)?;
    Some(grant.grant().expires)
}

/// A ruling in words, for records and numbers.
pub(crate) fn told(ruling: &Ruling) -> Told {
    let decision = ruling.decision();
    let mut rules: Vec<String> = decision.verdict().findings().iter().map(|f| f.rule.to_owned()).collect();
    rules.dedup();
    Told {
        record: ruling.receipt().and_then(record),
        decision: decision.word().to_owned(),
        basis: decision.basis().name().to_owned(),
        rules,
        ..Told::default()
    }
}

/// The record's number and leaf, of `NUMBER:LEAF` or `WRITER/NUMBER:LEAF`.
fn record(receipt: &str) -> Option<(u64, String)> {
    let receipt = receipt.rsplit_once('/').map_or(receipt, |(_, receipt)| receipt);
    let (number, leaf) = receipt.split_once(':')?;
    Some((number.parse().ok()?, leaf.to_owned()))
}

fn attributes(told: &Told) -> Attributes {
    let record = told.record.as_ref();
    let id = record.map(|(number, leaf)| ("portcullis.decision.id", format!("{number}:{leaf}")));
    let said = [("portcullis.decision", told.decision.clone()), ("portcullis.basis", told.basis.clone())];
    id.into_iter().chain(said).collect()
}

pub(crate) fn refused(front: &Front, no: &NotRuled, line: Object) -> Refused {
    match no {
        NotRuled::Late => {
            front.tell("decision-late", line.with("caller", "gone"));
            late()
        }
        NotRuled::Busy(why) => {
            front.tell("decision-failed", line.with("found", why.as_str()));
            let refusal = Refusal::new(429, "busy", &no.to_string()).fix("try again").again(1);
            ("shed", refusal)
        }
        NotRuled::Failed(why) => {
            front.tell("decision-failed", line.with("found", why.as_str()));
            ("failed", failed(&no.to_string()))
        }
    }
}

pub(crate) fn failed(message: &str) -> Refusal {
    Refusal::new(503, "failed", message)
        .fix("try again; where it stays so, the choke point's log says why")
        .again(AGAIN)
}

pub(crate) fn late() -> Refused {
    let fix =
        "try again; where it stays so, look at `portcullis_stage_seconds`, or ask with a longer `?timeout=`";
    let message = "cannot decide: there is no decision in the time that was given";
    ("late", Refusal::new(503, "late", message).fix(fix).again(1))
}

pub(crate) fn malformed(refusal: Refusal) -> Refused {
    ("malformed", refusal)
}

fn reused() -> Refusal {
    Refusal::new(409, "idempotency-key-reused", "another question was asked under this idempotency key")
        .fix("use a new key for every new question, and the same one only to ask the same again")
}

/// Whether somebody would rather read than parse.
fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.next() == Some("text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_names_its_record() {
        assert_eq!(record("7:sha256:aa"), Some((7, "sha256:aa".to_owned())));
        assert_eq!(record("eu-1/7:sha256:aa"), Some((7, "sha256:aa".to_owned())));
        assert_eq!(record("x"), None);
    }

    #[test]
    fn text_is_for_those_who_ask_for_it_first() {
        for (accept, wanted) in [
            ("text/plain", true),
            ("text/plain;q=0.9, */*", true),
            ("*/*", false),
            ("application/json, text/plain", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(wants_text(&headers), wanted, "{accept}");
        }
    }
}
