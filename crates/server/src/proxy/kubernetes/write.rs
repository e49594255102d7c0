//! The story of a write: how the object is → a dry run says how it will be → that is judged → that very object is sent,
//! bound to the version that was seen first. Where it changed meanwhile, all of it begins anew.

use attest::json::{Limits, parse_with};
use attest::{Json, Object};
use axum::body::{Body, to_bytes};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::Response;
use bytes::Bytes;

use crate::proxy::adapter::With;
use crate::proxy::kubernetes::object::settled;
use crate::proxy::kubernetes::path::Resource;
use crate::proxy::kubernetes::review::{Change, warn};
use crate::proxy::metrics::End;

/// No object in the store of an API server is half as large.
const MAX_OBJECT: usize = 4 << 20;
/// As the judge reads reviews, in which the object stands two levels deeper.
const MAX_DEPTH: usize = 60;
const MAX_VALUES: usize = 500_000;
/// Controllers write to an object all the time: a change of which nobody else knows is tried again, and judged again.
const TRIES: usize = 5;

/// What goes on with a write, and what only with what takes an object away.
const QUERY: [&str; 5] = ["dryRun", "fieldManager", "fieldValidation", "pretty", "timeout"];
const QUERY_OF_DELETE: [&str; 2] = ["gracePeriodSeconds", "propagationPolicy"];
/// Forms of an object: whatever the client writes, the dry run reads it, and what is judged and sent is JSON.
const FORMS: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// Forms of a patch that are JSON, and of which the server makes one object.
const PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];
/// Headers of the client that go on.
const KEPT: [HeaderName; 3] = [header::HOST, header::USER_AGENT, HeaderName::from_static("traceparent")];

/// One write.
pub(super) struct Write<'a> {
    pub(super) with: &'a With,
    pub(super) at: Resource,
    /// Who asks.
    pub(super) who: String,
    /// What the upstream is told of it.
    pub(super) headers: HeaderMap,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    is_dry: bool,
    /// What the client sent, and how it calls it.
    kind: HeaderValue,
    body: Bytes,
}

/// An object as the upstream gave it.
struct Given {
    status: StatusCode,
    object: Object,
    warnings: Vec<HeaderValue>,
}

