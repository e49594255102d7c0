//! The API: who asks, whether they may, and an answer in the project's words.

mod builds;
mod files;
pub(crate) mod openapi;
mod refusal;

use std::sync::Arc;

use attest::{Json, Object};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};

use crate::config::Repository;
use crate::identity::Identity;
use crate::job::Job;
use crate::service::Service;

pub use openapi::openapi;
pub(crate) use refusal::Refusal;

/// What a connection's certificate says; nothing where there is none.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(crate) Option<Result<Identity, String>>);

/// What somebody may do with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Ask for builds, and cancel them.
    Build,
    /// Read builds, logs and outputs.
    Read,
}

type Shared = State<Arc<Service>>;
type Answer = Result<Response, Refusal>;

/// Every route; `openapi.rs` describes the same ones, and a test compares.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/healthz", get(async || json(StatusCode::OK, &Object::new().with("alive", true).into())))
        .route("/readyz", get(ready))
        .route("/v1/openapi.json", get(async || json(StatusCode::OK, &openapi())))
        .route("/v1/builds", post(builds::submit).get(builds::list))
        .route("/v1/builds/{id}", get(builds::show))
        .route("/v1/builds/{id}/log", get(files::log))
        .route("/v1/builds/{id}/cancel", post(builds::cancel))
        .route("/v1/builds/{id}/outputs/{name}", get(files::output))
        .fallback(async || {
            Refusal::new(404, "no-such-route", "there is nothing at this address").fix("see /v1/openapi.json")
        })
        .method_not_allowed_fallback(async || {
            Refusal::new(405, "no-such-method", "this address does not take this method")
                .fix("see /v1/openapi.json")
        })
        .with_state(service)
}

async fn ready(State(service): Shared) -> Response {
    let (parts, is_ready) = service.readiness.check(&service).await;
    json(if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &parts)
}

/// Who asks: by certificate or by token. With both, nobody could say whose permissions count.
async fn who(service: &Service, headers: &HeaderMap, peer: &Peer) -> Result<Identity, Refusal> {
    let unknown = |found: &str| {
        Refusal::new(401, "unauthenticated", "nobody knows who asks")
            .wanted(
                "a client certificate of the configured authority, or a bearer token of a configured issuer",
            )
            .found(found)
            .fix("send one: --client-certificate and --client-key, or --token-file")
    };
    match (bearer(headers).map_err(unknown)?, &peer.0) {
        (None, None) => Err(unknown("neither")),
        (None, Some(Ok(identity))) => Ok(identity.clone()),
        (None, Some(Err(why))) => Err(unknown(why)),
        (Some(_), Some(_)) => Err(unknown("both")),
        (Some(token), None) => {
            let identified = service.tokens.identify(token, service.now()).await;
            identified.map_err(|e| unknown(&e.to_string()))
        }
    }
}

/// The one bearer token of a request, where it has one; or what it has instead.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut tokens = headers.get_all(header::AUTHORIZATION).iter();
    match (tokens.next(), tokens.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err("two tokens"),
        (Some(value), None) => {
            let words = value.to_str().ok().and_then(|v| v.split_once(' '));
            let token = words.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, t)| t);
            token.map(Some).ok_or("an Authorization header that is no bearer token")
        }
    }
}

/// What the caller calls the request, so that it is the same one when it comes again.
pub(crate) fn idempotency(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let (Some(value), second) = (keys.next(), keys.next()) else { return Ok(None) };
    let is_printable = |t: &&str| t.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let text = value.to_str().ok().filter(|t| (1..=128).contains(&t.len()) && second.is_none());
    let text = text.filter(is_printable);
    let key = text.ok_or_else(|| {
        Refusal::new(400, "bad-request", "the idempotency key cannot be used")
            .wanted("one, of 1 to 128 printable ASCII characters")
            .fix("use a random one, as `uuidgen` prints")
    })?;
    Ok(Some(key.to_owned()))
}

/// The repository, if this permission is given for it. One that is not configured looks like one without permission.
fn permitted<'a>(
    service: &'a Service,
    who: &Identity,
    repository: &str,
    permission: Permission,
) -> Result<&'a Repository, Refusal> {
    let (name, list) = match permission {
        Permission::Build => ("build", "may-build"),
        Permission::Read => ("read", "may-build or may-read"),
    };
    let found = service.config.repository(repository).filter(|r| {
        r.may_build.contains(who) || (permission == Permission::Read && r.may_read.contains(who))
    });
    found.ok_or_else(|| {
        Refusal::new(403, "not-permitted", &format!("not permitted to {name} {repository}"))
            .wanted(&format!("the permission `{name}` on {repository}"))
            .found(&format!("{who}, which does not have it"))
            .fix(&format!("have it added to {list} of this repository in the service's configuration"))
    })
}

/// A job that the asker may see, or more.
async fn job(service: &Service, id: &str, who: &Identity, permission: Permission) -> Result<Job, Refusal> {
    let job = service.queue.find(id).await?.ok_or_else(|| {
        Refusal::new(404, "no-such-build", "there is no build with this id")
            .fix("GET /v1/builds lists those that you may see")
    })?;
    permitted(service, who, &job.wish.repository, permission)?;
    Ok(job)
}

/// The value of a parameter in a query; twice is an error.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Result<Option<String>, Refusal> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let value = values.next();
    if values.next().is_some() {
        return Err(Refusal::new(400, "bad-request", &format!("the parameter `{name}` stands twice"))
            .fix("send it once"));
    }
    Ok(value)
}

/// Only these parameters: one that nothing reads is a mistake that somebody should hear of.
pub(crate) fn only(query: Option<&str>, known: &[&str]) -> Result<(), Refusal> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    match pairs.find(|(key, _)| !known.contains(&key.as_ref())) {
        None => Ok(()),
        Some((key, _)) => Err(Refusal::new(400, "bad-request", &format!("unknown parameter `{key}`"))
            .wanted(&if known.is_empty() {
                "none".to_owned()
            } else {
                format!("one of {}", known.join(", "))
            })
            .fix("remove it; nothing reads it")),
    }
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, body: &Json) -> Response {
    answer(status, "application/json", Body::from(format!("{body}\n")))
}

/// An answer that nobody keeps or guesses about.
pub(crate) fn answer(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
