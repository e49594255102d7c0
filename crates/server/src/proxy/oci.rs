//! A registry of images: tags move only to manifests that are admitted.
//!
//! A push brings blobs first, then manifests, then a tag. Nothing of it reaches the registry before the decision: blobs,
//! and manifests that are pushed by their digest (the children of an index), wait on the [`Shelf`]; what is pushed under a
//! tag is decided about, and where it is admitted, all that it is made of and the registry has not goes up, it last.
//! Evidence (`evidence.rs`) is a claim and no deployment: it goes up by itself, and no tag that can be deployed moves.
//! Reads go through.

mod answer;
mod evidence;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod login;
mod name;
mod plan;
mod push;
mod shelf;
mod site;
mod upload;

use attest::time::Span;
use attest::yaml::{Fields, Problems};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::fields::{number, span};
use crate::proxy::adapter::{Adapter, With};
use crate::proxy::config;
use answer::{content, error, refusal};
use login::Login;
use name::{Address, Name, Target};
use shelf::{Kind, Owner, Shelf};
use site::Site;

/// Blobs, parts of blobs, and manifests that wait, each in a file.
const PLACES: (u64, u64, u64) = (16, 100_000, 1000);
/// How long it waits.
const KEEP: Span = Span::seconds(3600);

/// A registry's protocol, and what waits for a decision.
#[derive(Debug)]
pub(crate) struct Oci {
    takes_evidence: bool,
    shelf: Shelf,
    login: Login,
}

/// One request in one repository.
pub(crate) struct Asked<'a> {
    oci: &'a Oci,
    with: &'a With,
    repository: &'a str,
}

impl Oci {
    /// Reads `oci: { evidence: pass, keep: 1h, places: 1000, tokens: "https://auth.internal" }`.
    pub(crate) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let Some(node) = fields.optional("oci") else {
            let places = usize::try_from(PLACES.2).ok()?;
            return Some(Self {
                takes_evidence: true,
                shelf: Shelf::of(places, KEEP),
                login: Login::default(),
            });
        };
        let fields = Fields::read(node, "`oci`", &["evidence", "keep", "places", "tokens"], problems)?;
        let takes_evidence = match fields.optional("evidence") {
            None => Some(true),
            Some(node) => match problems.keep(node.string())? {
                "pass" => Some(true),
                "refuse" => Some(false),
                _ => {
                    problems.push(node.mismatch("`pass` or `refuse`"));
                    None
                }
            },
        };
        let keep = span(&fields, "keep", KEEP, problems);
        let places = number(&fields, "places", PLACES, problems);
        let tokens = fields.optional("tokens").map(|node| config::trusted_server(node, problems));
        let login = Login::with(tokens.map_or(Some(None), |tokens| tokens.map(Some))?);
        Some(Self { takes_evidence: takes_evidence?, shelf: Shelf::of(places?, keep?), login })
    }

    /// Lets a read through.
    async fn pass(&self, with: &With, scope: &str, head: &Parts) -> Result<Response, Response> {
        let mut head = head.clone();
        head.headers.remove(header::CONTENT_LENGTH);
        self.login.send(with, scope, || Ok(Request::from_parts(head.clone(), Body::empty()))).await
    }

    /// `body` is taken by whoever wants it.
    async fn serve(&self, head: &Parts, body: &mut Body, with: &With) -> Result<Response, Response> {
        let address = Address::parse(head.uri.path()).ok_or_else(|| {
            error(StatusCode::NOT_FOUND, "NAME_INVALID", "this is no address of a registry")
        })?;
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let (repository, target) = match &address {
            Address::Base if is_read => {
                return Ok(content("application/json", b"{}".to_vec()));
            }
            Address::Catalog if is_read => return self.pass(with, login::CATALOG, head).await,
            Address::Base | Address::Catalog => return Err(no_such_method()),
            Address::Within(repository, target) => (repository.as_str(), target),
        };
        let asked = Asked { oci: self, with, repository };
        match (head.method.as_str(), target) {
            ("GET" | "HEAD", Target::Upload(id)) => asked.status(id).await,
            ("GET" | "HEAD", Target::Blob(digest)) => asked.read(Kind::Blob, digest, head).await,
            ("GET" | "HEAD", Target::Manifest(Name::Digest(digest))) => {
                asked.read(Kind::Manifest, digest, head).await
            }
            ("GET" | "HEAD", Target::Manifest(Name::Tag(_)) | Target::Tags | Target::Referrers) => {
                self.pass(with, &login::of(repository), head).await
            }
            ("POST", Target::Uploads) => asked.begin(head, body).await,
            ("PATCH", Target::Upload(id)) => asked.more(id, head, body).await,
            ("PUT", Target::Upload(id)) => asked.finish(id, head, body).await,
            ("DELETE", Target::Upload(id)) => asked.cancel(id),
            ("PUT", Target::Manifest(name)) => asked.push(name, head, body).await,
            ("DELETE", Target::Blob(_) | Target::Manifest(_)) => Err(error(
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "nothing is deleted through here; whoever runs the registry does it there",
            )),
            _ => Err(no_such_method()),
        }
    }
}

