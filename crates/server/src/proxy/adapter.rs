//! What knows a protocol: from a request to what it deploys, and from a ruling to an answer that the client understands.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use attest::yaml::{Fields, Problems};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::proxy::debian::{self, Debian};
use crate::proxy::json::JsonCalls;
use crate::proxy::kubernetes::{self, Kubernetes};
use crate::proxy::listen::Proxy;
use crate::proxy::metrics::Course;
use crate::proxy::npm::Npm;
use crate::proxy::oci::Oci;
use crate::proxy::put::Put;
use crate::proxy::pypi::{self, Pypi};
use crate::proxy::s3::S3;
use crate::proxy::share::Share;

/// A protocol. One for each proxy, shared by all its requests.
pub(crate) trait Adapter: Send + Sync + fmt::Debug {
    /// Answers one request. Whatever it does not know, it refuses: a new way to change something must not go through
    /// because nobody thought of it.
    fn answer<'a>(&'a self, request: Request<Body>, with: &'a With) -> BoxFuture<'a, Response>;

    /// A refusal in the words of the protocol; `text` is for people, and of many lines.
    fn refuse(&self, status: StatusCode, code: &str, text: &str) -> Response;

    /// Whether `%2F` may stand in a path, where it is no separator.
    fn takes_encoded_slash(&self) -> bool {
        false
    }

    /// Whether it tells requesters apart where the connection does not.
    fn tells_requesters(&self) -> bool {
        false
    }

    /// The files that only this kind names, to be made relative to the configuration's own.
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }

    /// The files that only this kind names and that must be there before it starts, and what they are.
    fn named(&self) -> Vec<(&'static str, &Path)> {
        Vec::new()
    }

    /// Opens what only this kind names, before anything is answered.
    fn open(&self) -> Result<(), String> {
        Ok(())
    }

    /// Lets go of what has waited for too long. Every second: what nobody comes for takes room from all who share the folder.
    fn sweep(&self, _now: Timestamp) {}

    /// Looks at what is open again; nothing where it is what it was. What does not do leaves the last good in force.
    fn reload(&self) -> Option<Result<(), String>> {
        None
    }
}

/// What an adapter has for one request.
#[derive(Clone, Debug)]
pub(crate) struct With {
    /// The proxy.
    pub(crate) proxy: Arc<Proxy>,
    /// Who asks, proven; nothing where anybody may.
    pub(crate) requester: Option<String>,
    /// What came of it until now.
    pub(crate) course: Course,
    /// Its place among all requests, in the share of who asks.
    pub(crate) place: Arc<Mutex<Share>>,
}

/// The protocols, by the word for them in the configuration.
pub(crate) const KINDS: [&str; 8] = ["put", "json", "oci", "debian", "pypi", "npm", "s3", "kubernetes"];

/// Whether the environments of a kind are those of `routes`, and its artifacts begin `as` the configuration says; those of
/// Kubernetes are the webhook's.
pub(crate) fn has_routes(kind: &str) -> bool {
    kind != "kubernetes"
}

/// How many times a body can lie in the spool at once: parts and the whole that they are joined to, or what came and what the
/// server has under its name.
pub(crate) fn copies(kind: &str) -> u64 {
    if matches!(kind, "oci" | "s3" | "debian") { 2 } else { 1 }
}

/// The keys that only one kind reads.
pub(crate) fn keys(kind: &str) -> &'static [&'static str] {
    match kind {
        "debian" => &debian::KEYS,
        "pypi" => &pypi::KEYS,
        "json" => &["calls"],
        "oci" => &["oci"],
        "s3" => &["region", "keys", "accounts"],
        "kubernetes" => &kubernetes::KEYS,
        _ => &[],
    }
}

/// Reads what only one kind has to say.
pub(crate) fn read(kind: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<Arc<dyn Adapter>> {
    match kind {
        "put" => Some(Arc::new(Put)),
        "debian" => Some(Arc::new(Debian::read(fields, problems)?)),
        "npm" => Some(Arc::new(Npm::new())),
        "pypi" => Some(Arc::new(Pypi::read(fields, problems)?)),
        "json" => Some(Arc::new(JsonCalls::read(fields, problems)?)),
        "oci" => Oci::read(fields, problems).map(|oci| Arc::new(oci) as Arc<dyn Adapter>),
        "s3" => Some(Arc::new(S3::read(fields, problems)?)),
        "kubernetes" => Some(Arc::new(Kubernetes::read(fields, problems)?)),
        _ => None,
    }
}
