//! What the configuration of `portcullis serve` says about the cluster, and the same configuration as a Pod reads it.

use attest::Object;
use attest::json::{ShapeError, each};
use attest::yaml::Node;

use super::{ManifestError, render, template};

/// The parts of a configuration that the manifests are written from. What is wrong with the others, `portcullis serve`
/// says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serve {
    /// Each environment and its namespaces.
    pub environments: Vec<(String, Vec<String>)>,
    /// Guarded kinds and their namespaces; none means all, and what has no namespace.
    pub guards: Vec<(Vec<String>, Vec<String>)>,
    /// Custom kinds that hold images.
    pub custom: Vec<String>,
    /// The service accounts of controllers, where they are not the built-in ones.
    pub controllers: Option<Vec<String>>,
    /// The book's folder, as the file names it.
    pub book: String,
    /// The trust root's file.
    pub trust_root: String,
    /// The guardrails' file.
    pub guardrails: Option<String>,
    /// The file with the authority of the API server's client certificate.
    pub clients: Option<String>,
    whole: Object,
}

impl Serve {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ManifestError`] where it is no YAML, or one of those parts is missing or something else.
    pub fn parse(file: &str, text: &str) -> Result<Self, ManifestError> {
        let fix = "see the configuration in docs/kubernetes.md";
        let node = Node::parse(file, text).map_err(|e| {
            ManifestError::new("the configuration does not load", "YAML", &e.to_string(), fix)
        })?;
        let whole = template::json(&node);
        whole.as_object().and_then(Self::read).map_err(|e| {
            let message = format!("the configuration {file} does not load: {}", e.path);
            ManifestError::new(&message, &e.wanted, &e.found, fix)
        })
    }

    fn read(whole: &Object) -> Result<Self, ShapeError> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let webhook = whole.object("webhook")?;
        let within = |e: ShapeError| e.within("webhook");
        let clients = webhook.optional_object("clients").map_err(within)?;
        Ok(Self {
            environments: each("environments", webhook.array("environments").map_err(within)?, |item| {
                let item = item.as_object()?;
                Ok((item.string("environment")?.to_owned(), texts(item, "namespaces")?))
            })
            .map_err(within)?,
            guards: each("guard", webhook.optional_array("guard").map_err(within)?, |item| {
                let item = item.as_object()?;
                Ok((texts(item, "kinds")?, texts(item, "namespaces")?))
            })
            .map_err(within)?,
            custom: each("images", webhook.optional_array("images").map_err(within)?, |item| {
                Ok(item.as_object()?.string("kind")?.to_owned())
            })
            .map_err(within)?,
            controllers: match webhook.get("controllers") {
                Some(_) => Some(texts(webhook, "controllers").map_err(within)?),
                None => None,
            },
            book: whole.string("book")?.to_owned(),
            trust_root: whole.string("trust-root")?.to_owned(),
            guardrails: owned(whole.optional_string("guardrails")?),
            clients: match clients {
                Some(clients) => owned(clients.optional_string("ca").map_err(within)?),
                None => None,
            },
            whole: whole.clone(),
        })
    }

    /// The configuration of one replica, with the places of the files in its Pod.
    pub(super) fn in_pod(&self, replica: u32, book: &str) -> String {
        let log = self.whole.get("log").and_then(|l| l.as_object().ok()).cloned().unwrap_or_default();
        // two logs of one name would look like one log that tells two stories
        let origin = log.optional_string("origin").ok().flatten().unwrap_or("portcullis");
        let log = log.clone().with("origin", format!("{origin}/{replica}"));
        let log = log.with("path", "/var/lib/portcullis/log").with("key", "/etc/portcullis-log/log.key");
        let tls = Object::new()
            .with("certificate", "/etc/portcullis-tls/tls.crt")
            .with("key", "/etc/portcullis-tls/tls.key");
        let mut webhook =
            self.whole.get("webhook").and_then(|w| w.as_object().ok()).cloned().unwrap_or_default();
        webhook.set("listen", "0.0.0.0:8443");
        webhook.set("tls", tls);
        webhook.set("api", Object::new().with("in-cluster", true));
        if let Some(clients) = webhook.get("clients").and_then(|c| c.as_object().ok()).cloned() {
            webhook.set("clients", clients.with("ca", "clients-ca.crt"));
        }
        let mut whole = self.whole.clone();
        whole.set("book", book);
        whole.set("trust-root", "trust-root.yaml");
        if self.guardrails.is_some() {
            whole.set("guardrails", "guardrails.yaml");
        }
        whole.set("log", log);
        whole.set("evidence", "/var/lib/portcullis/evidence");
        whole.set("state", "/var/lib/portcullis/state");
        whole.set("metrics", Object::new().with("listen", "0.0.0.0:9464"));
        whole.set("webhook", webhook);
        render::document(&whole.into())
    }

    /// The port of the collector of traces, where there is one.
    pub(super) fn traces_port(&self) -> Option<i64> {
        let endpoint = self.whole.get("traces")?.as_object().ok()?.get("endpoint")?.as_str().ok()?;
        let (scheme, rest) = endpoint.split_once("://")?;
        let host = rest.split('/').next()?;
        let default = if scheme == "https" { 443 } else { 80 };
        Some(host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(default))
    }
}

fn texts(object: &Object, key: &str) -> Result<Vec<String>, ShapeError> {
    each(key, object.optional_array(key)?, |item| Ok(item.as_str()?.to_owned()))
}
