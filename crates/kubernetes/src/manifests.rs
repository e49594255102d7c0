//! What is applied to a cluster so that nothing is deployed past the choke point: written from the book and the
//! configuration of `portcullis serve`, and compared later with what the cluster has.
//!
//! Three parts, each of which can be applied and taken back alone: the choke point itself, the webhooks that ask it, and
//! the admission policies that guard both and hold where it is down.

mod chart;
mod drift;
mod install;
mod kinds;
mod namespaces;
mod places;
mod policies;
mod powers;
mod render;
mod serve;
mod template;
mod webhooks;

use std::fmt;

use attest::Json;
use policy::{Book, SourceFile};

pub use chart::chart;
pub use drift::{Difference, Live, compare, objects};
pub use powers::powers;
pub use render::{document, documents};
pub use serve::Serve;

/// The namespaces that hold the cluster together; nothing is judged there unless the configuration claims one.
pub const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Somebody, as the API server names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// A user, or a service account by its full name.
    User(String),
    /// A group.
    Group(String),
}

impl Account {
    /// Reads `USER` or `group:NAME`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("group:") {
            Some(name) => Self::Group(name.to_owned()),
            None => Self::User(text.to_owned()),
        }
    }
}

/// How the API server reaches the choke point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By a Service of the same cluster, where this image runs.
    Service {
        /// The image, by digest.
        image: String,
    },
    /// At an address outside of the cluster, as in `https://portcullis.example:8443`.
    Url(String),
}

/// What the operator chooses beside the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The choke point's own namespace.
    pub namespace: String,
    /// How it is reached.
    pub reach: Reach,
    /// Other images that may run in its namespace, by digest: the one before, while an upgrade lasts.
    pub also_images: Vec<String>,
    /// How many of it run.
    pub replicas: u32,
    /// The size of each one's volume, as Kubernetes writes it.
    pub storage: String,
    /// The authority of its certificate, PEM.
    pub authority: String,
    /// Who may change its webhooks and its namespace.
    pub keepers: Vec<Account>,
    /// Who may also weaken or delete the webhooks.
    pub emergency: Vec<Account>,
    /// Namespaces where nothing is judged.
    pub excluded: Vec<String>,
    /// The addresses of the API server, as CIDR; none means any address.
    pub api_addresses: Vec<String>,
    /// The namespaces from which metrics may be read.
    pub metrics_from: Vec<String>,
    /// Whether a mutating webhook writes digests into references.
    pub pins: bool,
    /// Whether a ServiceMonitor is wanted.
    pub monitored: bool,
}

/// The files that the choke point reads.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The book's files.
    pub book: Vec<SourceFile>,
    /// The trust root.
    pub trust_root: String,
    /// The guardrails.
    pub guardrails: Option<String>,
    /// The authority of the API server's client certificate.
    pub clients: Option<String>,
    /// The policies for the files themselves.
    pub governance: Vec<SourceFile>,
    /// The files of [`Serve::public`], in its order.
    pub public: Vec<String>,
}

/// Everything that is applied, as objects.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// The choke point.
    pub install: Vec<Json>,
    /// The webhooks.
    pub webhooks: Vec<Json>,
    /// The admission policies.
    pub policies: Vec<Json>,
    /// What the operator should know about this book and this configuration.
    pub notes: Vec<String>,
}

/// Why there are no manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// What is wrong.
    pub message: String,
    /// What would have been right.
    pub wanted: String,
    /// What stands there.
    pub found: String,
    /// How to mend it.
    pub fix: String,
}

impl ManifestError {
    fn new(message: &str, wanted: &str, found: &str, fix: &str) -> Self {
        let [message, wanted, found, fix] = [message, wanted, found, fix].map(str::to_owned);
        Self { message, wanted, found, fix }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: wanted {}, found {}", self.message, self.wanted, self.found)
    }
}
impl std::error::Error for ManifestError {}

/// Writes everything that is applied.
///
/// # Errors
/// [`ManifestError`] for a setting that no cluster would take, or that would leave something open.
pub fn manifests(
    settings: &Settings,
    serve: &Serve,
    book: &Book,
    files: &Files,
) -> Result<Manifests, ManifestError> {
    settings.check()?;
    files.check()?;
    let mut namespaces = namespaces::Namespaces::of(settings, serve, book);
    if matches!(settings.reach, Reach::Service { .. }) {
        namespaces.notes.extend(install::notes(serve)?);
    }
    Ok(Manifests {
        install: install::objects(settings, serve, files)?,
        webhooks: webhooks::objects(settings, serve, &namespaces)?,
        policies: policies::objects(settings, serve, &namespaces)?,
        notes: namespaces.notes,
    })
}

impl Settings {
    fn check(&self) -> Result<(), ManifestError> {
        let images = match &self.reach {
            Reach::Service { image } => Some(image),
            Reach::Url(_) => None,
        };
        for image in images.into_iter().chain(&self.also_images).filter(|i| !template::is_mark(i)) {
            let digest = image.split_once("@sha256:").map(|(_, digest)| digest).unwrap_or_default();
            let is_digest =
                digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if !is_digest || image.contains(['\'', '\\', '"', ' ', '\n']) {
                let fix = "look the digest up, and write NAME@sha256:HEX";
                return Err(ManifestError::new(
                    "the image is not named by its digest",
                    "NAME@sha256:HEX",
                    image,
                    fix,
                ));
            }
        }
        if let Reach::Url(url) = &self.reach
            && (!url.starts_with("https://") || url.contains(['?', '#']))
        {
            let wanted = "https://HOST:PORT, without `?` and `#`";
            return Err(ManifestError::new(
                "the API server cannot reach this address",
                wanted,
                url,
                "write it so",
            ));
        }
        self.check_authority()?;
        if self.replicas < 2 {
            let found = self.replicas.to_string();
            let fix = "let two run at least: while the only one restarts, nothing can be deployed";
            return Err(ManifestError::new("too few replicas", "2 or more", &found, fix));
        }
        if self.keepers.is_empty() && self.emergency.is_empty() {
            let fix = "name who applies these manifests: --keeper USER, or --keeper group:NAME";
            return Err(ManifestError::new("nobody could ever change the webhooks", "a keeper", "none", fix));
        }
        Ok(())
    }

    fn check_authority(&self) -> Result<(), ManifestError> {
        let wanted = "certificates in PEM, and nothing else";
        let what = "the authority's file does not fit";
        let fix = "give the certificate of the authority that issued the choke point's own";
        if self.authority.contains("PRIVATE KEY") {
            return Err(ManifestError::new(what, wanted, "a private key", fix));
        }
        if !self.authority.contains("-----BEGIN CERTIFICATE-----") {
            return Err(ManifestError::new(what, wanted, "no certificate", fix));
        }
        Ok(())
    }
}

impl Files {
    /// A character that stands for a value of the chart would let a policy's author write templates.
    fn check(&self) -> Result<(), ManifestError> {
        let names = self.book.iter().chain(&self.governance).flat_map(|f| [&f.name, &f.text]);
        let texts = names.chain([&self.trust_root]).chain(&self.guardrails).chain(&self.clients);
        let mut texts = texts.chain(&self.public);
        let Some(text) = texts.find(|text| chart::holds_mark(text)) else { return Ok(()) };
        let found: String = text.chars().take(60).collect();
        let wanted = "no character that Unicode gives to nobody (U+E000, U+E001)";
        Err(ManifestError::new("a file holds a character that means nothing", wanted, &found, "remove it"))
    }
}
