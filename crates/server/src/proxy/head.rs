//! What a request may look like: so that what stands behind the proxy reads exactly what was judged.
//!
//! A path has ONE spelling here, and only that is judged and sent on. Whatever two programs could read in two ways is
//! refused, and no header goes on that nobody here knows: a proxy further in, a framework, or the upstream itself might
//! obey it.

use std::fmt;

use axum::body::Body;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};

use crate::proxy::path;

/// Headers that go on for every protocol. Prefixes end with `-`.
const KEPT: [&str; 27] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "digest",
    "host",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "portcullis-",
    "range",
    "repr-digest",
    "traceparent",
    "user-agent",
    "want-digest",
];
/// Headers that go on for one protocol alone: for another they could bring in what nobody judged, as a copy of something
/// that lies elsewhere.
const OWN: [(&str, &str); 6] = [
    ("oci", "docker-"),
    ("oci", "oci-"),
    ("npm", "npm-"),
    ("s3", "x-amz-"),
    // signed by clients, so that the signature needs it
    ("s3", "amz-sdk-"),
    ("s3", "expires"),
];
/// Of those, the ones that are lists, and may stand twice: all others have one value or none.
const LISTS: [&str; 7] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "if-match",
    "if-none-match",
    "portcullis-evidence",
];
/// Whether a header has a meaning for one kind of proxy, and that is not this kind.
pub(crate) fn is_of_another_kind(name: &str, kind: &str) -> bool {
    let of: Vec<&str> = OWN.iter().filter(|(_, kept)| is_named(name, kept)).map(|(of, _)| *of).collect();
    !of.is_empty() && !of.contains(&kind)
}

/// Whether it is this header, or one of those that begin so.
fn is_named(name: &str, kept: &str) -> bool {
    if kept.ends_with('-') { name.starts_with(kept) } else { name == kept }
}

/// Headers by which a request is another one for those who obey them.
const OVERRIDES: [&str; 8] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-rewrite-url",
    "x-forwarded-method",
];

/// Why a request is not looked at any further.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unclear {
    pub(crate) status: StatusCode,
    pub(crate) why: String,
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this request does not go through here: {}", self.why)
    }
}

pub(crate) fn unclear(why: impl Into<String>) -> Unclear {
    Unclear { status: StatusCode::BAD_REQUEST, why: why.into() }
}

/// What of requests is this proxy's own matter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules<'a> {
    /// The word for the protocol.
    pub(crate) kind: &'a str,
    /// `%2F` may stand in a path, where it is no separator.
    pub(crate) slash: bool,
    /// Names of further headers that go on.
    pub(crate) headers: &'a [String],
}

/// A path as text, without what an address encodes; `%2F` stays where it may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded(pub(crate) String);

/// Whether the framing of this request was `Transfer-Encoding`: then its connection is not used again. Who stands in
/// front of the proxy could have read a `Content-Length` beside it, which is gone here (RFC 9112, section 6.1).
pub(crate) fn is_chunked(request: &Request<Body>) -> bool {
    request.headers().contains_key(header::TRANSFER_ENCODING)
}

/// Makes a request mean one thing: afterwards its address is a path and a query, `Host` is there, [`Decoded`] is among
/// its extensions, and every header is one that may go on.
pub(crate) fn clear(request: &mut Request<Body>, rules: Rules<'_>) -> Result<(), Unclear> {
    let (method, version) = (request.method().clone(), request.version());
    if !matches!(version, Version::HTTP_11 | Version::HTTP_2) {
        let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
        return Err(Unclear { status, why: "it is no HTTP/1.1 and no HTTP/2".to_owned() });
    }
    if matches!(method, Method::CONNECT | Method::TRACE) || request.headers().contains_key(header::UPGRADE) {
        let why = "it asks for more than an answer".to_owned();
        return Err(Unclear { status: StatusCode::NOT_IMPLEMENTED, why });
    }
    let host = host(request)?;
    framing(request.headers())?;
    let (canonical, text) = path::canonical(request.uri().path(), rules.slash)?;
    let query = request.uri().query();
    path::query(query)?;
    let target = query.map_or_else(|| canonical.clone(), |query| format!("{canonical}?{query}"));
    let target = PathAndQuery::try_from(target).or(Err(unclear("its address cannot be read")))?;
    *request.uri_mut() = Uri::from(target);
    let is_with_body = has_body(request.headers());
    headers(request.headers_mut(), rules)?;
    request.headers_mut().insert(header::HOST, host);
    request.extensions_mut().insert(Decoded(text));
    if matches!(method, Method::GET | Method::HEAD) {
        if is_with_body {
            return Err(unclear(format!("{method} with a body")));
        }
        *request.body_mut() = Body::empty();
    }
    Ok(())
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
    length.is_some_and(|length| length != b"0") || headers.contains_key(header::TRANSFER_ENCODING)
}

