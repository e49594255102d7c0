//! What the operator of a choke point says: a file, reviewed like code.

mod after;
mod alarms;
mod decisions;
mod governance;
mod read;
mod registries;
mod roles;
mod signing;
mod summaries;

pub use after::{After, Verify, Witnesses};
pub(crate) use alarms::is_loopback;
pub use alarms::{Alarms, Mail, MailTls, Sink, Webhook as AlarmWebhook};

use std::path::{Path, PathBuf};

use attest::LoadError;
use attest::time::Span;
use attest::yaml::{Node, Problems};
use kubernetes::Mapping;
use tlog::Level;

use crate::config::KeyPair;
use crate::webhook::certificates::Files;

pub use decisions::Decisions;
pub use governance::Governance;
pub use registries::Registry;
pub use signing::Signing;
pub use summaries::{Summaries, SummaryKey};

/// A complete configuration with everything that can be said, as the documentation shows it.
pub const EXAMPLE: &str = include_str!("config/example.yaml");

/// The configuration of `portcullis serve`.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder with the policies.
    pub book: PathBuf,
    /// Whom to trust.
    pub trust_root: PathBuf,
    /// What policies may say; nothing where nothing limits them.
    pub guardrails: Option<PathBuf>,
    /// What governs book, trust root, guardrails and this file themselves; nothing where whoever writes them does.
    pub governance: Option<Governance>,
    /// The decision log.
    pub log: Log,
    /// The folder of the local evidence store.
    pub evidence: PathBuf,
    /// The folder of what was decided for which template; it can be made again from the log.
    pub state: PathBuf,
    /// Registries that are asked for evidence of their images; no other is.
    pub registries: Vec<Registry>,
    /// Bytes of verified evidence that are kept in memory.
    pub cache: u64,
    /// How often book, trust root and certificates are looked at.
    pub reload: Span,
    /// Where metrics are, in plain HTTP.
    pub metrics: String,
    /// Where traces go, as OTLP over HTTP; nothing where they go nowhere.
    pub traces: Option<String>,
    /// Who may put evidence and grants into the store, by a name in the client's certificate.
    pub attach: Vec<String>,
    /// What is signed of what was admitted; nothing where nothing is.
    pub summaries: Option<Summaries>,
    /// Where alarms are told.
    pub alarms: Alarms,
    /// What happens after the answer.
    pub after: After,
    /// The main listener, and the Kubernetes webhook on it.
    pub webhook: Webhook,
    /// Who may ask about anything else; nothing where nobody may.
    pub decisions: Option<Decisions>,
    /// Release keys, and who may have what signed with them.
    pub signing: Vec<Signing>,
    /// Proxies in front of what takes uploads or requests.
    pub proxies: Vec<crate::proxy::Config>,
    /// The file that says all this.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
}

/// A decision log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its folder.
    pub path: PathBuf,
    /// Its name.
    pub origin: String,
    /// The key that signs its checkpoints.
    pub key: PathBuf,
    /// Under which name this process writes.
    pub writer: String,
    /// What must be true of an admission's record before the answer leaves.
    pub level: Level,
    /// Bytes of the spool before it.
    pub spool: u64,
    /// The database through which several replicas share it; then the folder is this replica's spool, and the tree is in
    /// the folder that is named there.
    pub postgresql: Option<replicas::Config>,
}

impl Log {
    /// The folder with the tree.
    #[must_use]
    pub fn tree(&self) -> &Path {
        self.postgresql.as_ref().and_then(|shared| shared.tiles.as_deref()).unwrap_or(&self.path)
    }
}

