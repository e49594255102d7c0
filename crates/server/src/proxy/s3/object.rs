//! Objects and documents: what is sent is asked about first.

use attest::{Digest, Json};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Limited};

use crate::proxy::adapter::{Adapter as _, With};
use crate::proxy::ask::Subject;
use crate::proxy::hold::Held;
use crate::proxy::s3::address::Address;
use crate::proxy::s3::answer::{bad, never};
use crate::proxy::s3::document::Document;
use crate::proxy::s3::store::{Payload, digests};
use crate::proxy::s3::take::take;
use crate::proxy::s3::{S3, headers, refused};

/// The largest document.
const MOST_OF_A_DOCUMENT: u64 = 1 << 20;

impl S3 {
    pub(super) async fn put(
        &self,
        head: &Parts,
        body: Body,
        address: &Address,
        with: &With,
    ) -> Result<Response, Response> {
        let mut headers = headers::of_write(&head.headers, &[]).map_err(|why| refused(&never(&why)))?;
        let taken = take(&head.headers, body, with).await?;
        for (name, value) in &taken.checksums {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        self.write(head, address, headers, &taken.held, with).await
    }

    /// Asks about an object's bytes, and sends these and no others.
    pub(super) async fn write(
        &self,
        head: &Parts,
        address: &Address,
        headers: HeaderMap,
        held: &Held,
        with: &With,
    ) -> Result<Response, Response> {
        let place = address.plain();
        let subject = Subject {
            name: place.name(),
            uri: format!("s3://{}", place.name()),
            digests: held.digests().clone(),
            body: Some(Json::from(format!("{} {}", head.method, place.path()))),
            ..Subject::default()
        };
        let ruled = with.ask(subject, &head.headers).await;
        if let Some(refusal) = with.refused(&ruled) {
            return Err(refusal);
        }
        self.send(Method::PUT, &place, headers, Payload::held(held), with).await
    }

    /// Asks about a document in its one form, and sends this form.
    pub(super) async fn document(
        &self,
        head: &Parts,
        body: Body,
        address: &Address,
        word: &'static str,
        with: &With,
    ) -> Result<Response, Response> {
        let mut headers = headers::of_document(&head.headers).map_err(|why| refused(&never(&why)))?;
        let taken = take(&head.headers, body, with).await?;
        let unread = |why: &str| refused(&bad(&format!("the document cannot be read: {why}")));
        let bytes = taken.held.bytes(MOST_OF_A_DOCUMENT).map_err(|e| unread(&e.to_string()))?;
        let document = Document::read(word, &bytes).map_err(|why| unread(&why))?;
        let text = document.text().as_bytes().to_vec();
        let name = format!("{}?{word}", address.name());
        let subject = Subject {
            uri: format!("s3://{name}"),
            name: name.clone(),
            digests: digests(&text),
            body: Some(Json::from(document.text())),
            ..Subject::default()
        };
        let ruled = with.ask(subject, &head.headers).await;
        if let Some(refusal) = with.refused(&ruled) {
            let Ok(ruling) = &ruled else { return Err(refusal) };
            if ruling.decision().word() == "cannot-decide" {
                return Err(refusal);
            }
            let end = with.course.end();
            let changes = self.changes(address, word, &document, with).await;
            // that the store was asked is not how it ended
            with.course.set(end);
            let digest = Digest::sha256(&text);
            let text =
                format!("{}{changes}what was sent, in its one form: {name} {digest}\n", ruling.to_text());
            return Err(self.refuse(StatusCode::FORBIDDEN, "rejected", &text));
        }
        // the store wants a checksum of some documents, and the client's is of another form of it
        let sum = HeaderValue::from_str(&STANDARD.encode(Digest::sha256(&text).bytes()));
        headers.insert("x-amz-checksum-sha256", sum.or(Err(unread("it has no checksum")))?);
        self.send(Method::PUT, address, headers, Payload::of(text), with).await
    }

    /// What the document would change, where the store tells what it has.
    async fn changes(&self, address: &Address, word: &str, new: &Document, with: &With) -> String {
        let answer = self.send(Method::GET, address, HeaderMap::new(), Payload::none(), with).await;
        let Ok(answer) = answer else { return String::new() };
        let is_there = answer.status() == StatusCode::OK;
        let most = usize::try_from(MOST_OF_A_DOCUMENT).unwrap_or(usize::MAX);
        let Ok(body) = Limited::new(answer.into_body(), most).collect().await else { return String::new() };
        match Document::read(word, &body.to_bytes()) {
            Ok(old) if is_there => format!("it would change:\n{}", new.changes(&old)),
            _ => String::new(),
        }
    }
}