impl<'a> Write<'a> {
    /// Takes a request in, where it is one that goes through here. `headers` are those that say who asks.
    pub(super) async fn take(
        with: &'a With,
        at: Resource,
        (who, mut headers): (String, HeaderMap),
        request: Request<Body>,
    ) -> Result<Self, Response> {
        let refuse = |status, text: &str| with.proxy.config().adapter.refuse(status, "unclear", text);
        let (head, body) = request.into_parts();
        let is_delete = head.method == Method::DELETE;
        let (query, is_dry) =
            query(head.uri.query(), is_delete).map_err(|why| refuse(StatusCode::BAD_REQUEST, &why))?;
        let held = with.hold(body).await?;
        let most = u64::try_from(MAX_OBJECT).unwrap_or(u64::MAX);
        let body = held.bytes(most).map_err(|e| refuse(StatusCode::PAYLOAD_TOO_LARGE, &e.to_string()))?;
        if !reads_json(&head.headers) {
            let text =
                "the answer is JSON, and this client reads none\n  fix: have it accept application/json too";
            return Err(refuse(StatusCode::NOT_ACCEPTABLE, text));
        }
        let kind = match kind(&head.method, &head.headers) {
            Ok(kind) => kind,
            Err(_) if is_delete && body.is_empty() => "application/json",
            Err(why) => return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &why)),
        };
        for name in KEPT {
            if let Some(value) = head.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Ok(Self {
            with,
            at,
            who,
            headers,
            path: head.uri.path().to_owned(),
            method: head.method,
            query,
            is_dry,
            kind: HeaderValue::from_static(kind),
            body: Bytes::from(body),
        })
    }

    /// Does it, once or as often as somebody else is faster.
    pub(super) async fn done(&self) -> Result<Response, Response> {
        if self.method == Method::DELETE {
            return self.taken_away().await;
        }
        let mut tries = 1;
        loop {
            let response = self.once().await?;
            let is_late = response.status() == StatusCode::CONFLICT && self.method != Method::POST;
            if !is_late || tries == TRIES {
                return Ok(response);
            }
            tries += 1;
        }
    }

    async fn once(&self) -> Result<Response, Response> {
        let old =
            if self.method == Method::POST { None } else { Some(self.given(self.read()?).await?.object) };
        let dry = self.request(self.method.clone(), true, Some((self.kind.clone(), self.body.clone())))?;
        let dry = self.given(dry).await?;
        let object =
            settled(dry.object.clone(), old.as_ref(), &self.at).map_err(|why| self.undecided(&why))?;
        let change = self.change(Some(&object), old.as_ref());
        let mut warnings = change.admitted(self.with, &self.who).await?;
        warnings.extend(dry.warnings);
        let mut response = if self.is_dry {
            crate::http::json(dry.status, &dry.object.into())
        } else {
            let method = if self.method == Method::POST { Method::POST } else { Method::PUT };
            let body = Bytes::from(Json::from(object).to_string());
            let json = HeaderValue::from_static("application/json");
            self.with.pass(self.request(method, false, Some((json, body)))?).await
        };
        warn(response.headers_mut(), warnings);
        Ok(response)
    }

    /// What goes away needs no evidence; it is on record where the webhook's is.
    async fn taken_away(&self) -> Result<Response, Response> {
        let old = self.given(self.read()?).await?.object;
        self.change(None, Some(&old)).admitted(self.with, &self.who).await?;
        let body = (!self.body.is_empty()).then(|| (self.kind.clone(), self.body.clone()));
        Ok(self.with.pass(self.request(Method::DELETE, self.is_dry, body)?).await)
    }

    fn change<'b>(&'b self, object: Option<&'b Object>, old: Option<&'b Object>) -> Change<'b> {
        Change { method: &self.method, at: &self.at, object, old, is_dry: self.is_dry }
    }

    fn undecided(&self, why: &str) -> Response {
        self.with.course.set(End::Undecided);
        let text = format!("cannot decide: {why}");
        self.with.proxy.config().adapter.refuse(StatusCode::SERVICE_UNAVAILABLE, "cannot-decide", &text)
    }

    /// How the object is now.
    fn read(&self) -> Result<Request<Body>, Response> {
        self.made(Method::GET, &self.path, None)
    }

    fn request(
        &self,
        method: Method,
        is_dry: bool,
        body: Option<(HeaderValue, Bytes)>,
    ) -> Result<Request<Body>, Response> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.query);
        if is_dry {
            query.append_pair("dryRun", "All");
        }
        self.made(method, &format!("{}?{}", self.path, query.finish()), body)
    }

    fn made(
        &self,
        method: Method,
        target: &str,
        body: Option<(HeaderValue, Bytes)>,
    ) -> Result<Request<Body>, Response> {
        let target = PathAndQuery::try_from(target.trim_end_matches('?'));
        let target = target.or(Err(self.undecided("its address cannot be read")))?;
        let mut request = Request::new(Body::empty());
        (*request.method_mut(), *request.uri_mut()) = (method, Uri::from(target));
        *request.headers_mut() = self.headers.clone();
        if let Some((kind, body)) = body {
            request.headers_mut().insert(header::CONTENT_TYPE, kind);
            request.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
            *request.body_mut() = Body::from(body);
        }
        Ok(request)
    }

    /// The object that the upstream answers with. Where it says no, the client hears that as it is.
    async fn given(&self, request: Request<Body>) -> Result<Given, Response> {
        let response = self.with.send(request).await.map_err(|e| self.with.no_answer(&e))?;
        if !response.status().is_success() {
            return Err(response);
        }
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, MAX_OBJECT).await;
        let bytes = bytes.or(Err(self.undecided("the upstream's answer broke off, or is too large")))?;
        let limits = Limits { bytes: MAX_OBJECT, depth: MAX_DEPTH, values: MAX_VALUES, exact_numbers: true };
        let json = parse_with(&bytes, limits);
        let json = json.map_err(|e| self.undecided(&format!("the upstream's answer cannot be read: {e}")))?;
        let Json::Object(object) = json else { return Err(self.undecided("the upstream gave no object")) };
        let warnings = head.headers.get_all(header::WARNING).iter().cloned().collect();
        Ok(Given { status: head.status, object, warnings })
    }
}

