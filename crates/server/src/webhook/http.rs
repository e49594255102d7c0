//! Addresses of the choke point, and who may use which.

use std::sync::Arc;

use attest::Object;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};

use crate::http::{Refusal, answer, json};
use crate::webhook::judge::{Kept, Purpose};
use crate::webhook::openapi::openapi;
use crate::webhook::service::Front;
use crate::webhook::{attach, decisions, review, signing};

pub(crate) type Shared = State<Arc<Front>>;

/// The names in a connection's certificate; nothing where it showed none.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Option<Arc<[String]>>);

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Ask for a review: the API server.
    Ask,
    /// Bring evidence, grants and reviews.
    Attach,
    /// Close an alarm: who attaches evidence is a machine, and must not silence one.
    Close,
}

/// The routes of the main listener; `openapi.rs` describes the same ones, and a test compares. What the configuration has
/// nobody for is not there.
pub(crate) fn router(front: Arc<Front>) -> Router {
    let mut routes = Router::new();
    if front.config.webhook.is_kubernetes {
        let reviews = [("/v1/kubernetes/validate", post(validate)), ("/v1/kubernetes/mutate", post(mutate))];
        routes = reviews.into_iter().fold(routes, |routes, (path, method)| routes.route(path, method));
    }
    if front.decisions.is_some() {
        routes = routes.route("/v1/decisions", post(decide)).route("/v1/decisions/spooled", post(spooled));
    }
    if front.signing.is_some() {
        routes = routes.route("/v1/signatures", post(sign));
    }
    let routes = routes
        .route("/v1/evidence", put(evidence))
        .route("/v1/grants", put(grant))
        .route("/v1/reviews", put(breakglass_review))
        .route("/v1/alarms/closed", put(closing))
        .route("/v1/openapi.json", get(async || json(StatusCode::OK, &openapi())));
    fallbacks(health(routes)).with_state(front)
}

/// The routes of the listener for metrics.
pub(crate) fn metrics_router(front: Arc<Front>) -> Router {
    fallbacks(health(Router::new().route("/metrics", get(metrics)))).with_state(front)
}

fn health(routes: Router<Arc<Front>>) -> Router<Arc<Front>> {
    let alive = get(async || json(StatusCode::OK, &Object::new().with("alive", true).into()));
    routes.route("/healthz", alive).route("/readyz", get(ready))
}

fn fallbacks(routes: Router<Arc<Front>>) -> Router<Arc<Front>> {
    let see = "see /v1/openapi.json on the webhook's address; what the configuration has no section for (decisions, signing) is not there";
    routes
        .fallback(async move |request: Request| {
            review::drain(request.into_body()).await;
            Refusal::new(404, "no-such-route", "there is nothing at this address").fix(see)
        })
        .method_not_allowed_fallback(async move |request: Request| {
            review::drain(request.into_body()).await;
            Refusal::new(405, "no-such-method", "this address does not take this method").fix(see)
        })
}

async fn ready(State(front): Shared) -> Response {
    let (state, is_ready) = front.readiness();
    json(if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &state)
}

async fn metrics(State(front): Shared) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    answer(StatusCode::OK, kind, Body::from(front.metrics_text()))
}

async fn validate(State(front): Shared, Extension(caller): Extension<Caller>, request: Request) -> Response {
    review::answer(front, &caller, Purpose::Validate, request).await
}

async fn mutate(State(front): Shared, Extension(caller): Extension<Caller>, request: Request) -> Response {
    review::answer(front, &caller, Purpose::Mutate, request).await
}

async fn decide(State(front): Shared, Extension(caller): Extension<Caller>, request: Request) -> Response {
    decisions::answer(front, &caller, request).await
}

async fn spooled(State(front): Shared, Extension(caller): Extension<Caller>, request: Request) -> Response {
    decisions::take(&front, &caller, request).await.unwrap_or_else(|e| e.into_response())
}

async fn sign(State(front): Shared, Extension(caller): Extension<Caller>, request: Request) -> Response {
    signing::answer(front, &caller, request).await
}

async fn evidence(State(front): Shared, Extension(caller): Extension<Caller>, request: Request) -> Response {
    attach::keep(&front, &caller, Kept::Evidence, request).await.unwrap_or_else(|e| e.into_response())
}

async fn grant(State(front): Shared, Extension(caller): Extension<Caller>, request: Request) -> Response {
    attach::keep(&front, &caller, Kept::Grant, request).await.unwrap_or_else(|e| e.into_response())
}

async fn breakglass_review(
    State(front): Shared,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    attach::keep(&front, &caller, Kept::Review, request).await.unwrap_or_else(|e| e.into_response())
}

async fn closing(State(front): Shared, Extension(caller): Extension<Caller>, request: Request) -> Response {
    attach::keep(&front, &caller, Kept::Closing, request).await.unwrap_or_else(|e| e.into_response())
}

/// The name under which a caller may do this.
///
/// # Errors
/// A refusal that says what a certificate would need.
pub(crate) fn permitted(front: &Front, caller: &Caller, permission: Permission) -> Result<String, Refusal> {
    let webhook = &front.config.webhook;
    let (nobody, clients) = (Vec::new(), webhook.clients.as_ref());
    let (names, list, what) = match (permission, clients) {
        (Permission::Ask, None) if webhook.is_kubernetes => return Ok("anybody".to_owned()),
        (Permission::Ask, None) => (&nobody, "webhook: clients: names", "ask for reviews"),
        (Permission::Ask, Some(clients)) => (&clients.names, "webhook: clients: names", "ask for reviews"),
        (Permission::Attach, _) => (&front.config.attach, "attach: names", "bring evidence or grants"),
        (Permission::Close, _) => (&front.config.alarms.close, "alarms: close: names", "close an alarm"),
    };
    let refusal = |code, message: &str, found: &str| {
        Refusal::new(403, code, message)
            .wanted(&format!(
                "a client certificate of the configured authority, with a name that `{list}` has"
            ))
            .found(found)
    };
    let Some(own) = &caller.0 else {
        let fix = match permission {
            Permission::Ask => {
                "the API server shows one where its AdmissionConfiguration names a kubeconfig for this webhook"
            }
            Permission::Attach | Permission::Close => "give --client-certificate and --client-key",
        };
        return Err(refusal("unauthenticated", "nobody knows who asks", "no client certificate").fix(fix));
    };
    let found = own.iter().find(|name| names.contains(name));
    found.cloned().ok_or_else(|| {
        let found = format!("a certificate with {}", list_of(own));
        refusal("not-permitted", &format!("this certificate may not {what}"), &found)
            .fix(&format!("come with another certificate, or have its name added to `{list}`"))
    })
}

pub(crate) fn list_of(names: &[String]) -> String {
    let short = |name: &String| name.chars().take(100).collect::<String>();
    let shown: Vec<String> = names.iter().take(5).map(short).collect();
    if shown.is_empty() { "no name".to_owned() } else { format!("the names {}", shown.join(", ")) }
}
