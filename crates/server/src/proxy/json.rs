//! Any API that speaks JSON: calls that deploy a document, by their methods and paths.
//!
//! ```yaml
//!     calls:
//!       - { method: POST, path: "/v1/acl/*" }                      # the body is the artifact
//!       - { method: PUT, path: "/v1/projects/*/policy", at: /policy }   # what stands there is, and nothing stands beside it
//! ```
//!
//! The artifact's digest is SHA-256 of the document's canonical text (keys sorted, no white space). That text is what is
//! sent on: what the client wrote in another spelling never arrives.

use attest::json::{Limits, parse_with};
use attest::sigstore::Pattern;
use attest::yaml::{Fields, Node, Problems};
use attest::{Digest, Json, Object};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use futures_util::future::BoxFuture;
use kubernetes::canonical;

use crate::fields::list;
use crate::proxy::adapter::{Adapter, With};
use crate::proxy::ask::Subject;
use crate::proxy::head::Decoded;

const MAX_DOCUMENT: u64 = 4 << 20;
const METHODS: [Method; 3] = [Method::POST, Method::PUT, Method::PATCH];
const MAX_DEPTH: usize = 16;

/// The calls of an API that go through.
#[derive(Debug)]
pub(crate) struct JsonCalls(Vec<Call>);

#[derive(Debug)]
struct Call {
    method: Method,
    path: Pattern,
    /// The keys under which the artifact stands; none where it is the whole body.
    at: Vec<String>,
}

impl JsonCalls {
    pub(crate) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Self> {
        fields.required("calls", problems)?;
        Some(Self(list(fields, "calls", problems, call)))
    }

    async fn call(&self, request: Request<Body>, with: &With) -> Response {
        let refuse = |status, code: &str, text: &str| self.refuse(status, code, text);
        let (mut head, body) = request.into_parts();
        let path = head.extensions.get::<Decoded>().map(|path| path.0.clone()).unwrap_or_default();
        let call = self.0.iter().find(|call| call.method == head.method && call.path.matches(&path));
        let Some(call) = call else {
            let text = "this call does not go through here: `calls` of this proxy says which do";
            return refuse(StatusCode::FORBIDDEN, "not-proxied", text);
        };
        if let Some(why) = unjudged(&head.headers, head.uri.query()) {
            return refuse(StatusCode::BAD_REQUEST, "unclear", why);
        }
        let held = match with.hold(body).await {
            Ok(held) => held,
            Err(response) => return response,
        };
        let document = match held.bytes(MAX_DOCUMENT) {
            Ok(bytes) => bytes,
            Err(e) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, "too-large", &e.to_string()),
        };
        let (artifact, text) = match call.document(&document) {
            Ok(found) => found,
            Err(why) => return refuse(StatusCode::BAD_REQUEST, "no-document", &why),
        };
        let name = path.trim_start_matches('/').to_owned();
        let subject = Subject {
            uri: format!("{}/{name}", with.proxy.config().prefix.trim_end_matches('/')),
            name,
            digests: Digest::sha256(canonical(&artifact).as_bytes()).into(),
            body: Some(artifact),
            ..Subject::default()
        };
        let ruled = with.ask(subject, &head.headers).await;
        if let Some(refusal) = with.refused(&ruled) {
            return refusal;
        }
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        head.headers.insert(header::CONTENT_LENGTH, text.len().into());
        with.pass(Request::from_parts(head, Body::from(text))).await
    }
}

impl Adapter for JsonCalls {
    fn answer<'a>(&'a self, request: Request<Body>, with: &'a With) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            match *request.method() {
                Method::GET | Method::HEAD => with.pass(request).await,
                _ => self.call(request, with).await,
            }
        })
    }

    fn refuse(&self, status: StatusCode, code: &str, text: &str) -> Response {
        crate::http::json(status, &Object::new().with("error", code).with("message", text).into())
    }
}