/// The main listener, and the Kubernetes webhook on it.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The address to listen on.
    pub listen: String,
    /// The webhook's own certificate chain and its key, PEM.
    pub tls: KeyPair,
    /// Whose certificates count; nothing where the configuration says `anonymous: true`, and where there is no Kubernetes
    /// and nobody comes with a certificate.
    pub clients: Option<Clients>,
    /// Whether an API server asks: whether there are `environments`.
    pub is_kubernetes: bool,
    /// Requests that are judged or wait, at once.
    pub concurrency: usize,
    /// Bytes of a request's body.
    pub body: u64,
    /// How long the webhook goes on taking requests when it was told to stop: until nobody sends any.
    pub drain: Span,
    /// Where owners are looked up; nothing where the configuration names none.
    pub api: Option<Api>,
    /// The file with the key that binds the data of guarded Secrets; nothing where no Secret can be guarded.
    pub secret_key: Option<PathBuf>,
    /// Which workload is which environment, what is guarded, who the controllers are.
    pub mapping: Mapping,
}

impl Webhook {
    pub(crate) fn certificates(&self) -> Files {
        Files { own: self.tls.clone(), authorities: self.clients.as_ref().map(|c| c.ca.clone()) }
    }
}

/// Whose certificates count.
#[derive(Clone, Debug)]
pub struct Clients {
    /// The authorities that issue the certificates, PEM.
    pub ca: PathBuf,
    /// The names of the API server: common name, or any alternative one. None where there is no Kubernetes.
    pub names: Vec<String>,
}

/// Where the API server is.
#[derive(Clone, Debug)]
pub enum Api {
    /// As this file says.
    Kubeconfig(PathBuf),
    /// The one of the cluster that this process runs in.
    InCluster,
}

