//! What a cluster should have: the same arguments write the manifests and compare them.

use std::path::{Path, PathBuf};

use ::kubernetes::manifests::{
    Account, Files, ManifestError, Manifests, Reach, SYSTEM_NAMESPACES, Serve, Settings, manifests,
};

use super::given;
use crate::failure::Failure;
use crate::input;

/// The arguments that say what a cluster should have.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Wanted {
    /// The configuration of `portcullis serve`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The folder with the policies, where it is not the configuration's
    #[arg(long, value_name = "DIR")]
    book: Option<PathBuf>,
    /// The guardrails, where they are not the configuration's
    #[arg(long, value_name = "FILE")]
    guardrails: Option<PathBuf>,
    /// The certificate of the authority that issued the webhook's own, PEM
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The image of Portcullis, by digest
    #[arg(long, value_name = "NAME@sha256:HEX", required_unless_present = "url", conflicts_with = "url")]
    image: Option<String>,
    /// Another image that may run in its namespace: the one before, while an upgrade lasts
    #[arg(long, value_name = "NAME@sha256:HEX")]
    also_image: Vec<String>,
    /// Where the API server reaches a choke point that runs outside of the cluster
    #[arg(long, value_name = "https://HOST:PORT")]
    url: Option<String>,
    /// The choke point's own namespace
    #[arg(long, value_name = "NAME", default_value = "portcullis")]
    namespace: String,
    /// How many of it run
    #[arg(long, value_name = "N", default_value_t = 2)]
    replicas: u32,
    /// The size of each one's volume
    #[arg(long, value_name = "SIZE", default_value = "10Gi")]
    storage: String,
    /// Who may change the webhooks and the namespace: a user, a service account's full name, or group:NAME
    #[arg(long, value_name = "ACCOUNT", default_value = "group:system:masters")]
    keeper: Vec<String>,
    /// Who may also weaken or delete the webhooks
    #[arg(long, value_name = "ACCOUNT", default_value = "group:system:masters")]
    emergency: Vec<String>,
    /// A namespace where nothing is judged
    #[arg(long, value_name = "NAME", default_values = SYSTEM_NAMESPACES)]
    exclude: Vec<String>,
    /// The API server's addresses, for the NetworkPolicy; without them, any address may ask
    #[arg(long, value_name = "CIDR")]
    api_address: Vec<String>,
    /// A namespace from which metrics may be read
    #[arg(long, value_name = "NAME")]
    metrics_from: Vec<String>,
    /// Write a mutating webhook too, which puts digests into references
    #[arg(long)]
    pin: bool,
    /// Write a ServiceMonitor too
    #[arg(long)]
    service_monitor: bool,
}

impl Wanted {
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        self.check()?;
        let accounts = |names: &[String]| names.iter().map(|name| Account::parse(name)).collect();
        Ok(Settings {
            namespace: self.namespace.clone(),
            reach: match (&self.image, &self.url) {
                (Some(image), _) => Reach::Service { image: image.clone() },
                (None, url) => Reach::Url(url.clone().unwrap_or_default()),
            },
            also_images: self.also_image.clone(),
            replicas: self.replicas,
            storage: self.storage.clone(),
            authority: input::text("authority's certificate", &self.ca)?,
            keepers: accounts(&self.keeper),
            emergency: accounts(&self.emergency),
            excluded: self.exclude.clone(),
            api_addresses: self.api_address.clone(),
            metrics_from: self.metrics_from.clone(),
            pins: self.pin,
            monitored: self.service_monitor,
        })
    }

    fn check(&self) -> Result<(), Failure> {
        given::namespace("--namespace", &self.namespace)?;
        self.exclude.iter().try_for_each(|name| given::namespace("--exclude", name))?;
        self.metrics_from.iter().try_for_each(|name| given::namespace("--metrics-from", name))?;
        given::storage(&self.storage)?;
        self.url.as_deref().map_or(Ok(()), given::url)
    }

    /// What was given, can be written down, and is probably not what was meant.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let keepers = self.keeper.iter().filter_map(|name| given::odd_account("--keeper", name));
        keepers
            .chain(self.emergency.iter().filter_map(|name| given::odd_account("--emergency", name)))
            .collect()
    }

    /// Reads every file once, and writes the manifests.
    pub(crate) fn manifests(&self, settings: &Settings) -> Result<Manifests, Failure> {
        let text = input::text("configuration", &self.config)?;
        let serve = Serve::parse(&self.config.display().to_string(), &text)
            .map_err(|e| Failure::load("configuration-invalid", e))?;
        let folder = self.config.parent().unwrap_or(Path::new(""));
        let dir = self.book.clone().unwrap_or_else(|| folder.join(&serve.book));
        let guardrails =
            self.guardrails.clone().or_else(|| serve.guardrails.as_ref().map(|f| folder.join(f)));
        let book = input::book(&dir, guardrails.as_deref())?;
        let trust_root = folder.join(&serve.trust_root);
        input::trust_root(&trust_root)?;
        let read = |what, path: Option<PathBuf>| path.map(|path| input::text(what, &path)).transpose();
        let files = Files {
            book: book.files().to_vec(),
            trust_root: input::text("trust root", &trust_root)?,
            guardrails: read("guardrail file", guardrails)?,
            clients: read("authority of clients", serve.clients.as_ref().map(|f| folder.join(f)))?,
            governance: match &serve.governance {
                Some(policies) => input::book(&folder.join(policies), None)?.files().to_vec(),
                None => Vec::new(),
            },
            public: serve
                .public()
                .iter()
                .map(|file| input::text("key of a witness", &folder.join(file)))
                .collect::<Result<_, _>>()?,
        };
        manifests(settings, &serve, &book, &files).map_err(refused)
    }
}

pub(super) fn refused(error: ManifestError) -> Failure {
    Failure::new(&error.message)
        .code("manifests-refused")
        .line("wanted", &error.wanted)
        .line("found", &error.found)
        .line("fix", &error.fix)
}
