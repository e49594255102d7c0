//! The API of a Kubernetes cluster, with kubectl and whatever else speaks JSON in front of it.
//!
//! ```yaml
//!     kind: kubernetes          # with `webhook: environments`: namespaces, guards and owners are the webhook's
//!     impersonate: true         # the cluster knows who asks: its own rules count as ever
//!     groups: [argoproj.io]     # groups of custom resources that are written through here, beside Kubernetes' own
//! ```
//!
//! What reads goes through. A write is first sent as a dry run: what the API server would store is what the webhook's own
//! judge is asked about, and what is then sent. What is neither, as a connection into a Pod, does not go through.

mod object;
mod path;
mod review;
mod write;

use attest::Object;
use attest::yaml::{Fields, Problems};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::Response;
use futures_util::future::BoxFuture;
use kubernetes::GroupKind;

use crate::fields::words;
use crate::proxy::adapter::{Adapter, With};
use crate::proxy::head::Decoded;
use crate::proxy::kubernetes::path::{Place, Resource};
use crate::proxy::kubernetes::write::Write;

/// The keys that only this kind reads.
pub(crate) const KEYS: [&str; 2] = ["impersonate", "groups"];
const USER: HeaderName = HeaderName::from_static("impersonate-user");
/// Headers by which an API server takes one for another.
const OTHERS: [&str; 2] = ["impersonate-", "x-remote-"];

/// One API server.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    impersonate: bool,
    groups: Vec<String>,
}

impl Kubernetes {
    pub(crate) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Self> {
        if let Some(node) = fields.optional("anonymous") {
            problems.push(node.mismatch("`clients` or `issuers`: a cluster is told who asks"));
            return None;
        }
        let impersonate = fields.optional("impersonate").map_or(Some(true), |n| problems.keep(n.boolean()));
        Some(Self { impersonate: impersonate?, groups: words(fields, "groups", problems)? })
    }

    async fn route(&self, mut request: Request<Body>, with: &With) -> Result<Response, Response> {
        let never = |text: &str| self.refuse(StatusCode::FORBIDDEN, "not-proxied", text);
        let (who, told) = self.requester(with)?;
        let path = request.extensions().get::<Decoded>().map(|path| path.0.clone()).unwrap_or_default();
        let place = Place::parse(&path).map_err(|why| never(&why))?;
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match place {
            Place::Resource(at) if !is_read => {
                self.may_write(request.method(), &at)?;
                Write::take(with, at, (who, told), request).await?.done().await
            }
            Place::Resource(at) if !at.is_read() => Err(never(&connection(&at))),
            Place::Server if !is_read => Err(never("nothing is written there")),
            Place::Resource(_) | Place::Server => {
                clear(request.headers_mut());
                request.headers_mut().extend(told);
                Ok(with.pass(request).await)
            }
        }
    }

    /// Who asks, and what the upstream is told of it.
    fn requester(&self, with: &With) -> Result<(String, HeaderMap), Response> {
        let nobody = || self.refuse(StatusCode::FORBIDDEN, "unauthenticated", "nobody knows who asks");
        let who = with.requester.clone().ok_or_else(nobody)?;
        let mut told = HeaderMap::new();
        if self.impersonate {
            told.insert(USER, HeaderValue::from_str(&who).or(Err(nobody()))?);
        }
        Ok((who, told))
    }

    /// Whether a dry run of it is one, and gives the object.
    fn may_write(&self, method: &Method, at: &Resource) -> Result<(), Response> {
        let never = |text: &str| Err(self.refuse(StatusCode::FORBIDDEN, "not-proxied", text));
        if !at.is_written() || (*method == Method::POST && !at.name.is_empty()) {
            return never(&connection(at));
        }
        match *method {
            Method::POST => {}
            Method::PUT | Method::PATCH if !at.name.is_empty() => {}
            Method::DELETE if !at.name.is_empty() && at.subresource.is_empty() => {}
            Method::DELETE => {
                return never(
                    "objects are taken away one by one here\n  fix: name each, without --all and --selector",
                );
            }
            _ => {
                return Err(self.refuse(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "not-proxied",
                    "this method does not go through here",
                ));
            }
        }
        let is_own = GroupKind { group: at.group.clone(), ..GroupKind::of("", "") }.is_built_in();
        if is_own || self.groups.contains(&at.group) {
            return Ok(());
        }
        never(&format!(
            "nobody said that a dry run of {} stores nothing\n  fix: where it is a custom resource, name its group in `groups` \
             of this proxy: [{}]",
            at.resource, at.group
        ))
    }
}

/// What would reach into what runs, or give somebody a login.
fn connection(at: &Resource) -> String {
    format!(
        "{} does not go through here: what comes of it, nobody could judge\n  fix: in an emergency, have those who run the \
         cluster do it beside this proxy",
        at.title()
    )
}

/// Takes out what would make another of the requester.
fn clear(headers: &mut HeaderMap) {
    let is_other = |name: &&HeaderName| OTHERS.iter().any(|prefix| name.as_str().starts_with(prefix));
    let others: Vec<HeaderName> = headers.keys().filter(is_other).cloned().collect();
    for name in others {
        headers.remove(name);
    }
}

impl Adapter for Kubernetes {
    fn answer<'a>(&'a self, request: Request<Body>, with: &'a With) -> BoxFuture<'a, Response> {
        Box::pin(async move { self.route(request, with).await.unwrap_or_else(|refusal| refusal) })
    }

    fn refuse(&self, status: StatusCode, _code: &str, text: &str) -> Response {
        let mut body = Object::new()
            .with("kind", "Status")
            .with("apiVersion", "v1")
            .with("metadata", Object::new())
            .with("status", "Failure")
            .with("message", text.trim_end());
        body.set_some("reason", reason(status));
        crate::http::json(status, &body.with("code", i64::from(status.as_u16())).into())
    }
}

/// The word of Kubernetes for a status.
fn reason(status: StatusCode) -> Option<&'static str> {
    Some(match status {
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::UNAUTHORIZED => "Unauthorized",
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "Timeout",
        StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLarge",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UnsupportedMediaType",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        _ => return None,
    })
}
