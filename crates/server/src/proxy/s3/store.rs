//! Requests to the store, signed.

use std::collections::BTreeMap;

use attest::{Algorithm, Digest, DigestSet};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;

use crate::proxy::adapter::With;
use crate::proxy::hold::Held;
use crate::proxy::s3::address::Address;
use crate::proxy::s3::answer::{bad, error};
use crate::proxy::s3::sign::{Canonical, Scope};
use crate::proxy::s3::{S3, headers, refused};
use crate::proxy::upstream::Signed;

/// What is sent, and what it is signed as.
pub(super) struct Payload {
    sha256: String,
    length: u64,
    body: Body,
}

impl Payload {
    pub(super) fn none() -> Self {
        Self::of(Vec::new())
    }

    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { sha256: Digest::sha256(&bytes).hex(), length, body: Body::from(bytes) }
    }

    pub(super) fn held(held: &Held) -> Self {
        let sha256 = held.digests().get(Algorithm::Sha256).map(|digest| digest.hex()).unwrap_or_default();
        Self { sha256, length: held.length(), body: held.body() }
    }
}

impl S3 {
    /// Sends a request of the proxy's own making.
    pub(super) async fn send(
        &self,
        method: Method,
        address: &Address,
        headers: HeaderMap,
        payload: Payload,
        with: &With,
    ) -> Result<Response, Response> {
        let request = self.signed(method, address, headers, payload, with)?;
        Ok(with.pass(request).await)
    }

    /// A request that changes nothing, without its body and signature, and with the proxy's.
    pub(super) async fn read_on(
        &self,
        head: &Parts,
        address: &Address,
        with: &With,
    ) -> Result<Response, Response> {
        let headers = headers::of_read(&head.headers).map_err(|why| refused(&bad(&why)))?;
        self.send(head.method.clone(), address, headers, Payload::none(), with).await
    }

    fn signed(
        &self,
        method: Method,
        address: &Address,
        mut headers: HeaderMap,
        payload: Payload,
        with: &With,
    ) -> Result<Request<Body>, Response> {
        let broken =
            || error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "the request cannot be signed");
        let value = |text: &str| HeaderValue::from_str(text).or(Err(broken()));
        let time = with.proxy.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        headers.insert(HeaderName::from_static("x-amz-date"), value(&time)?);
        headers.insert(HeaderName::from_static("x-amz-content-sha256"), value(&payload.sha256)?);
        let mut signed = BTreeMap::new();
        signed.insert("host".to_owned(), with.proxy.upstream().authority().to_string());
        for (name, value) in headers.iter().filter(|(name, _)| is_signed(name.as_str())) {
            signed.insert(name.as_str().to_owned(), value.to_str().or(Err(broken()))?.to_owned());
        }
        let path = address.path();
        let canonical = Canonical {
            method: method.as_str(),
            path: &path,
            query: &address.query,
            headers: &signed,
            payload: &payload.sha256,
        };
        let scope = Scope { time: &time, region: &self.region };
        let authorization = canonical.authorization(&self.opened()?.keys, &scope);
        if !payload.body_is_empty() || method == Method::PUT {
            headers.insert(header::CONTENT_LENGTH, payload.length.into());
        }
        let mut request = Request::builder()
            .method(method)
            .uri(address.to_path_and_query())
            .body(payload.body)
            .or(Err(broken()))?;
        *request.headers_mut() = headers;
        let mut authorization = value(&authorization)?;
        authorization.set_sensitive(true);
        request.extensions_mut().insert(Signed(authorization));
        Ok(request)
    }
}

impl Payload {
    fn body_is_empty(&self) -> bool {
        self.length == 0
    }
}

/// The digests of bytes that are in memory.
pub(super) fn digests(bytes: &[u8]) -> DigestSet {
    let mut hashing = attest::digest::Hasher::new(&[Algorithm::Sha512]);
    hashing.update(bytes);
    hashing.finish()
}

fn is_signed(name: &str) -> bool {
    name.starts_with("x-amz-") || name == "content-type"
}
