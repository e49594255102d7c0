//! npm's registry API: `npm publish` puts a document with one version and its archive; `npm dist-tag` moves a tag.
//!
//! The archive's bytes are the artifact, the package's name is the name. The document beside it must say what the archive
//! says: installers choose by the one and run the other.

use std::sync::Arc;

use attest::Object;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::proxy::adapter::{Adapter, With};
use crate::proxy::hold::Held;
use crate::proxy::package::{two_meanings, unreadable};

#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod name;
mod publish;
mod tag;
mod tarball;

use name::{Name, Target};
use publish::nameless;
use tag::Published;

/// A document has its archive inside, and is read as a whole.
const MAX_DOCUMENT: u64 = 96 << 20;
/// So many documents are in memory at once.
const AT_ONCE: usize = 2;

const ONLY: &str = "only `npm publish`, `npm dist-tag` and what reads go through here; unpublishing, owners, access \
                    and logins are for the registry's keepers";

/// Publishing and tags; everything else can only be read.
#[derive(Debug)]
pub(crate) struct Npm {
    places: Arc<Semaphore>,
}

impl Npm {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    async fn publish(&self, name: Name, request: Request<Body>, with: &With) -> Result<Response, Response> {
        let (head, body) = request.into_parts();
        let held = Arc::new(with.hold(body).await?);
        let (own, twofold) = (Arc::clone(&held), two_meanings(&head));
        let place = Arc::clone(&self.places).acquire_owned().await;
        let subject = with
            .read(move || {
                // also where the client is gone, a document is in memory until this ends
                let _place = place;
                let read = || {
                    twofold.map_or(Ok(()), Err)?;
                    let wanted = format!("at most {MAX_DOCUMENT} bytes");
                    let text = own.bytes(MAX_DOCUMENT);
                    let text = text
                        .map_err(|e| unreadable("", "the document is too large", &wanted, &e.to_string()))?;
                    publish::subject(&name, &text)
                };
                Ok(read().unwrap_or_else(|why| nameless(&name, why)))
            })
            .await?;
        with.admit(subject, &head.headers).await?;
        Ok(with.forward(as_read(head), &held).await)
    }

    /// A tag is put on a version, or taken from the one that has it.
    async fn tag(
        &self,
        name: &Name,
        tag: &str,
        request: Request<Body>,
        with: &With,
    ) -> Result<Response, Response> {
        let (head, body) = request.into_parts();
        let held = Arc::new(with.hold(body).await?);
        if let Some(why) = two_meanings(&head) {
            return Err(self.refuse(StatusCode::BAD_REQUEST, "rejected", &why.what));
        }
        let _place = self.places.acquire().await;
        let published = Published::ask(name, with).await?;
        let version = match head.method {
            Method::DELETE => published.tagged(tag).map(str::to_owned),
            _ => version(&held),
        };
        let Some(version) = version else {
            let text = format!("wanted the version for the tag {tag}, as in \"1.0.0\"");
            return Err(self.refuse(StatusCode::BAD_REQUEST, "rejected", &text));
        };
        let subject = published.subject(tag, &version, with).await?;
        drop(published);
        with.admit(subject, &head.headers).await?;
        Ok(with.forward(as_read(head), &held).await)
    }
}

/// Says that the body is what was judged, JSON in UTF-8: in another encoding the same bytes are another document.
fn as_read(mut head: Parts) -> Parts {
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head
}

/// The body of a tag: a version as JSON.
fn version(held: &Held) -> Option<String> {
    let bytes = held.bytes(1024).ok()?;
    attest::json::parse(&bytes).ok()?.as_str().ok().map(str::to_owned)
}

impl Adapter for Npm {
    fn answer<'a>(&'a self, request: Request<Body>, with: &'a With) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let target = Target::read(request.uri().path());
            let answer = match (request.method().clone(), target) {
                (Method::GET | Method::HEAD, _) => Ok(with.pass(request).await),
                (Method::PUT, Some(Target::Package(name))) => self.publish(name, request, with).await,
                (Method::PUT | Method::DELETE, Some(Target::Tag(name, tag))) => {
                    self.tag(&name, &tag, request, with).await
                }
                _ => Err(self.refuse(StatusCode::METHOD_NOT_ALLOWED, "not-proxied", ONLY)),
            };
            answer.unwrap_or_else(|refusal| refusal)
        })
    }

    /// The one in a scoped name is always encoded.
    fn takes_encoded_slash(&self) -> bool {
        true
    }

    /// npm prints `error`.
    fn refuse(&self, status: StatusCode, code: &str, text: &str) -> Response {
        let body = Object::new().with("error", text.trim_end()).with("code", code);
        crate::http::answer(status, "application/json", Body::from(attest::Json::from(body).to_string()))
    }
}
