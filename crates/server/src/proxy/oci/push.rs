//! The story of a manifest that is pushed: held, hashed and read; then it is evidence and goes up, or it is pushed by digest
//! and waits, or it is decided about.

use attest::{Digest, DigestSet, Json};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use policy::Unreadable;
use registry::{Document, DocumentError};

use crate::proxy::ask::Subject;
use crate::proxy::hold::{Held, Most};
use crate::proxy::oci::Asked;
use crate::proxy::oci::answer::{at, describe, error, set};
use crate::proxy::oci::evidence;
use crate::proxy::oci::name::Name;
use crate::proxy::oci::plan::Plan;
use crate::proxy::oci::shelf::{Kept, Kind};

/// Bytes of a manifest, as the specification bounds them.
pub(super) const MANIFEST: u64 = 4 << 20;
const SUBJECT: &str = "oci-subject";

/// A manifest in one's hands.
struct Pushed<'a> {
    name: &'a Name,
    held: Held,
    digest: Digest,
    headers: HeaderMap,
}

pub(super) fn parse(bytes: &[u8], said: Option<&str>) -> Result<Document, DocumentError> {
    Document::parse(bytes, said)
}

impl Asked<'_> {
    pub(super) async fn push(
        &self,
        name: &Name,
        head: &Parts,
        body: &mut Body,
    ) -> Result<Response, Response> {
        let body = std::mem::take(body);
        let config = self.with.proxy.config();
        let most = Most { bytes: config.limits.body.min(MANIFEST), time: config.limits.time };
        let held = Held::take(body, &config.spool, self.with.taken(), most).await;
        let held = held.map_err(|e| self.with.not_held(&e))?;
        let bytes = held.bytes(MANIFEST).map_err(|e| self.with.not_held(&e))?;
        let digest = digest(name, held.digests())?;
        let said = head.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
        let read = parse(&bytes, said);
        let pushed = Pushed { name, held, digest, headers: head.headers.clone() };
        let document = match read {
            Ok(document) => document,
            Err(e) => return Err(self.unreadable(&pushed, &e).await),
        };
        let plan = Plan::of(self, &document).await?;
        // in a repository that is nobody's, nothing goes up
        let is_ours = config.environment(self.repository).is_some();
        if is_ours && evidence::is_evidence(self, name, &document).await? {
            return self.claim(&pushed, &document, &plan).await;
        }
        match name {
            Name::Digest(digest) => self.wait(pushed.held, digest, &document),
            Name::Tag(_) => self.deploy(&pushed, &document, &plan).await,
        }
    }

    /// Evidence: a claim, which proves or does not where somebody judges it.
    async fn claim(
        &self,
        pushed: &Pushed<'_>,
        document: &Document,
        plan: &Plan,
    ) -> Result<Response, Response> {
        if !self.oci.takes_evidence {
            let text = "evidence is not taken here: bring it with `portcullis attach IMAGE@DIGEST --server`";
            return Err(error(StatusCode::FORBIDDEN, "DENIED", text));
        }
        self.go(pushed, document, plan).await
    }

    /// Pushed by its digest: it can be the child of an index, and goes up with that one, or under a tag.
    fn wait(&self, held: Held, digest: &Digest, document: &Document) -> Result<Response, Response> {
        let kept = Kept::of(held, document.media_type(), self.place()?);
        self.oci.shelf.put(self.owner(), Kind::Manifest, digest.clone(), kept);
        let mut response = self.stored(digest);
        let warning = "299 - \"it waits here, and is stored with the tag or the index that brings it\"";
        set(response.headers_mut(), "warning", warning);
        Ok(response)
    }

    async fn deploy(
        &self,
        pushed: &Pushed<'_>,
        document: &Document,
        plan: &Plan,
    ) -> Result<Response, Response> {
        let ruled = self.with.ask(self.subject(pushed), &pushed.headers).await;
        match self.with.refused(&ruled) {
            Some(refusal) => Err(refusal),
            None => self.go(pushed, document, plan).await,
        }
    }

    async fn go(&self, pushed: &Pushed<'_>, document: &Document, plan: &Plan) -> Result<Response, Response> {
        let _turn = self.oci.shelf.turn(self.repository).await;
        plan.go(self).await?;
        let name = pushed.name.text();
        let done = self.site().put(&name, &pushed.digest, document.media_type(), &pushed.held).await?;
        plan.clear(self);
        let mut response = self.stored(&pushed.digest);
        // whoever pushes a referrer learns from this whether the registry lists it
        if let Some(subject) = done.headers().get(SUBJECT) {
            response.headers_mut().insert(SUBJECT, subject.clone());
        }
        Ok(response)
    }

    /// What cannot be read the one way is refused on record.
    async fn unreadable(&self, pushed: &Pushed<'_>, why: &DocumentError) -> Response {
        let mut subject = self.subject(pushed);
        subject.unreadable.push(Unreadable {
            what: "the manifest cannot be read".to_owned(),
            place: String::new(),
            wanted: "a manifest or an index of OCI or of Docker's version 2, under its own media type"
                .to_owned(),
            found: why.to_string(),
            fix: "push what a builder wrote, unchanged".to_owned(),
        });
        let ruled = self.with.ask(subject, &pushed.headers).await;
        let otherwise = || error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", &why.to_string());
        self.with.refused(&ruled).unwrap_or_else(otherwise)
    }

    fn subject(&self, pushed: &Pushed<'_>) -> Subject {
        let prefix = self.with.proxy.config().prefix.trim_end_matches('/');
        let name = pushed.name.text();
        Subject {
            name: self.repository.to_owned(),
            uri: format!("{prefix}/{}", self.repository),
            digests: pushed.held.digests().clone(),
            body: Some(Json::from(format!("PUT /v2/{}/manifests/{name}", self.repository))),
            ..Subject::default()
        }
    }

    fn stored(&self, digest: &Digest) -> Response {
        let mut response = at(StatusCode::CREATED, &format!("/v2/{}/manifests/{digest}", self.repository));
        describe(response.headers_mut(), digest);
        response
    }
}

/// The digest under which it goes up: the one it was pushed by, which it has to have, or its SHA-256.
fn digest(name: &Name, found: &DigestSet) -> Result<Digest, Response> {
    let invalid = |text: &str| error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", text);
    match name {
        Name::Tag(_) => {
            found.get(attest::Algorithm::Sha256).ok_or_else(|| invalid("the manifest was not hashed"))
        }
        Name::Digest(digest) if found.get(digest.algorithm()).as_ref() == Some(digest) => Ok(digest.clone()),
        Name::Digest(digest) => {
            Err(invalid(&format!("the manifest has another digest than {digest}, by which it is pushed")))
        }
    }
}
