//! What is asked of the registry behind the proxy, and brought to it once it is admitted. What it answers is checked: bytes
//! are hashed, digests are compared, and no answer is not "no".

use attest::Digest;
use attest::digest::Hasher;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Request, StatusCode, Uri, header};
use axum::response::Response;
use http_body_util::{BodyExt as _, Limited};

use crate::proxy::adapter::With;
use crate::proxy::hold::Held;
use crate::proxy::metrics::End;
use crate::proxy::oci::answer::error;
use crate::proxy::oci::login::{self, Login};
use crate::proxy::oci::shelf::OCTETS;

const DIGEST: &str = "docker-content-digest";
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";
/// So many characters of what the registry says are told on.
const TOLD: usize = 300;

/// One repository of the registry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    with: &'a With,
    repository: &'a str,
    login: &'a Login,
}

impl<'a> Site<'a> {
    pub(super) fn of(with: &'a With, repository: &'a str, login: &'a Login) -> Self {
        Self { with, repository, login }
    }

    /// The size of a blob that the registry has; zero in the second where it does not say.
    pub(super) async fn blob_size(&self, digest: &Digest) -> Result<Option<Option<u64>>, Response> {
        let answer = self.ask(Method::HEAD, &format!("blobs/{digest}"), &[], None).await?;
        match answer.status() {
            StatusCode::OK => Ok(Some(length(&answer))),
            // it lies elsewhere, and is there
            status if status.is_redirection() => Ok(Some(None)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(unexpected(self.with, "asked for a blob", answer).await),
        }
    }

    pub(super) async fn has_manifest(&self, digest: &Digest) -> Result<bool, Response> {
        let headers = [(header::ACCEPT, ACCEPT)];
        let answer = self.ask(Method::HEAD, &format!("manifests/{digest}"), &headers, None).await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(unexpected(self.with, "asked for a manifest", answer).await),
        }
    }

    /// The bytes of a blob or a manifest, where the registry has it and they are what their digest says.
    pub(super) async fn bytes(
        &self,
        kind: &str,
        digest: &Digest,
        most: u64,
    ) -> Result<Option<Vec<u8>>, Response> {
        let headers = [(header::ACCEPT, if kind == "manifests" { ACCEPT } else { "*/*" })];
        let answer = self.ask(Method::GET, &format!("{kind}/{digest}"), &headers, None).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(unexpected(self.with, "asked for bytes", answer).await),
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let bytes = Limited::new(answer.into_body(), most).collect().await;
        let bytes = bytes
            .map_err(|e| unavailable(self.with, &format!("the registry's answer broke off: {e}")))?
            .to_bytes();
        let mut hasher = Hasher::new(&[digest.algorithm()]);
        hasher.update(&bytes);
        if hasher.finish().get(digest.algorithm()).as_ref() != Some(digest) {
            return Err(unavailable(
                self.with,
                &format!("the registry answers other bytes than those of {digest}"),
            ));
        }
        Ok(Some(bytes.to_vec()))
    }

    /// Brings a blob, where the registry has it not.
    pub(super) async fn bring(&self, digest: &Digest, held: &Held) -> Result<(), Response> {
        if self.blob_size(digest).await?.is_some() {
            return Ok(());
        }
        let none = [(header::CONTENT_LENGTH, "0")];
        let begun = self.ask(Method::POST, "blobs/uploads/", &none, None).await?;
        if begun.status() != StatusCode::ACCEPTED {
            return Err(unexpected(self.with, "began an upload", begun).await);
        }
        let location = begun.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        // what is written somewhere else does not come this far: of the address, the path counts
        let at = upload(location.unwrap_or_default(), digest)
            .ok_or_else(|| unavailable(self.with, "the registry does not say where the upload goes on"))?;
        let length = held.length().to_string();
        let headers = [(header::CONTENT_LENGTH, length.as_str()), (header::CONTENT_TYPE, OCTETS)];
        let done = self.send(Method::PUT, at, &headers, Some(held)).await?;
        if done.status() != StatusCode::CREATED {
            return Err(unexpected(self.with, "brought a blob", done).await);
        }
        same(self.with, &done, digest)
    }

    /// Brings a manifest under a name; gives the answer, which says nothing else of it than we do.
    pub(super) async fn put(
        &self,
        name: &str,
        digest: &Digest,
        media_type: &str,
        held: &Held,
    ) -> Result<Response, Response> {
        let length = held.length().to_string();
        let headers = [(header::CONTENT_LENGTH, length.as_str()), (header::CONTENT_TYPE, media_type)];
        let done = self.ask(Method::PUT, &format!("manifests/{name}"), &headers, Some(held)).await?;
        if done.status() != StatusCode::CREATED {
            return Err(unexpected(self.with, "brought a manifest", done).await);
        }
        same(self.with, &done, digest)?;
        Ok(done)
    }

    async fn ask(
        &self,
        method: Method,
        below: &str,
        headers: &[(header::HeaderName, &str)],
        body: Option<&Held>,
    ) -> Result<Response, Response> {
        let path = format!("/v2/{}/{below}", self.repository);
        let path = path.parse().or(Err(unavailable(self.with, "the registry has no such address")))?;
        self.send(method, path, headers, body).await
    }

    async fn send(
        &self,
        method: Method,
        path: PathAndQuery,
        headers: &[(header::HeaderName, &str)],
        body: Option<&Held>,
    ) -> Result<Response, Response> {
        let make = || {
            let mut request = Request::builder().method(method.clone()).uri(Uri::from(path.clone()));
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            let request = request.body(body.map_or_else(Body::empty, Held::body));
            request.map_err(|_| unavailable(self.with, "the registry cannot be asked"))
        };
        self.login.send(self.with, &login::of(self.repository), make).await
    }
}

/// Where an upload goes on, with the digest that it has to have.
fn upload(location: &str, digest: &Digest) -> Option<PathAndQuery> {
    let uri: Uri = location.parse().ok()?;
    let path = uri.path_and_query().filter(|path| path.path().starts_with("/v2/"))?;
    let separator = if path.query().is_some() { '&' } else { '?' };
    format!("{path}{separator}digest={digest}").parse().ok()
}

fn length(answer: &Response) -> Option<u64> {
    answer.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What the registry calls it is what it is.
fn same(with: &With, answer: &Response, digest: &Digest) -> Result<(), Response> {
    let Some(said) = answer.headers().get(DIGEST) else { return Ok(()) };
    let said = said.to_str().unwrap_or("no digest");
    // a registry may answer in the algorithm that it prefers
    let is_other = said.split(':').next() != Some(digest.algorithm().name());
    if is_other || said == digest.to_string() {
        return Ok(());
    }
    let said: String = said.chars().take(TOLD).collect();
    Err(unavailable(with, &format!("the registry stored something else: wanted {digest}, found {said}")))
}

fn unavailable(with: &With, text: &str) -> Response {
    with.course.set(End::Upstream);
    error(StatusCode::BAD_GATEWAY, "UNAVAILABLE", &with.with_records(text, false))
}

async fn unexpected(with: &With, what: &str, answer: Response) -> Response {
    let status = answer.status();
    let said = Limited::new(answer.into_body(), 64 << 10).collect().await;
    let said = said.map(|said| String::from_utf8_lossy(&said.to_bytes()).into_owned()).unwrap_or_default();
    let said: String = said.escape_debug().take(TOLD).collect();
    unavailable(with, &format!("the registry behind this proxy answers {status} where it was {what}: {said}"))
}
