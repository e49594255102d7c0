//! The protocol of uploads: a blob comes whole with one request, or in parts; it waits under the digest that it has.

use std::sync::Arc;

use attest::Digest;
use axum::body::Body;
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;

use crate::http::parameter;
use crate::proxy::hold::Held;
use crate::proxy::metrics::End;
use crate::proxy::oci::answer::{at, describe, error, set};
use crate::proxy::oci::shelf::{Kept, Kind, OCTETS, Parts, Place};
use crate::proxy::oci::{Asked, name};

impl Asked<'_> {
    /// `POST`: an upload begins; with a digest it is whole already. A blob of another repository is not mounted: it would
    /// be stored before the decision. The client brings it instead.
    pub(super) async fn begin(&self, head: &Head, body: &mut Body) -> Result<Response, Response> {
        let digest = named(head, "digest")?;
        if let Some(mount) = named(head, "mount")?
            && self.has(&mount).await?
        {
            return Ok(self.is_kept(&mount));
        }
        if let Some(digest) = digest {
            let held = self.with.hold(std::mem::take(body)).await?;
            return self.keep(held, &digest);
        }
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).or(Err(error(
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            "the system gives no random numbers",
        )))?;
        let id = attest::digest::to_hex(&bytes);
        self.oci.shelf.begin(&id, self.owner(), self.place()?);
        Ok(self.upload(StatusCode::ACCEPTED, &id, 0))
    }

    /// `PATCH`: one more part. One that breaks off leaves nothing, and the upload as it was.
    pub(super) async fn more(&self, id: &str, head: &Head, body: &mut Body) -> Result<Response, Response> {
        let parts = self.parts(id)?;
        let mut parts = parts.try_lock_owned().or(Err(is_written()))?;
        let length = length(&parts);
        let range = range(&head.headers)?;
        if range.is_some_and(|(begin, _)| begin != length) {
            return Err(self.upload(StatusCode::RANGE_NOT_SATISFIABLE, id, length));
        }
        let held = self.with.hold(std::mem::take(body)).await?;
        if range.is_some_and(|(begin, end)| end.checked_sub(begin) != held.length().checked_sub(1)) {
            return Err(error(
                StatusCode::BAD_REQUEST,
                "SIZE_INVALID",
                "the part has another size than its content-range says",
            ));
        }
        let length = self.within(length, held.length())?;
        if held.length() > 0 {
            parts.push(Kept::of(held, OCTETS, self.place()?));
        }
        Ok(self.upload(StatusCode::ACCEPTED, id, length))
    }

    /// `PUT`: the last part, and the digest that all of them have to have.
    pub(super) async fn finish(&self, id: &str, head: &Head, body: &mut Body) -> Result<Response, Response> {
        let digest = named(head, "digest")?;
        let digest = digest.ok_or_else(|| {
            error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "an upload ends with its digest")
        })?;
        let parts = self.parts(id)?;
        let parts = parts.try_lock_owned().or(Err(is_written()))?;
        let before = length(&parts);
        if range(&head.headers)?.is_some_and(|(begin, _)| begin != before) {
            return Err(self.upload(StatusCode::RANGE_NOT_SATISFIABLE, id, before));
        }
        let last = self.with.hold(std::mem::take(body)).await?;
        self.within(before, last.length())?;
        let answer = match parts.as_slice() {
            [] => self.keep(last, &digest),
            [one] if last.length() == 0 => self.keep_as(Arc::clone(one), &digest),
            all => {
                // parts of which each was hashed by itself are read once more, into one
                let mut bodies: Vec<Body> = all.iter().map(|part| part.held().body()).collect();
                bodies.push(last.body());
                let pieces = futures_util::stream::iter(bodies).flat_map(Body::into_data_stream);
                let whole = self.with.hold(Body::from_stream(pieces)).await?;
                self.keep(whole, &digest)
            }
        };
        self.oci.shelf.end(id);
        answer
    }

    /// `GET`: how much is there, for who goes on after a break.
    pub(super) async fn status(&self, id: &str) -> Result<Response, Response> {
        let parts = self.parts(id)?;
        let length = length(&parts.lock_owned().await);
        Ok(self.upload(StatusCode::NO_CONTENT, id, length))
    }

    /// `DELETE`: nothing of it stays.
    pub(super) fn cancel(&self, id: &str) -> Result<Response, Response> {
        self.parts(id)?;
        self.oci.shelf.end(id);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// Whether a blob waits here, or the registry has it in this repository.
    async fn has(&self, digest: &Digest) -> Result<bool, Response> {
        if self.oci.shelf.get(&self.owner(), Kind::Blob, digest).is_some() {
            return Ok(true);
        }
        Ok(self.site().blob_size(digest).await?.is_some())
    }

    fn keep(&self, held: Held, digest: &Digest) -> Result<Response, Response> {
        self.keep_as(Kept::of(held, OCTETS, self.place()?), digest)
    }

    fn keep_as(&self, kept: Arc<Kept>, digest: &Digest) -> Result<Response, Response> {
        let found = kept.held().digests().get(digest.algorithm());
        if found.as_ref() != Some(digest) {
            let found = found.map(|found| found.to_string()).unwrap_or_default();
            return Err(error(
                StatusCode::BAD_REQUEST,
                "DIGEST_INVALID",
                &format!("the bytes have another digest: wanted {digest}, found {found}"),
            ));
        }
        self.oci.shelf.put(self.owner(), Kind::Blob, digest.clone(), kept);
        Ok(self.is_kept(digest))
    }

    fn is_kept(&self, digest: &Digest) -> Response {
        let mut response = at(StatusCode::CREATED, &format!("/v2/{}/blobs/{digest}", self.repository));
        describe(response.headers_mut(), digest);
        response
    }

    pub(super) fn place(&self) -> Result<Place, Response> {
        let shelf = &self.oci.shelf;
        let bounds = self.with.proxy.config().bounds(shelf.most);
        shelf.place(self.with.requester.as_deref(), bounds).map_err(|full| {
            self.with.course.set(End::Busy);
            let text =
                format!("too many blobs wait for their manifests: {}", full.text("places of `oci: places`"));
            error(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", &text)
        })
    }

    fn parts(&self, id: &str) -> Result<Parts, Response> {
        self.oci.shelf.parts(id, &self.owner()).ok_or_else(|| {
            error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "there is no such upload; begin again")
        })
    }

    /// The length of both, where a blob may be so long.
    fn within(&self, before: u64, more: u64) -> Result<u64, Response> {
        let (length, most) = (before.saturating_add(more), self.with.proxy.config().limits.body);
        if length <= most {
            return Ok(length);
        }
        let text = format!("the blob has more than {most} bytes");
        Err(error(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", &text))
    }

    fn upload(&self, status: StatusCode, id: &str, length: u64) -> Response {
        let mut response = at(status, &format!("/v2/{}/blobs/uploads/{id}", self.repository));
        set(response.headers_mut(), "range", &format!("0-{}", length.saturating_sub(1)));
        set(response.headers_mut(), "docker-upload-uuid", id);
        response
    }
}

fn length(parts: &[Arc<Kept>]) -> u64 {
    parts.iter().map(|part| part.held().length()).sum()
}

fn is_written() -> Response {
    error(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", "another request writes this upload now")
}

/// A digest in the query.
fn named(head: &Head, key: &str) -> Result<Option<Digest>, Response> {
    let invalid = |text: &str| error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", text);
    let value = parameter(head.uri.query(), key)
        .map_err(|_| invalid(&format!("the parameter `{key}` stands twice")))?;
    let digest = |text: String| {
        name::digest(&text).ok_or_else(|| invalid(&format!("`{key}` is no sha256 or sha512 digest")))
    };
    value.map(digest).transpose()
}

/// `Content-Range: 0-1023`, also with `bytes` before it and a total behind it.
fn range(headers: &HeaderMap) -> Result<Option<(u64, u64)>, Response> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    let read = || {
        let text = value.to_str().ok()?;
        let text = text.strip_prefix("bytes ").unwrap_or(text).split('/').next()?;
        let (begin, end) = text.split_once('-')?;
        Some((begin.parse().ok()?, end.parse().ok()?))
    };
    let invalid = || error(StatusCode::BAD_REQUEST, "RANGE_INVALID", "the content-range is not as in 0-1023");
    read().map(Some).ok_or_else(invalid)
}
