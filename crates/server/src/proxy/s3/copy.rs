//! Copies. The store could copy by itself, from a source that changes after it was asked about: so the bytes are fetched,
//! asked about, and written like any others.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use crate::proxy::adapter::With;
use crate::proxy::hold::Held;
use crate::proxy::s3::address::Address;
use crate::proxy::s3::answer::{bad, never, result};
use crate::proxy::s3::store::Payload;
use crate::proxy::s3::{S3, headers, refused};

const READ_HERE: [&str; 6] = [
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-range",
    "x-amz-metadata-directive",
    "x-amz-tagging-directive",
    "x-amz-source-expected-bucket-owner",
];

impl S3 {
    pub(super) async fn copy(
        &self,
        head: &Parts,
        address: &Address,
        source: &Address,
        with: &With,
    ) -> Result<Response, Response> {
        let own = headers::of_write(&head.headers, &READ_HERE).map_err(|why| refused(&never(&why)))?;
        let directive = directive(&head.headers).map_err(|why| refused(&bad(&why)))?;
        let (held, beside) = self.fetch(head, source, with).await?;
        let mut headers = if directive == "REPLACE" { own } else { beside };
        for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
            if let Some(value) = head.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let answer = self.write(head, address, headers, &held, with).await?;
        Ok(copied("CopyObjectResult", answer, with))
    }

    /// The bytes of the source as they are now, and what lies beside them.
    pub(super) async fn fetch(
        &self,
        head: &Parts,
        source: &Address,
        with: &With,
    ) -> Result<(Held, HeaderMap), Response> {
        let mut headers = HeaderMap::new();
        for (from, to) in [
            ("x-amz-copy-source-if-match", "if-match"),
            ("x-amz-copy-source-range", "range"),
            ("x-amz-source-expected-bucket-owner", "x-amz-expected-bucket-owner"),
        ] {
            let value = headers::text(&head.headers, from).map_err(|why| refused(&bad(&why)))?;
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(to, value);
            }
        }
        let is_range = headers.contains_key(header::RANGE);
        let answer = self.send(Method::GET, source, headers, Payload::none(), with).await?;
        let wanted = if is_range { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        if answer.status() != wanted {
            return Err(if answer.status().is_success() {
                refused(&bad("the store gave another range of the source than the one that was asked for"))
            } else {
                answer
            });
        }
        let beside = headers::of_source(answer.headers());
        Ok((with.hold(answer.into_body()).await?, beside))
    }
}

fn directive(headers: &HeaderMap) -> Result<&str, String> {
    let tagging = headers::text(headers, "x-amz-tagging-directive")?;
    if !matches!(tagging, None | Some("COPY")) || headers.contains_key("x-amz-copy-source-range") {
        return Err("a copy takes all of its source's bytes, and no tags of its own".to_owned());
    }
    match headers::text(headers, "x-amz-metadata-directive")? {
        None => Ok("COPY"),
        Some(word @ ("COPY" | "REPLACE")) => Ok(word),
        Some(_) => Err("x-amz-metadata-directive is COPY or REPLACE".to_owned()),
    }
}

/// What one hears of a copy, where the store took the bytes.
pub(super) fn copied(name: &str, answer: Response, with: &With) -> Response {
    if !answer.status().is_success() {
        return answer;
    }
    let tag = answer.headers().get(header::ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let time = with.proxy.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut response = result(name, &[("LastModified", &time), ("ETag", tag)]);
    for (name, value) in answer.headers().iter().filter(|(name, _)| name.as_str().starts_with("x-amz-")) {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}
