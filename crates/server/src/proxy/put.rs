//! Files that are put to a path: what a `PUT` brings is the artifact.

use attest::Json;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use axum::response::Response;
use futures_util::future::BoxFuture;

use crate::proxy::adapter::{Adapter, With};
use crate::proxy::ask::Subject;
use crate::proxy::head::Decoded;

/// `PUT` to a path.
#[derive(Debug)]
pub(crate) struct Put;

impl Adapter for Put {
    fn answer<'a>(&'a self, request: Request<Body>, with: &'a With) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            match *request.method() {
                Method::GET | Method::HEAD => with.pass(request).await,
                Method::PUT => self.put(request, with).await,
                _ => self.refuse(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "not-proxied",
                    "only PUT, GET and HEAD go through here",
                ),
            }
        })
    }

    fn refuse(&self, status: StatusCode, _code: &str, text: &str) -> Response {
        plain(status, text)
    }
}

impl Put {
    async fn put(&self, request: Request<Body>, with: &With) -> Response {
        let (mut head, body) = request.into_parts();
        if let Some(why) = unjudged(&head.headers, &head.uri) {
            return self.refuse(StatusCode::BAD_REQUEST, "unclear", why);
        }
        let held = match with.hold(body).await {
            Ok(held) => held,
            Err(response) => return response,
        };
        let path = head.extensions.get::<Decoded>().map(|path| path.0.as_str()).unwrap_or_default();
        let path = path.trim_start_matches('/').to_owned();
        let subject = Subject {
            uri: format!("{}/{path}", with.proxy.config().prefix.trim_end_matches('/')),
            name: path,
            digests: held.digests().clone(),
            body: Some(Json::from(format!("PUT {}", head.uri.path()))),
            ..Subject::default()
        };
        let ruled = with.ask(subject, &head.headers).await;
        if let Some(refusal) = with.refused(&ruled) {
            return refusal;
        }
        head.headers.insert(header::CONTENT_LENGTH, held.length().into());
        with.pass(Request::from_parts(head, held.body())).await
    }
}

/// What would make something else of the file than what is judged.
fn unjudged(headers: &HeaderMap, uri: &Uri) -> Option<&'static str> {
    if headers.contains_key(header::CONTENT_RANGE) {
        return Some("a piece of a file goes to nowhere: put all of it");
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Some("the body is encoded: nobody could say which of its two forms was judged");
    }
    if uri.path().ends_with('/') {
        return Some("a file's path does not end with /: for some servers it is the same one without");
    }
    uri.query().map(|_| "a file is put to a path without a query")
}

/// An answer in plain text.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response {
    crate::http::answer(status, "text/plain; charset=utf-8", Body::from(format!("{}\n", text.trim_end())))
}