impl Config {
    /// Parses a configuration. Relative paths are relative to the folder of the file.
    ///
    /// # Errors
    /// All problems, each with its place and how to mend it.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(&file.display().to_string(), text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let config = read::config(&node, &mut problems);
        let mut config = problems.finish(config)?;
        config.file = file.to_owned();
        config.text = text.to_owned();
        let folder = file.parent().unwrap_or(Path::new(""));
        for path in config.paths() {
            *path = folder.join(&*path);
        }
        Ok(config)
    }

    /// What this process decides about: what readiness says.
    pub(crate) fn serves(&self) -> Vec<&'static str> {
        let all = [
            (self.webhook.is_kubernetes, "kubernetes"),
            (self.decisions.is_some(), "decisions"),
            (!self.signing.is_empty(), "signing"),
            (!self.proxies.is_empty(), "proxies"),
        ];
        all.into_iter().filter_map(|(is_served, name)| is_served.then_some(name)).collect()
    }

    /// The cluster, where there is one.
    pub(crate) fn cluster(&self) -> Option<&str> {
        self.webhook.is_kubernetes.then_some(self.webhook.mapping.cluster.as_str())
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = vec![&mut self.book, &mut self.trust_root, &mut self.log.path, &mut self.log.key];
        paths.extend(self.log.postgresql.iter_mut().flat_map(replicas::Config::paths));
        paths.extend([&mut self.evidence, &mut self.state]);
        paths.extend([&mut self.webhook.tls.certificate, &mut self.webhook.tls.key]);
        paths.extend(&mut self.guardrails);
        paths.extend(self.registries.iter_mut().filter_map(|registry| registry.credentials.as_mut()));
        paths.extend(self.alarms.paths());
        paths.extend(self.after.paths());
        paths.extend(self.governance.as_mut().map(|governance| &mut governance.policies));
        paths.extend(&mut self.webhook.secret_key);
        paths.extend(self.summaries.as_mut().and_then(Summaries::path));
        paths.extend(self.webhook.clients.as_mut().map(|c| &mut c.ca));
        paths.extend(self.decisions.iter_mut().flat_map(Decisions::paths));
        paths.extend(self.signing.iter_mut().flat_map(Signing::paths));
        paths.extend(self.proxies.iter_mut().flat_map(crate::proxy::Config::paths));
        if let Some(Api::Kubeconfig(file)) = &mut self.webhook.api {
            paths.push(file);
        }
        paths
    }

    /// Files and folders that must be there before the choke point starts, and what they are.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, &Path)> {
        let webhook = &self.webhook;
        let mut named: Vec<(&'static str, &Path)> = vec![
            ("the book", &self.book),
            ("the trust root", &self.trust_root),
            ("the log's key", &self.log.key),
            ("the certificate", &webhook.tls.certificate),
            ("its key", &webhook.tls.key),
        ];
        let policies = self.governance.iter().map(|governance| governance.policies.as_path());
        named.extend(policies.map(|folder| ("the policies for the files", folder)));
        named.extend(self.log.postgresql.iter().flat_map(replicas::Config::named));
        named.extend(self.guardrails.iter().map(|file| ("the guardrails", file.as_path())));
        named.extend(self.alarms.named().map(|file| ("a key or an authority of `alarms`", file)));
        let logins = self.registries.iter().filter_map(|registry| registry.credentials.as_deref());
        named.extend(logins.map(|file| ("the login for a registry", file)));
        let witnesses = self.after.witnesses.iter().flat_map(|witnesses| &witnesses.of);
        named.extend(witnesses.map(|(_, _, key)| ("a witness's key", key.as_path())));
        named.extend(webhook.clients.iter().map(|c| ("the clients' authorities", c.ca.as_path())));
        let keys = self.decisions.iter().flat_map(Decisions::named);
        named.extend(keys.map(|file| ("the keys of a token's issuer, or their authority", file.as_path())));
        let keys = self.signing.iter().flat_map(Signing::named);
        named.extend(keys.map(|file| ("a release key, or its published block", file.as_path())));
        named.extend(webhook.secret_key.iter().map(|file| ("the key for Secrets", file.as_path())));
        named.extend(self.proxies.iter().flat_map(crate::proxy::Config::named));
        if let Some(SummaryKey::File(file)) = self.summaries.as_ref().map(|summaries| &summaries.key) {
            named.push(("the key of summaries", file));
        }
        if let Some(Api::Kubeconfig(file)) = &webhook.api {
            named.push(("the kubeconfig", file));
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: (&str, &str)) -> String {
        assert!(EXAMPLE.contains(change.0), "{}", change.0);
        let errors =
            Config::parse(Path::new("serve.yaml"), &EXAMPLE.replace(change.0, change.1)).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_is_a_configuration_and_its_paths_are_relative_to_it() {
        let config = Config::parse(Path::new("/etc/portcullis/serve.yaml"), EXAMPLE).unwrap();
        assert_eq!(config.book, Path::new("/etc/portcullis/book"));
        assert_eq!(config.webhook.clients.unwrap().names, ["kube-apiserver"]);
        assert_eq!(config.webhook.mapping.environments.len(), 2);
        assert_eq!(config.attach, ["ci.example"]);
    }

    #[test]
    fn what_would_let_anybody_ask_is_said_twice_or_refused() {
        let both = problems(("  concurrency: 256", "  anonymous: true\n  concurrency: 256"));
        assert!(both.contains("`clients` and `anonymous: true`"), "{both}");
        let neither = problems(("  clients: {", "  clientz: {"));
        assert!(neither.contains("clientz"), "{neither}");
        assert!(neither.contains("nobody may ask"), "{neither}");
        let nobody = problems(("names: [kube-apiserver]", "names: []"));
        assert!(nobody.contains("wanted at least one entry"), "{nobody}");
    }

    #[test]
    fn a_name_that_may_attach_is_not_the_api_server() {
        let same = problems(("names: [ci.example]", "names: [kube-apiserver]"));
        assert!(same.contains("kube-apiserver may ask and may attach"), "{same}");
    }

    #[test]
    fn who_asks_for_decisions_is_proven_and_closes_no_alarm_about_itself() {
        for (change, wanted) in [
            (
                ("names: [deployer.example]", "names: [kube-apiserver]"),
                "kube-apiserver asks for a cluster and for itself",
            ),
            (("names: [deployer.example]", "names: [oncall.example]"), "close the alarms about them"),
            (("names: [deployer.example]", "names: [\"token x y\"]"), "is how a token's bearer is called"),
            (("      claims: { repository_owner: acme }\n", ""), "everybody with a token of"),
            (
                ("  clients: { ca: apiserver-ca.crt, names: [kube-apiserver] }", "  anonymous: true"),
                "could pass for the API server",
            ),
        ] {
            let found = problems(change);
            assert!(found.contains(wanted), "{change:?}: {found}");
        }
        let config = Config::parse(
            Path::new("serve.yaml"),
            &EXAMPLE.replace("names: [deployer.example]", "names: [ci.example]"),
        );
        assert_eq!(config.unwrap().decisions.unwrap().names, ["ci.example"], "who asks may attach");
    }

    #[test]
    fn without_kubernetes_nothing_is_said_of_a_cluster() {
        let begin = EXAMPLE.find("\nwebhook:\n").unwrap();
        let with = |webhook: &str| {
            let rest = EXAMPLE.replace("watch: {", "# watch: {");
            let text = format!(
                "{}\nwebhook:\n  listen: 127.0.0.1:1\n  tls: {{ certificate: a, key: b }}\n{webhook}",
                &rest[..begin + 2]
            );
            Config::parse(Path::new("serve.yaml"), &text)
                .map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        };
        let config = with("  clients: { ca: c }\n").unwrap();
        assert_eq!((config.serves(), config.cluster()), (vec!["decisions", "signing", "proxies"], None));
        assert!(config.webhook.clients.unwrap().names.is_empty());
        for (webhook, wanted) in [
            ("", "nobody can prove a name that may ask for decisions"),
            ("  clients: { ca: c, names: [kube-apiserver] }\n", "without `environments` none asks"),
            ("  clients: { ca: c }\n  cluster: eu-1\n", "`cluster` is about Kubernetes"),
            ("  clients: { ca: c }\n  api: { in-cluster: true }\n", "`api` is about Kubernetes"),
        ] {
            let found = with(webhook).unwrap_err();
            assert!(found.contains(wanted), "{webhook}: {found}");
        }
    }

    #[test]
    fn a_shared_log_needs_its_tree_and_a_name_for_each_writer() {
        let shared = |section: &str| {
            let log = EXAMPLE.replace("  writer: portcullis-0   ", "  #");
            log.replace("  key: log.key\n", &format!("  key: log.key\n  postgresql: {section}\n"))
        };
        let text = shared("{ host: /run/postgresql, database: portcullis, user: eu-1 }");
        let errors = Config::parse(Path::new("serve.yaml"), &text).unwrap_err();
        let found = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(found.contains("a shared log without the folder of its tree"), "{found}");
        assert!(found.contains("a shared log without this writer's name"), "{found}");
        let text = shared("{ host: /run/postgresql, database: portcullis, user: eu-1, tiles: tree }")
            .replace("  key: log.key\n", "  key: log.key\n  writer: eu-1\n");
        let config = Config::parse(Path::new("/etc/portcullis/serve.yaml"), &text).unwrap();
        assert_eq!(config.log.tree(), Path::new("/etc/portcullis/tree"));
        let text = text.replace("tiles: tree", "tiles: log");
        let errors = Config::parse(Path::new("serve.yaml"), &text).unwrap_err();
        assert!(errors[0].to_string().contains("one folder for the spool and the tree"), "{}", errors[0]);
    }

    #[test]
    fn limits_have_limits() {
        for (change, wanted) in [
            (("body: 8MiB", "body: 1GiB"), "at most 64MiB"),
            (("concurrency: 256", "concurrency: 0"), "1"),
            (("reload: 10s", "reload: 2h"), "at most 1h"),
            (("listen: 0.0.0.0:8443", "listen: localhost:8443"), "an address and a port"),
            (("http://collector.example:4318", "grpc://collector"), "http:// or https://"),
        ] {
            let found = problems(change);
            assert!(found.contains(wanted), "{change:?}: {found}");
        }
    }
}
