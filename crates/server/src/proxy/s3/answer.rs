//! What clients hear, as S3 says it.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use crate::proxy::s3::document::escape;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A refusal before anything was decided about.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) text: String,
}

/// What cannot be read.
pub(super) fn bad(text: &str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, code: "InvalidRequest", text: text.to_owned() }
}

/// What is known, and never goes through.
pub(super) fn never(text: &str) -> Refusal {
    Refusal { status: StatusCode::FORBIDDEN, code: "AccessDenied", text: text.to_owned() }
}

/// What is not known.
pub(super) fn unknown(text: &str) -> Refusal {
    Refusal { status: StatusCode::NOT_IMPLEMENTED, code: "NotImplemented", text: text.to_owned() }
}

/// The word of S3 for one of the proxy's.
pub(super) fn word(code: &str) -> &str {
    match code {
        "rejected" | "not-permitted" | "unauthenticated" => "AccessDenied",
        "cannot-decide" | "upstream" => "ServiceUnavailable",
        "unclear" => "InvalidRequest",
        "slow" => "RequestTimeout",
        "busy" => "SlowDown",
        "too-large" => "EntityTooLarge",
        "broken-body" => "IncompleteBody",
        "not-held" => "InternalError",
        "not-proxied" => "NotImplemented",
        own => own,
    }
}

/// An error.
pub(super) fn error(status: StatusCode, code: &str, text: &str) -> Response {
    let (code, text) = (escape(code), escape(text.trim_end()));
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{text}</Message></Error>\n"
    );
    crate::http::answer(status, "application/xml", Body::from(body))
}

/// An answer that names values.
pub(super) fn result(name: &str, values: &[(&str, &str)]) -> Response {
    list(name, values, "")
}

/// An answer that names values, with a list that is XML already.
pub(super) fn list(name: &str, values: &[(&str, &str)], list: &str) -> Response {
    let values: String =
        values.iter().map(|(name, value)| format!("<{name}>{}</{name}>", escape(value))).collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} xmlns=\"{NAMESPACE}\">{values}{list}</{name}>\n"
    );
    crate::http::answer(StatusCode::OK, "application/xml", Body::from(body))
}
