//! A tag is moved to a version that is there already: what that version is made of is fetched, and decided about.

use attest::json::Limits;
use attest::{Algorithm, Digest, Json, Object};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::name::Name;
use crate::proxy::adapter::With;
use crate::proxy::ask::Subject;
use crate::proxy::hold::Held;
use crate::proxy::package::shown;

/// All that a registry says of a package: some have thousands of versions.
const MAX_DOCUMENT: usize = 64 << 20;

/// What a registry has of a package.
pub(super) struct Published<'a> {
    name: &'a Name,
    document: Object,
}

impl<'a> Published<'a> {
    /// Asks what the proxy stands in front of.
    pub(super) async fn ask(name: &'a Name, with: &With) -> Result<Self, Response> {
        let held = get(&format!("/{}", name.escaped()), with).await?;
        let document =
            with.read(move || Ok(held.bytes(MAX_DOCUMENT as u64).map_err(|e| e.to_string()))).await?;
        let document = document.map_err(|why| unknown(with, &why))?;
        let limits = Limits { bytes: MAX_DOCUMENT, values: 4_000_000, ..Limits::default() }.exact();
        match attest::json::parse_with(&document, limits) {
            Ok(Json::Object(document)) => Ok(Self { name, document }),
            Ok(_) => Err(unknown(with, "what the registry says of the package is no object")),
            Err(e) => Err(unknown(with, &format!("what the registry says of the package is no JSON: {e}"))),
        }
    }

    /// The version that a tag names now.
    pub(super) fn tagged(&self, tag: &str) -> Option<&str> {
        self.document.object("dist-tags").ok()?.string(tag).ok()
    }

    /// What a version deploys: the bytes that the registry gives for it, which must be those that installers expect.
    pub(super) async fn subject(&self, tag: &str, version: &str, with: &With) -> Result<Subject, Response> {
        if semver::Version::parse(version).is_err() {
            let text = format!("a tag names one version, and {} is none", shown(version));
            return Err(refuse(with, StatusCode::BAD_REQUEST, &text));
        }
        let versions = self.document.object("versions").ok();
        let Some(known) = versions.and_then(|versions| versions.object(version).ok()) else {
            let text = format!("the registry has no version {version} of {}", self.name.as_str());
            return Err(refuse(with, StatusCode::NOT_FOUND, &text));
        };
        let file = format!("/{}/-/{}-{version}.tgz", self.name.escaped(), self.name.short());
        let held = get(&file, with).await?;
        let integrity = known.object("dist").and_then(|dist| dist.string("integrity")).unwrap_or_default();
        let sha512 = held.digests().get(Algorithm::Sha512);
        if sha512 != said(integrity) || sha512.is_none() {
            return Err(unknown(with, "the registry says one digest of the version, and gives other bytes"));
        }
        let body = Object::new().with("tag", tag).with("version", version);
        Ok(Subject {
            name: self.name.as_str().to_owned(),
            uri: self.name.uri(),
            digests: held.digests().clone(),
            body: Some(Json::from(body)),
            ..Subject::default()
        })
    }
}

/// The digest in `sha512-BASE64`.
fn said(integrity: &str) -> Option<Digest> {
    let bytes = STANDARD.decode(integrity.strip_prefix("sha512-")?).ok()?;
    Digest::from_bytes(Algorithm::Sha512, bytes).ok()
}

/// Fetches something from the registry, whole.
async fn get(path: &str, with: &With) -> Result<Held, Response> {
    let request = Request::builder().method(Method::GET).uri(path).header(header::ACCEPT, "*/*");
    let request = request.body(Body::empty()).map_err(|_| unknown(with, "the registry cannot be asked"))?;
    let response = with.send(request).await.map_err(|e| unknown(with, &e.to_string()))?;
    match response.status() {
        StatusCode::OK if !response.headers().contains_key(header::CONTENT_ENCODING) => {
            with.hold(response.into_body()).await
        }
        StatusCode::NOT_FOUND => {
            Err(refuse(with, StatusCode::NOT_FOUND, "the registry has nothing of this name"))
        }
        status => Err(unknown(with, &format!("the registry answers {status}"))),
    }
}

fn unknown(with: &With, why: &str) -> Response {
    let text = format!("cannot decide: {why}");
    with.proxy.config().adapter.refuse(StatusCode::SERVICE_UNAVAILABLE, "cannot-decide", &text)
}

fn refuse(with: &With, status: StatusCode, text: &str) -> Response {
    with.proxy.config().adapter.refuse(status, "rejected", text)
}