impl Asked<'_> {
    fn owner(&self) -> Owner {
        Owner { requester: self.with.requester.clone(), repository: self.repository.to_owned() }
    }

    fn site(&self) -> Site<'_> {
        Site::of(self.with, self.repository, &self.oci.login)
    }

    /// What waits is there for who brought it; for all else the registry is asked.
    async fn read(&self, kind: Kind, digest: &attest::Digest, head: &Parts) -> Result<Response, Response> {
        let Some(kept) = self.oci.shelf.get(&self.owner(), kind, digest) else {
            return self.oci.pass(self.with, &login::of(self.repository), head).await;
        };
        let body = if head.method == Method::HEAD { Body::empty() } else { kept.held().body() };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, kept.held().length().into());
        answer::describe(headers, digest);
        let media_type = HeaderValue::from_str(&kept.media_type);
        headers.insert(header::CONTENT_TYPE, media_type.unwrap_or(HeaderValue::from_static(shelf::OCTETS)));
        Ok(response)
    }
}

fn no_such_method() -> Response {
    error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "this is not done through here")
}

impl Adapter for Oci {
    fn answer<'a>(&'a self, request: Request<Body>, with: &'a With) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let (head, mut body) = request.into_parts();
            self.serve(&head, &mut body, with).await.unwrap_or_else(|refused| refused)
        })
    }

    fn sweep(&self, _now: Timestamp) {
        self.shelf.sweep();
    }

    fn refuse(&self, status: StatusCode, code: &str, text: &str) -> Response {
        refusal(status, code, text)
    }
}

#[cfg(test)]
mod tests {
    use attest::yaml::Node;

    use super::*;

    fn read(text: &str) -> Result<Oci, String> {
        let node = Node::parse("serve.yaml", text).unwrap();
        let mut problems = Problems::new();
        let fields = Fields::read(&node, "a proxy", &["kind", "oci"], &mut problems).unwrap();
        let oci = Oci::read(&fields, &mut problems);
        problems.finish(oci).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_a_registry_takes_is_said_or_usual() {
        assert!(read("kind: oci\n").unwrap().takes_evidence);
        assert!(read("oci: { keep: 10m, places: 16 }\n").unwrap().takes_evidence);
        assert!(!read("oci: { evidence: refuse }\n").unwrap().takes_evidence);
        for (bad, why) in [
            ("oci: { evidence: maybe }\n", "`pass` or `refuse`"),
            ("oci: { keep: soon }\n", "a span of time"),
            ("oci: { places: 1 }\n", "16"),
            ("oci: { tags: all }\n", "tags"),
            ("oci: { tokens: auth.internal }\n", "https://HOST[:PORT]"),
            ("oci: { tokens: \"http://auth.internal\" }\n", "a login goes there"),
        ] {
            let found = read(bad).unwrap_err();
            assert!(found.contains(why), "{bad}: {found}");
        }
    }
}
