//! What the configuration of `portcullis serve` says about the cluster, and the same configuration as a Pod reads it.

use attest::yaml::{Fields, Node, Problems};
use attest::{LoadError, Object};

use super::{places, render, template};
use crate::mapping::Mapping;

/// The parts of a configuration that the manifests are written from. What is wrong with the others, `portcullis serve`
/// says.
#[derive(Clone, Debug)]
pub struct Serve {
    /// Environments, guarded kinds, custom kinds, controllers.
    pub mapping: Mapping,
    /// The book's folder, as the file names it.
    pub book: String,
    /// The trust root's file.
    pub trust_root: String,
    /// The guardrails' file.
    pub guardrails: Option<String>,
    /// The file with the authority of the API server's client certificate.
    pub clients: Option<String>,
    /// The folder with the policies for the files themselves.
    pub governance: Option<String>,
    pub(super) whole: Object,
}

impl Serve {
    /// Reads a configuration.
    ///
    /// # Errors
    /// All problems of those parts, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let serve = Self::read(&node, &mut problems);
        problems.finish(serve)
    }

    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = lenient(node, "a choke point's configuration", problems)?;
        let webhook = fields.required("webhook", problems)?;
        let webhook = lenient(webhook, "`webhook`", problems)?;
        let mapping = Mapping::read(&webhook, problems);
        let (book, trust_root) = (text(&fields, "book", problems), text(&fields, "trust-root", problems));
        let guardrails =
            fields.optional("guardrails").is_some().then(|| text(&fields, "guardrails", problems));
        let clients = webhook.optional("clients").map(|node| {
            let fields = lenient(node, "`clients`", problems)?;
            text(&fields, "ca", problems)
        });
        let governance = fields.optional("governance").map(|node| {
            let fields = lenient(node, "`governance`", problems)?;
            text(&fields, "policies", problems)
        });
        Some(Self {
            mapping: mapping?,
            book: book?,
            trust_root: trust_root?,
            guardrails: guardrails.map_or(Some(None), |file| file.map(Some))?,
            clients: clients.map_or(Some(None), |file| file.map(Some))?,
            governance: governance.map_or(Some(None), |folder| folder.map(Some))?,
            whole: template::json(node).as_object().ok()?.clone(),
        })
    }

    /// The public files beside the book that a Pod needs too: the keys of witnesses, and their authorities.
    #[must_use]
    pub fn public(&self) -> Vec<String> {
        places::public(&self.whole)
    }

    /// The configuration of one replica, with the places of the files in its Pod.
    pub(super) fn in_pod(&self, replica: u32, book: &str, governance: Option<&str>) -> String {
        let mut whole = places::in_pod(self.whole.clone());
        let log = self.whole.get("log").and_then(|l| l.as_object().ok()).cloned().unwrap_or_default();
        // two logs of one name would look like one log that tells two stories
        let origin = log.optional_string("origin").ok().flatten().unwrap_or("portcullis");
        let log = log.clone().with("origin", format!("{origin}/{replica}"));
        let mut log = log.with("path", "/var/lib/portcullis/log").with("key", "/etc/portcullis-log/log.key");
        // each writes under its own name, which is the Pod's
        log.remove("writer");
        let tls = Object::new()
            .with("certificate", "/etc/portcullis-tls/tls.crt")
            .with("key", "/etc/portcullis-tls/tls.key");
        let mut webhook = whole.get("webhook").and_then(|w| w.as_object().ok()).cloned().unwrap_or_default();
        webhook.set("listen", "0.0.0.0:8443");
        webhook.set("tls", tls);
        webhook.set("api", Object::new().with("in-cluster", true));
        if let Some(clients) = webhook.get("clients").and_then(|c| c.as_object().ok()).cloned() {
            webhook.set("clients", clients.with("ca", "clients-ca.crt"));
        }
        whole.set("book", book);
        if let Some(part) = whole.get("governance").and_then(|part| part.as_object().ok()).cloned() {
            whole.set("governance", part.with("policies", governance.unwrap_or("governance")));
        }
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

    /// Whether what runs is watched.
    pub(super) fn is_watched(&self) -> bool {
        self.whole.get("watch").is_some()
    }
}

/// The fields of a map, whatever they are called: `portcullis serve` refuses what it does not know.
fn lenient<'a>(node: &'a Node, what: &'static str, problems: &mut Problems) -> Option<Fields<'a>> {
    let names: Vec<&str> = problems.keep(node.entries())?.map(|(name, ..)| name).collect();
    Fields::read(node, what, &names, problems)
}

fn text(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<String> {
    let node = fields.required(key, problems)?;
    problems.keep(node.string()).map(str::to_owned)
}
