//! Answers in a registry's form. Clients show one line of a refusal, or all of it on one.

use attest::{Digest, Json, Object};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use hyper::ext::ReasonPhrase;

use crate::http::{answer, json};

/// So many characters of a message: the rest stands in the detail.
const MESSAGE: usize = 2000;
const REASON: usize = 300;

/// A refusal of the proxy itself, by its own word for the reason.
pub(super) fn refusal(status: StatusCode, code: &str, text: &str) -> Response {
    let code = match code {
        "rejected" | "not-permitted" => "DENIED",
        "busy" => "TOOMANYREQUESTS",
        "too-large" => "SIZE_INVALID",
        "broken-body" => "BLOB_UPLOAD_INVALID",
        "not-proxied" => "UNSUPPORTED",
        _ => "UNAVAILABLE",
    };
    error(status, code, text)
}

/// An error by a registry's word for it.
pub(super) fn error(status: StatusCode, code: &str, text: &str) -> Response {
    let text = text.trim_end();
    let mut error = Object::new().with("code", code).with("message", message(text));
    if text.contains('\n') {
        error.set("detail", Object::new().with("text", text));
    }
    let body = Object::new().with("errors", Json::Array(vec![error.into()]));
    let mut response = json(status, &body.into());
    say_version(response.headers_mut());
    // docker and skopeo read no body of a failure, and show this
    let reason: String = message(text).chars().filter(|c| matches!(c, ' '..='~')).take(REASON).collect();
    if status.is_server_error()
        && let Ok(reason) = ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
    response
}

/// A text of many lines on one: what is wrong and how to mend it.
fn message(text: &str) -> String {
    let begins = ["error", "fix", "cannot decide", "reject", "record"];
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate();
    let chosen = lines.filter(|(at, line)| *at == 0 || begins.iter().any(|begin| line.starts_with(begin)));
    // labels stand in a column of their own there
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = |line: &str| words(line).replacen("fix ", "fix: ", usize::from(line.starts_with("fix ")));
    let line = chosen.map(|(_, text)| line(text)).collect::<Vec<_>>().join("; ");
    line.chars().take(MESSAGE).collect()
}

/// An answer with bytes.
pub(super) fn content(media_type: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = answer(StatusCode::OK, media_type, Body::from(bytes));
    say_version(response.headers_mut());
    response
}

/// An answer without bytes that says where something is.
pub(super) fn at(status: StatusCode, location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    say_version(response.headers_mut());
    set(response.headers_mut(), "location", location);
    response
}

/// Says which bytes they are.
pub(super) fn describe(headers: &mut HeaderMap, digest: &Digest) {
    say_version(headers);
    set(headers, "docker-content-digest", &digest.to_string());
}

pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn say_version(headers: &mut HeaderMap) {
    set(headers, "docker-distribution-api-version", "registry/2.0");
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn one_line_says_what_is_wrong_and_how_to_mend_it() {
        let text = "error[signed-by]: nobody signed it\n  wanted    vendor\n  fix       have it signed\nreject: shop\n";
        assert_eq!(message(text), "error[signed-by]: nobody signed it; fix: have it signed; reject: shop");
        assert_eq!(message("a blob is missing"), "a blob is missing");
        assert_eq!(message("it is away\n  fix: look\n"), "it is away; fix: look");
    }
}
