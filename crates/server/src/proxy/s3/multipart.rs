//! An upload in parts, of which the store sees one `PUT`, once it was decided about.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::proxy::adapter::With;
use crate::proxy::metrics::End;
use crate::proxy::s3::address::Address;
use crate::proxy::s3::answer::{Refusal, bad, never, result};
use crate::proxy::s3::copy::copied;
use crate::proxy::s3::document::Element;
use crate::proxy::s3::take::{joined, take};
use crate::proxy::s3::uploads::{MOST_PARTS, MOST_UPLOADS, Owner, Part};
use crate::proxy::s3::{S3, headers, refused};

/// A list of ten thousand parts with their tags and checksums.
const LONGEST_LIST: u64 = 4 << 20;

impl S3 {
    pub(super) fn begin(&self, head: &Parts, address: &Address, with: &With) -> Result<Response, Response> {
        let headers = headers::of_write(&head.headers, &[]).map_err(|why| refused(&never(&why)))?;
        let bounds = with.proxy.config().bounds(MOST_UPLOADS);
        let upload = self.uploads.begin(owner(address, with), headers, with.proxy.now(), bounds);
        let upload = upload.map_err(|refusal| not_taken(&refusal, with))?;
        let values = [("Bucket", &address.bucket), ("Key", &address.key), ("UploadId", &upload)];
        Ok(result("InitiateMultipartUploadResult", &values.map(|(name, value)| (name, value.as_str()))))
    }

    pub(super) async fn part(
        &self,
        head: &Parts,
        body: Body,
        address: &Address,
        (number, upload): (u16, &str),
        with: &With,
    ) -> Result<Response, Response> {
        headers::of_write(&head.headers, &[]).map_err(|why| refused(&never(&why)))?;
        let owner = owner(address, with);
        self.uploads.find(upload, &owner, with.proxy.now()).map_err(|refusal| refused(&refusal))?;
        let part = Part::of(take(&head.headers, body, with).await?.held);
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert(header::ETAG, tag(&part)?);
        self.add(upload, &owner, (number, part), with)?;
        Ok(response)
    }

    pub(super) async fn part_copy(
        &self,
        head: &Parts,
        address: &Address,
        (number, upload): (u16, &str),
        source: &Address,
        with: &With,
    ) -> Result<Response, Response> {
        let owner = owner(address, with);
        self.uploads.find(upload, &owner, with.proxy.now()).map_err(|refusal| refused(&refusal))?;
        let part = Part::of(self.fetch(head, source, with).await?.0);
        let mut taken = Response::new(Body::empty());
        taken.headers_mut().insert(header::ETAG, tag(&part)?);
        self.add(upload, &owner, (number, part), with)?;
        Ok(copied("CopyPartResult", taken, with))
    }

    fn add(&self, upload: &str, owner: &Owner, part: (u16, Part), with: &With) -> Result<(), Response> {
        let bounds = with.proxy.config().bounds(MOST_PARTS);
        let added = self.uploads.add(upload, owner, part, with.proxy.now(), bounds);
        added.map_err(|refusal| not_taken(&refusal, with))
    }

    pub(super) fn parts(&self, address: &Address, upload: &str, with: &With) -> Result<Response, Response> {
        let found = self.uploads.find(upload, &owner(address, with), with.proxy.now());
        let parts = found.map_err(|refusal| refused(&refusal))?.parts;
        let part = |(number, part): (&u16, &Part)| {
            format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag><Size>{}</Size></Part>",
                crate::proxy::s3::document::escape(&part.tag),
                part.held.length()
            )
        };
        let parts: String = parts.iter().map(part).collect();
        let values = [("Bucket", address.bucket.as_str()), ("Key", &address.key), ("UploadId", upload)];
        Ok(crate::proxy::s3::answer::list("ListPartsResult", &values, &parts))
    }

    pub(super) async fn complete(
        &self,
        head: &Parts,
        body: Body,
        address: &Address,
        upload: &str,
        with: &With,
    ) -> Result<Response, Response> {
        let more = ["x-amz-mp-object-size"];
        let guards = headers::of_write(&head.headers, &more).map_err(|why| refused(&never(&why)))?;
        let owner = owner(address, with);
        let found = self.uploads.find(upload, &owner, with.proxy.now()).map_err(|r| refused(&r))?;
        let list = with.hold(body).await?.bytes(LONGEST_LIST);
        let list = list.map_err(|e| refused(&bad(&e.to_string())))?;
        let parts = listed(&list).and_then(|list| found.listed(&list)).map_err(|r| refused(&r))?;
        let held = with.hold(joined(parts)).await?;
        let mut headers = found.headers;
        for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
            headers.extend(guards.get(&name).map(|value| (name, value.clone())));
        }
        let written = self.write(head, address, headers, &held, with).await;
        // what was refused for good waits for nothing; else the client may complete it once more
        let is_over = match &written {
            Ok(answer) => answer.status().is_success(),
            Err(refusal) => refusal.status() == StatusCode::FORBIDDEN,
        };
        if is_over {
            self.uploads.remove(upload);
        }
        let answer = written?;
        if !answer.status().is_success() {
            return Ok(answer);
        }
        let tag =
            answer.headers().get(header::ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let location = address.plain().path();
        let values = [
            ("Location", location.as_str()),
            ("Bucket", &address.bucket),
            ("Key", &address.key),
            ("ETag", tag),
        ];
        Ok(result("CompleteMultipartUploadResult", &values))
    }

    pub(super) fn abort(&self, address: &Address, upload: &str, with: &With) -> Result<Response, Response> {
        let found = self.uploads.find(upload, &owner(address, with), with.proxy.now());
        found.map_err(|refusal| refused(&refusal))?;
        self.uploads.remove(upload);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

/// What is refused because too much waits is to come again.
fn not_taken(refusal: &Refusal, with: &With) -> Response {
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        with.course.set(End::Busy);
    }
    refused(refusal)
}

fn owner(address: &Address, with: &With) -> Owner {
    Owner { place: address.plain(), requester: with.requester.clone() }
}

fn tag(part: &Part) -> Result<HeaderValue, Response> {
    HeaderValue::from_str(&part.tag).or(Err(refused(&bad("the part has no tag"))))
}

/// The parts that an object is made of, as a client lists them.
fn listed(bytes: &[u8]) -> Result<Vec<(u16, String)>, Refusal> {
    let malformed = |why: &str| Refusal { code: "MalformedXML", ..bad(&format!("the list of parts: {why}")) };
    let text = str::from_utf8(bytes).or(Err(malformed("it is no UTF-8")))?;
    let root = Element::parse(text).map_err(|why| malformed(&why))?;
    let part = |part: &Element| {
        let number = part.child("PartNumber").and_then(|number| number.trim().parse().ok());
        let tag = part.child("ETag").map(|tag| tag.trim().to_owned());
        number.zip(tag).ok_or_else(|| malformed("a part needs a PartNumber and an ETag"))
    };
    root.children.iter().filter(|child| child.name == "Part").map(part).collect()
}
