//! A body as S3's clients send it, held: without its framing, and with all that they said about it checked.

use std::sync::{Arc, Mutex, PoisonError};

use attest::Algorithm;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::proxy::adapter::With;
use crate::proxy::hold::Held;
use crate::proxy::s3::answer::{Refusal, bad};
use crate::proxy::s3::checksum::Sum;
use crate::proxy::s3::chunks::Chunks;
use crate::proxy::s3::headers;

const STREAMING: [&str; 5] = [
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
];

/// A held body, and the checksums that were said of it and are true.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) held: Held,
    pub(super) checksums: Vec<(String, String)>,
}

/// What becomes known while a body comes in.
struct Coming {
    chunks: Option<Chunks>,
    sums: Vec<(String, Sum)>,
}

/// Takes a body.
pub(super) async fn take(head: &HeaderMap, body: Body, with: &With) -> Result<Taken, Response> {
    let adapter = &with.proxy.config().adapter;
    let refuse = |why: Refusal| adapter.refuse(why.status, why.code, &why.text);
    let said = Said::read(head).map_err(|why| refuse(bad(&why)))?;
    let coming = Arc::new(Mutex::new(Coming { chunks: said.length.map(Chunks::of), sums: said.sums() }));
    let body = unframed(body, Arc::clone(&coming));
    let held = with.hold(body).await?;
    let coming = std::mem::replace(
        &mut *coming.lock().unwrap_or_else(PoisonError::into_inner),
        Coming { chunks: None, sums: Vec::new() },
    );
    let checksums = said.check(coming, &held).map_err(refuse)?;
    Ok(Taken { held, checksums })
}

/// What the headers say of the body.
struct Said<'h> {
    /// The SHA-256 of it, where that is what `x-amz-content-sha256` says.
    sha256: Option<&'h str>,
    /// How long it is without its framing, where it has one.
    length: Option<u64>,
    checksums: Vec<(String, String)>,
    trailers: Vec<String>,
}

impl<'h> Said<'h> {
    fn read(head: &'h HeaderMap) -> Result<Self, String> {
        let payload = headers::text(head, "x-amz-content-sha256")?;
        let is_framed = payload.is_some_and(|payload| STREAMING.contains(&payload));
        let is_hash = payload.is_some_and(|p| p.len() == 64 && p.bytes().all(|b| b.is_ascii_hexdigit()));
        if !is_framed && !is_hash && !matches!(payload, None | Some("UNSIGNED-PAYLOAD")) {
            return Err("x-amz-content-sha256 is neither a hash nor a way to send a body that is known here"
                .to_owned());
        }
        let coding = headers::text(head, "content-encoding")?.unwrap_or_default();
        if coding.split(',').any(|word| word.trim() == "aws-chunked") && !is_framed {
            return Err("content-encoding says aws-chunked, and x-amz-content-sha256 does not".to_owned());
        }
        let length = headers::text(head, "x-amz-decoded-content-length")?.and_then(|text| text.parse().ok());
        let length = match (is_framed, length) {
            (true, None) => return Err("x-amz-decoded-content-length is missing, or no number".to_owned()),
            (true, length) => length,
            (false, _) => None,
        };
        let trailers = headers::text(head, "x-amz-trailer")?.unwrap_or_default().split(',').map(str::trim);
        let trailers: Vec<String> = trailers.filter(|t| !t.is_empty()).map(str::to_ascii_lowercase).collect();
        if !trailers.is_empty() && !is_framed {
            return Err("x-amz-trailer needs a body that is sent in pieces".to_owned());
        }
        if let Some(unknown) = trailers.iter().find(|name| Sum::named(name).is_none()) {
            return Err(format!("the trailer {unknown} is not known here"));
        }
        let mut checksums = Vec::new();
        for name in head.keys().filter(|name| Sum::named(name.as_str()).is_some()) {
            if let [value] = head.get_all(name).iter().collect::<Vec<_>>()[..] {
                checksums.push((name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()));
            } else {
                return Err(format!("the header {name} stands there twice"));
            }
        }
        Ok(Self { sha256: payload.filter(|_| is_hash), length, checksums, trailers })
    }

    fn sums(&self) -> Vec<(String, Sum)> {
        let names = self.checksums.iter().map(|(name, _)| name).chain(&self.trailers);
        names.filter_map(|name| Some((name.clone(), Sum::named(name)?))).collect()
    }

    /// Everything that was said against what came.
    fn check(mut self, coming: Coming, held: &Held) -> Result<Vec<(String, String)>, Refusal> {
        if let Some(chunks) = coming.chunks {
            for (name, value) in chunks.finish().map_err(|why| bad(&format!("the body is broken: {why}")))? {
                if self.trailers.contains(&name) {
                    self.checksums.push((name, value));
                } else if name != "x-amz-trailer-signature" {
                    return Err(bad(&format!("x-amz-trailer does not announce {name}")));
                }
            }
        }
        let wrong = |name: &str| Refusal {
            status: StatusCode::BAD_REQUEST,
            code: "BadDigest",
            text: format!("the body is not the one that {name} was made of: send it again"),
        };
        let mut made = coming.sums;
        for (name, value) in &self.checksums {
            let Some(at) = made.iter().position(|(own, _)| own == name) else {
                return Err(bad(&format!("{name} stands there twice")));
            };
            if made.swap_remove(at).1.finish() != *value {
                return Err(wrong(name));
            }
        }
        if let Some((name, _)) = made.first() {
            return Err(bad(&format!("x-amz-trailer announces {name}, and it did not come")));
        }
        let found = held.digests().get(Algorithm::Sha256).map(|digest| digest.hex());
        match self.sha256 {
            Some(wanted) if found.as_deref() != Some(wanted) => {
                Err(Refusal { code: "XAmzContentSHA256Mismatch", ..wrong("x-amz-content-sha256") })
            }
            _ => Ok(self.checksums),
        }
    }
}

/// The body without its framing; what does not fit breaks it off.
fn unframed(body: Body, coming: Arc<Mutex<Coming>>) -> Body {
    let pieces = body.into_data_stream().map(move |piece| {
        let piece = piece.map_err(|e| e.to_string())?;
        let mut coming = coming.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = match &mut coming.chunks {
            Some(chunks) => chunks.feed(&piece)?.freeze(),
            None => piece,
        };
        coming.sums.iter_mut().for_each(|(_, sum)| sum.update(&piece));
        Ok::<Bytes, String>(piece)
    });
    Body::from_stream(pieces)
}

/// All of several bodies, one behind the other.
pub(super) fn joined(parts: Vec<Arc<Held>>) -> Body {
    let bodies = stream::iter(parts).flat_map(|part| part.body().into_data_stream());
    Body::from_stream(bodies)
}