/// The one name of this server that the request has: in its address, in `Host`, or the same in both.
fn host(request: &Request<Body>) -> Result<HeaderValue, Unclear> {
    let uri = request.uri();
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTPS) {
        return Err(unclear("its address is for another protocol"));
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(unclear("two headers Host"));
    }
    let read = |value: &HeaderValue| {
        let text = value.to_str().ok().filter(|text| !text.contains('@'))?;
        text.parse::<Authority>().ok()
    };
    let named =
        first.map(|value| read(value).ok_or_else(|| unclear("its Host cannot be read"))).transpose()?;
    let chosen = match (uri.authority(), named) {
        (Some(one), _) if one.as_str().contains('@') => return Err(unclear("a user in its address")),
        (Some(one), Some(other)) if bare(one) != bare(&other) => {
            return Err(unclear("its address and its Host name two servers"));
        }
        (Some(one), _) => one.clone(),
        (None, Some(one)) => one,
        (None, None) => return Err(unclear("no Host")),
    };
    HeaderValue::from_str(chosen.as_str()).or(Err(unclear("its Host cannot be read")))
}

fn bare(authority: &Authority) -> (String, u16) {
    (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(443))
}

/// `chunked` and nothing else: of a body in another coding the proxy would judge what nobody deploys.
fn framing(headers: &HeaderMap) -> Result<(), Unclear> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let (first, second) = (codings.next(), codings.next());
    if second.is_some() || first.is_some_and(|c| !c.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(unclear("its body comes in another coding than `chunked`"));
    }
    if first.is_some() && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(unclear("its body has two lengths"));
    }
    let expects = headers.get_all(header::EXPECT).iter();
    for expected in expects {
        if !expected.as_bytes().eq_ignore_ascii_case(b"100-continue") {
            let why = "it expects something else than 100-continue".to_owned();
            return Err(Unclear { status: StatusCode::EXPECTATION_FAILED, why });
        }
    }
    Ok(())
}

fn headers(headers: &mut HeaderMap, rules: Rules<'_>) -> Result<(), Unclear> {
    if let Some(name) = OVERRIDES.into_iter().find(|name| headers.contains_key(*name)) {
        return Err(unclear(format!("with {name} it would be another one for some")));
    }
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    for name in names {
        let text = name.as_str();
        let own = OWN.iter().filter(|(kind, _)| *kind == rules.kind).map(|(_, kept)| kept);
        let is_kept = KEPT.iter().chain(own).any(|kept| is_named(text, kept));
        if !is_kept && !rules.headers.iter().any(|kept| kept == text) {
            headers.remove(&name);
        } else if !LISTS.contains(&text) && headers.get_all(&name).iter().nth(1).is_some() {
            return Err(unclear(format!("two headers {name}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Result<Request<Body>, String> {
        let mut request = Request::builder().method("PUT").uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let rules = Rules { kind: "s3", slash: false, headers: &["x-ours".to_owned()] };
        clear(&mut request, rules).map_err(|e| e.why)?;
        Ok(request)
    }

    #[test]
    fn only_what_is_known_goes_on() {
        let sent = [
            ("Host", "proxy.example"),
            ("X-Forwarded-Host", "evil.example"),
            ("Forwarded", "host=evil.example"),
            ("Cookie", "session=1"),
            ("Impersonate-User", "admin"),
            ("X-Remote-User", "admin"),
            ("Content_Length", "5"),
            ("TE", "trailers"),
            ("X-Ours", "yes"),
            ("x-amz-acl", "private"),
            ("Accept", "a/b"),
            ("Accept", "c/d"),
        ];
        let cleared = request("https://proxy.example/a?b=c", &sent).unwrap();
        let mut names: Vec<&str> = cleared.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "x-amz-acl", "x-ours"]);
        assert_eq!(cleared.uri().to_string(), "/a?b=c");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let host = ("host", "a.example");
        for (uri, headers, why) in [
            ("/", vec![], "no Host"),
            ("/", vec![host, ("host", "b.example")], "two headers Host"),
            ("/", vec![("host", "user@a.example")], "cannot be read"),
            ("https://b.example/", vec![host], "two servers"),
            ("http://a.example/", vec![host], "another protocol"),
            ("/", vec![host, ("transfer-encoding", "gzip, chunked")], "another coding"),
            ("/", vec![host, ("transfer-encoding", "xchunked")], "another coding"),
            ("/", vec![host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], "coding"),
            ("/", vec![host, ("transfer-encoding", "chunked"), ("content-length", "3")], "two lengths"),
            ("/", vec![host, ("content-type", "a/b"), ("content-type", "c/d")], "two headers content-type"),
            ("/", vec![host, ("x-http-method-override", "DELETE")], "another one for some"),
            ("/", vec![host, ("x-original-url", "/admin")], "another one for some"),
            ("/", vec![host, ("expect", "miracles")], "expects something else"),
            ("/", vec![host, ("upgrade", "websocket")], "more than an answer"),
            ("/?a=1&%61=2", vec![host], "stands twice"),
        ] {
            let found = request(uri, &headers).unwrap_err();
            assert!(found.contains(why), "{uri} {headers:?}: {found}");
        }
        assert!(request("https://A.example:443/", &[host]).is_ok(), "one server in two spellings");
    }
}