/// The parameters that go on, and whether it is a dry run; each name stands once.
fn query(query: Option<&str>, is_delete: bool) -> Result<(Vec<(String, String)>, bool), String> {
    let (mut kept, mut is_dry) = (Vec::new(), false);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let is_known = QUERY.contains(&&*name) || (is_delete && QUERY_OF_DELETE.contains(&&*name));
        match &*name {
            "dryRun" if value == "All" => is_dry = true,
            "dryRun" => return Err(format!("dryRun={value} is not known: use dryRun=All")),
            _ if is_known => kept.push((name.into_owned(), value.into_owned())),
            "force" => return Err(SERVER_SIDE.to_owned()),
            _ => return Err(format!("the parameter {name} does not go through here with a write")),
        }
    }
    Ok((kept, is_dry))
}

const SERVER_SIDE: &str = "server-side apply does not go through here: what it would store depends on who owns which field, \
    and cannot be sent as one object\n  fix: use `kubectl apply` without --server-side";

/// Whether the client reads what it is answered: it would take what was done for undone.
fn reads_json(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    let reads = |text: &str| text.contains("application/json") || text.contains("*/*");
    all.peek().is_none() || all.any(reads)
}

/// What the body is called, where the server makes one JSON object of it.
fn kind(method: &Method, headers: &HeaderMap) -> Result<&'static str, String> {
    if headers.contains_key(header::CONTENT_ENCODING) || headers.contains_key(header::CONTENT_RANGE) {
        return Err("the body is encoded, or a piece of one: nobody could say what was judged".to_owned());
    }
    let found = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let found = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known: &[&'static str] = if *method == Method::PATCH { &PATCHES } else { &FORMS };
    known.iter().find(|kind| **kind == found).copied().ok_or_else(|| match found.as_str() {
        "application/apply-patch+yaml" | "application/apply-patch+cbor" => SERVER_SIDE.to_owned(),
        _ => format!(
            "the body is sent as something that is not known here\n  wanted: {}\n  found: {found}",
            known.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_has_no_parameters_but_those_that_are_known() {
        let (kept, is_dry) = query(Some("fieldManager=kubectl-set&dryRun=All&timeout=30s"), false).unwrap();
        assert_eq!(kept.len(), 2);
        assert!(is_dry && !query(None, false).unwrap().1);
        for (text, why) in [
            ("dryRun=all", "use dryRun=All"),
            ("dryRun=", "use dryRun=All"),
            ("force=true", "--server-side"),
            ("orphanDependents=true", "does not go through"),
            ("propagationPolicy=Orphan", "does not go through"),
        ] {
            let found = query(Some(text), false).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
        assert!(query(Some("propagationPolicy=Orphan"), true).is_ok());
    }

    #[test]
    fn only_what_the_server_makes_an_object_of_is_taken() {
        let said = |method: Method, name: HeaderName, value: &'static str| {
            let headers = [(name, HeaderValue::from_static(value))].into_iter().collect();
            kind(&method, &headers)
        };
        let (name, json) = (header::CONTENT_TYPE, "application/json");
        assert_eq!(said(Method::POST, name.clone(), "Application/JSON; charset=utf-8"), Ok(json));
        assert!(said(Method::PATCH, name.clone(), "application/merge-patch+json").is_ok());
        for (method, value, why) in [
            (Method::POST, "application/cbor", "not known here"),
            (Method::PUT, "", "not known here"),
            (Method::PATCH, "application/vnd.kubernetes.protobuf", "not known here"),
            (Method::POST, "application/merge-patch+json", "wanted: application/json"),
            (Method::PATCH, json, "strategic"),
            (Method::PATCH, "application/apply-patch+yaml", "without --server-side"),
        ] {
            let found = said(method, name.clone(), value).unwrap_err();
            assert!(found.contains(why), "{value}: {found}");
        }
        assert!(said(Method::POST, header::CONTENT_ENCODING, "gzip").unwrap_err().contains("encoded"));
    }
}