impl Call {
    /// The artifact, and the text of all that is sent on.
    fn document(&self, bytes: &[u8]) -> Result<(Json, String), String> {
        let json = parse_with(bytes, Limits::default().exact()).map_err(|e| format!("no JSON: {e}"))?;
        let mut artifact = &json;
        for key in &self.at {
            let object = artifact.as_object().map_err(|_| format!("there is nothing under `{key}`"))?;
            let mut pairs = object.iter();
            match (pairs.next(), pairs.next()) {
                (Some((found, value)), None) if found == key => artifact = value,
                (Some(_), None) | (None, _) => return Err(format!("there is nothing under `{key}`")),
                (Some(_), Some(_)) => return Err(format!("beside `{key}` stands what nobody would judge")),
            }
        }
        Ok((artifact.clone(), canonical(&json)))
    }
}

/// What would make something else of the call than what is judged.
fn unjudged(headers: &HeaderMap, query: Option<&str>) -> Option<&'static str> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Some("the body is sent as something else than application/json");
    }
    if headers.contains_key(header::CONTENT_ENCODING) || headers.contains_key(header::CONTENT_RANGE) {
        return Some("the body is encoded, or a piece of one: nobody could say what was judged");
    }
    query.map(|_| "with a query it would be a call that nobody judged")
}

fn call(node: &Node, problems: &mut Problems) -> Option<Call> {
    let fields = Fields::read(node, "a call", &["method", "path", "at"], problems)?;
    let method = fields.required("method", problems).and_then(|node| {
        let word = problems.keep(node.string())?;
        let found = METHODS.into_iter().find(|method| method.as_str() == word);
        problems.keep(found.ok_or_else(|| node.mismatch("POST, PUT or PATCH")))
    });
    let path = fields.required("path", problems).and_then(|node| {
        let text = problems.keep(node.string())?;
        let pattern = Pattern::parse(text).ok().filter(|_| text.starts_with('/'));
        problems.keep(pattern.ok_or_else(|| node.mismatch("a path that begins with /, as in /v1/acl/*")))
    });
    let at = fields.optional("at").map_or(Some(Vec::new()), |node| {
        let text = problems.keep(node.string())?;
        let keys = text.strip_prefix('/').map(|keys| keys.split('/').map(unescape).collect::<Vec<_>>());
        let keys = keys.filter(|keys| keys.len() <= MAX_DEPTH && keys.iter().all(|key| !key.is_empty()));
        problems.keep(keys.ok_or_else(|| node.mismatch("a JSON pointer, as in /policy")))
    });
    Some(Call { method: method?, path: path?, at: at? })
}

/// RFC 6901, section 4.
fn unescape(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(at: &[&str], text: &str) -> Result<(String, String), String> {
        let at = at.iter().map(|key| (*key).to_owned()).collect();
        let call = Call { method: Method::POST, path: Pattern::parse("/v1/*").unwrap(), at };
        call.document(text.as_bytes()).map(|(artifact, text)| (canonical(&artifact), text))
    }

    #[test]
    fn one_document_is_sent_on_in_one_spelling() {
        let whole = document(&[], "{ \"b\": 1,\n \"\\u0061\": [1.50] }").unwrap();
        assert_eq!(whole, ("{\"a\":[1.50],\"b\":1}".to_owned(), "{\"a\":[1.50],\"b\":1}".to_owned()));
        let inner = document(&["p", "q"], "{\"p\": {\"q\": {\"y\":1,\"x\":2}}}").unwrap();
        assert_eq!(inner, ("{\"x\":2,\"y\":1}".to_owned(), "{\"p\":{\"q\":{\"x\":2,\"y\":1}}}".to_owned()));
    }

    #[test]
    fn nothing_goes_along_unjudged() {
        for (text, why) in [
            ("{\"p\":{\"q\":1},\"owner\":\"mallory\"}", "stands what nobody would judge"),
            ("{\"p\":{\"q\":1,\"r\":2}}", "stands what nobody would judge"),
            ("{\"p\":{\"r\":1}}", "nothing under `q`"),
            ("{\"p\":[]}", "nothing under `q`"),
            ("{}", "nothing under `p`"),
            ("{\"p\":{\"q\":1},\"p\":{\"q\":2}}", "duplicate"),
            ("{\"p\":{\"q\":1}} {}", "no JSON"),
            ("", "no JSON"),
        ] {
            let found = document(&["p", "q"], text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }
}
