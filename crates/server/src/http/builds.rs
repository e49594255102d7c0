//! Asking for builds, finding them, and not wanting them any more.

use std::sync::Arc;
use std::time::Duration;

use attest::json::{Limits, parse_with};
use attest::{Json, Object};
use axum::Extension;
use axum::body::to_bytes;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use super::{
    Answer, Peer, Permission, Refusal, Shared, idempotency, job, json, only, parameter, permitted, who,
};
use crate::identity::Identity;
use crate::job::{State as JobState, Wish, reason};
use crate::queue::{Page, Submission};
use crate::service::Service;

const MAX_BODY: usize = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer names are a mistake or an attack.
const MAX_NAME: usize = 255;

/// `POST /v1/builds`
pub(super) async fn submit(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Answer {
    let answer = take(&service, &peer, request).await;
    if let Err(refusal) = &answer {
        service.tell("refused", "", refusal.to_event());
    }
    answer
}

async fn take(service: &Arc<Service>, peer: &Peer, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let who = who(service, &parts.headers, peer).await?;
    only(parts.uri.query(), &[])?;
    is_json(&parts.headers)?;
    let idempotency = idempotency(&parts.headers)?;
    let bytes = tokio::time::timeout(PATIENCE, to_bytes(body, MAX_BODY)).await;
    let bytes = bytes
        .or(Err(Refusal::new(408, "too-slow", "the request's body did not come in time")))?
        .or(Err(Refusal::new(413, "too-large", "the request's body is too large, or broke off")
            .wanted(&format!("at most {MAX_BODY} bytes"))))?;
    let wish = wish(&bytes)?;
    check(service, &who, &wish)?;
    let id = new_id()?;
    let submission =
        Submission { id: id.clone(), wish, requester: who.to_string(), idempotency, now: service.micros() };
    let job = service.queue.submit(&submission, service.config.queue).await?;
    let is_new = job.id == id;
    if is_new {
        service.arrived.notify_one();
        let details = Object::new().with("requester", job.requester.as_str());
        service.tell("build-taken", &job.id, details.with("repository", job.wish.repository.as_str()));
    }
    let mut response = json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &job.to_json());
    if let Ok(location) = format!("/v1/builds/{}", job.id).parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A form in somebody's browser, which sends its certificate along, cannot send this type without asking first.
fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Refusal::new(415, "bad-request", "the request's body is not declared to be JSON")
        .wanted("Content-Type: application/json")
        .found(kind)
        .fix("send the header"))
}

fn wish(bytes: &[u8]) -> Result<Wish, Refusal> {
    let bad = |found: &str| {
        Refusal::new(400, "bad-request", "the request is no build request")
            .wanted("an object with repository, ref and target, all text")
            .found(found)
            .fix("see /v1/openapi.json")
    };
    let limits = Limits { bytes: MAX_BODY, ..Limits::default() };
    let json = parse_with(bytes, limits).map_err(|e| bad(&e.to_string()))?;
    let object = json.as_object().map_err(|e| bad(&e.to_string()))?;
    if let Some((unknown, _)) = object.iter().find(|(k, _)| !matches!(*k, "repository" | "ref" | "target")) {
        return Err(bad(&format!("the key `{unknown}`, which nothing reads")));
    }
    let text = |key: &str| object.string(key).map(str::to_owned).map_err(|e| bad(&e.to_string()));
    let wish = Wish { repository: text("repository")?, reference: text("ref")?, target: text("target")? };
    for (name, value) in [("ref", &wish.reference), ("target", &wish.target)] {
        let is_odd = value.starts_with('-') || value.chars().any(|c| c.is_control() || c.is_whitespace());
        if value.is_empty() || value.len() > MAX_NAME || is_odd {
            return Err(bad(&format!(
                "a {name} that is empty, too long, starts with `-`, or has blanks in it"
            )));
        }
    }
    Ok(wish)
}

fn check(service: &Service, who: &Identity, wish: &Wish) -> Result<(), Refusal> {
    let repository = permitted(service, who, &wish.repository, Permission::Build)?;
    if !repository.allows_ref(&wish.reference) {
        let refs = repository.refs.join(", ");
        return Err(Refusal::new(403, "ref-not-permitted", "this ref is not built here")
            .wanted(&format!("one of {refs}"))
            .found(&wish.reference)
            .fix("build one of these, or have the ref added to the service's configuration"));
    }
    if *service.draining.borrow() {
        return Err(Refusal::new(503, "draining", "the service is about to stop; nothing was taken")
            .fix("try again in a minute"));
    }
    Ok(())
}

/// 128 random bits: whoever knows the id was told it.
fn new_id() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).or(Err(Refusal::new(
        503,
        "no-randomness",
        "the system gives no random numbers; nothing was taken",
    )))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// `GET /v1/builds`
pub(super) async fn list(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let who = who(&service, &headers, &peer).await?;
    let query = query.as_deref();
    only(query, &["repository", "state", "before", "limit"])?;
    let bad = |name: &str, wanted: &str| {
        Refusal::new(400, "bad-request", &format!("the parameter `{name}` cannot be read")).wanted(wanted)
    };
    let limit = match parameter(query, "limit")? {
        None => 20,
        Some(text) => {
            let number = text.parse().ok().filter(|n| (1..=100).contains(n));
            number.ok_or_else(|| bad("limit", "a number from 1 to 100"))?
        }
    };
    let state = match parameter(query, "state")? {
        None => None,
        Some(text) => {
            let names = JobState::ALL.map(JobState::name).join(", ");
            Some(JobState::parse(&text).ok_or_else(|| bad("state", &format!("one of {names}")))?)
        }
    };
    let repositories = match parameter(query, "repository")? {
        Some(one) => vec![permitted(&service, &who, &one, Permission::Read)?.url.clone()],
        None => {
            let all = service.config.repositories.iter().map(|r| r.url.clone());
            all.filter(|url| permitted(&service, &who, url, Permission::Read).is_ok()).collect()
        }
    };
    let before = parameter(query, "before")?;
    // one more than asked for says whether there is another page
    let page = Page { repositories, state, before, limit: limit + 1 };
    let mut jobs = service.queue.list(&page).await?;
    let has_more = i64::try_from(jobs.len()).is_ok_and(|n| n > limit);
    if has_more {
        jobs.pop();
    }
    let next = jobs.last().filter(|_| has_more).map(|job| job.id.clone());
    let mut body = Object::new().with("builds", jobs.iter().map(|j| j.to_json()).collect::<Vec<Json>>());
    body.set_some("next", next);
    Ok(json(StatusCode::OK, &body.into()))
}

/// `GET /v1/builds/{id}`
pub(super) async fn show(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let who = who(&service, &headers, &peer).await?;
    let job = job(&service, &id, &who, Permission::Read).await?;
    let mut body = job.to_object();
    if job.state == JobState::Queued {
        body.set("ahead", service.queue.ahead(&id).await?);
    }
    Ok(json(StatusCode::OK, &body.into()))
}

/// `POST /v1/builds/{id}/cancel`
pub(super) async fn cancel(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let who = who(&service, &headers, &peer).await?;
    job(&service, &id, &who, Permission::Build).await?;
    let why = reason(&format!("cancelled by {who}"), &[]);
    let job = service.queue.cancel(&id, &why, service.micros()).await?;
    service.wanted.revoke(&id);
    let job = job.ok_or_else(|| Refusal::new(404, "no-such-build", "there is no build with this id"))?;
    service.tell("cancel", &id, Object::new().with("requester", who.to_string()));
    Ok(json(StatusCode::OK, &job.to_json()))
}
