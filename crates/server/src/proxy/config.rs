//! What the operator of a proxy says.
//!
//! ```yaml
//! proxies:
//!   - name: images
//!     kind: oci
//!     listen: 0.0.0.0:5443
//!     tls: { certificate: tls.crt, key: tls.key }
//!     clients: { ca: clients.crt, names: [ci.example] }   # or `anonymous: true`
//!     upstream: { url: "https://registry.internal:5000", ca: internal.crt, credentials: registry.login }
//!     spool: spool/images                                 # where bodies wait until they were decided about
//!     limits: { body: 10GiB, held: 100GiB, requests: 1000 }
//!     as: registry.example                                # how the artifacts' URIs begin
//!     routes:
//!       - { names: ["shop/**"], environment: prod/shop }  # what stands nowhere is nobody's, and refused
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use attest::sigstore::Pattern;
use attest::yaml::{Fields, Node, Problems};

use crate::config::KeyPair;
use crate::fields::{address, key_pair, list, number, path, size, text, words};
use crate::proxy::adapter::{self, Adapter};

const KNOWN: [&str; 11] =
    ["name", "kind", "listen", "tls", "clients", "anonymous", "upstream", "spool", "limits", "as", "routes"];

/// One proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its name, in records and metrics.
    pub name: String,
    /// The address to listen on.
    pub listen: String,
    /// Its own certificate chain and key.
    pub tls: KeyPair,
    /// Who may come; nothing where anybody may.
    pub clients: Option<Clients>,
    /// What it stands in front of.
    pub upstream: Upstream,
    /// The folder where bodies wait until they were decided about.
    pub spool: PathBuf,
    /// How much it takes.
    pub limits: Limits,
    /// How the artifacts' URIs begin.
    pub prefix: String,
    /// Which name is which environment.
    pub routes: Vec<Route>,
    /// The protocol.
    pub(crate) adapter: Arc<dyn Adapter>,
}

/// Who may come.
#[derive(Clone, Debug)]
pub struct Clients {
    /// The authorities that issue the certificates, PEM.
    pub ca: PathBuf,
    /// The names in them.
    pub names: Vec<String>,
}

/// What a proxy stands in front of.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// `http://` or `https://`, host, port, and nothing behind it.
    pub url: String,
    /// The authorities that may vouch for it; nothing means those of this machine.
    pub ca: Option<PathBuf>,
    /// The file with the value of the `Authorization` header for it; clients never see it.
    pub credentials: Option<PathBuf>,
    /// The client's certificate for it.
    pub identity: Option<KeyPair>,
}

/// How much a proxy takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one body.
    pub body: u64,
    /// Bytes of all bodies that wait in the spool.
    pub held: u64,
    /// Requests at once.
    pub requests: usize,
}

/// Which names are which environment.
#[derive(Clone, Debug)]
pub struct Route {
    /// What the protocol calls the thing: a repository, a package, a path, a key.
    pub names: Vec<Pattern>,
    /// The environment.
    pub environment: String,
}

impl Proxy {
    pub(crate) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let kind = node.entries().ok()?.into_iter().find(|(key, ..)| *key == "kind");
        let kind = kind.and_then(|(_, _, node)| node.string().ok()).unwrap_or_default();
        let known: Vec<&str> = KNOWN.iter().chain(adapter::keys(kind)).copied().collect();
        let fields = Fields::read(node, "a proxy", &known, problems)?;
        let kind = fields.required("kind", problems).and_then(|node| {
            let word = problems.keep(node.string())?;
            let is_known = adapter::KINDS.contains(&word);
            problems.keep(
                is_known
                    .then_some(word)
                    .ok_or_else(|| node.mismatch(&format!("one of {}", adapter::KINDS.join(", ")))),
            )
        });
        let (name, listen) = (text(&fields, "name", problems), address(&fields, problems));
        let tls = fields.required("tls", problems).and_then(|n| key_pair(n, problems));
        let clients = clients(&fields, problems);
        let upstream = fields.required("upstream", problems).and_then(|n| upstream(n, problems));
        let spool = path(&fields, "spool", problems);
        let limits = limits(fields.optional("limits"), problems);
        let prefix =
            fields.optional("as").map_or(Some(String::new()), |n| problems.keep(n.string()).map(Into::into));
        fields.required("routes", problems);
        let routes = list(&fields, "routes", problems, route);
        let adapter = kind.and_then(|kind| adapter::read(kind, &fields, problems));
        Some(Self {
            name: name?,
            listen: listen?,
            tls: tls?,
            clients: clients?,
            upstream: upstream?,
            spool: spool?,
            limits: limits?,
            prefix: prefix?,
            routes,
            adapter: adapter?,
        })
    }

    /// The files and folders that are named, to be made relative to the configuration's own.
    pub(crate) fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = vec![&mut self.tls.certificate, &mut self.tls.key, &mut self.spool];
        paths.extend(self.clients.as_mut().map(|clients| &mut clients.ca));
        paths.extend(self.upstream.ca.as_mut());
        paths.extend(self.upstream.credentials.as_mut());
        paths.extend(
            self.upstream.identity.iter_mut().flat_map(|pair| [&mut pair.certificate, &mut pair.key]),
        );
        paths
    }

    /// The environment of a name; nothing where it is nobody's.
    #[must_use]
    pub fn environment(&self, name: &str) -> Option<&str> {
        let found = self.routes.iter().find(|route| route.names.iter().any(|pattern| pattern.matches(name)));
        found.map(|route| route.environment.as_str())
    }
}

/// Nobody may come by accident: either names, or the word for it.
fn clients(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<Clients>> {
    let is_anonymous = fields.optional("anonymous").map_or(Some(false), |n| problems.keep(n.boolean()))?;
    match (fields.optional("clients"), is_anonymous) {
        (Some(node), true) => {
            problems.push(node.mismatch("not `clients` and `anonymous: true` together"));
            None
        }
        (None, true) => Some(None),
        (None, false) => {
            fields.required("clients", problems);
            None
        }
        (Some(node), false) => {
            let fields = Fields::read(node, "`clients`", &["ca", "names"], problems)?;
            let (ca, names) = (path(&fields, "ca", problems), words(&fields, "names", problems));
            Some(Some(Clients { ca: ca?, names: names? }))
        }
    }
}

fn upstream(node: &Node, problems: &mut Problems) -> Option<Upstream> {
    let fields = Fields::read(node, "`upstream`", &["url", "ca", "credentials", "identity"], problems)?;
    let file = |key: &str, problems: &mut Problems| {
        fields.optional(key).and_then(|n| problems.keep(n.string())).map(PathBuf::from)
    };
    let (ca, credentials) = (file("ca", problems), file("credentials", problems));
    let identity = fields.optional("identity").map(|n| key_pair(n, problems));
    let node = fields.required("url", problems)?;
    let url = problems.keep(node.string())?.trim_end_matches('/');
    let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if !authority
        .is_some_and(|a| !a.is_empty() && a.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c)))
    {
        problems.push(node.mismatch("https://HOST[:PORT], or http:// where only this machine can reach it"));
        return None;
    }
    Some(Upstream {
        url: url.to_owned(),
        ca,
        credentials,
        identity: identity.map_or(Some(None), |i| i.map(Some))?,
    })
}

fn limits(node: Option<&Node>, problems: &mut Problems) -> Option<Limits> {
    let usual = Limits { body: 10 << 30, held: 50 << 30, requests: 1024 };
    let Some(node) = node else { return Some(usual) };
    let fields = Fields::read(node, "`limits`", &["body", "held", "requests"], problems)?;
    let bytes = |key: &str, otherwise: u64, problems: &mut Problems| {
        fields.optional(key).map_or(Some(otherwise), |node| {
            let found = size(problems.keep(node.string())?);
            problems.keep(found.ok_or_else(|| node.mismatch("a size, as in 10GiB")))
        })
    };
    let (body, held) = (bytes("body", usual.body, problems), bytes("held", usual.held, problems));
    let requests = number(&fields, "requests", (1, 100_000, 1024), problems);
    Some(Limits { body: body?, held: held?, requests: requests? })
}

fn route(node: &Node, problems: &mut Problems) -> Option<Route> {
    let fields = Fields::read(node, "a route", &["names", "environment"], problems)?;
    let environment = text(&fields, "environment", problems);
    let mut names = Vec::new();
    for item in fields.required("names", problems).and_then(|n| problems.keep(n.list()))? {
        let text = problems.keep(item.string())?;
        let parsed = Pattern::parse(text).map_err(|e| item.mismatch(&e.to_string()));
        names.push(problems.keep(parsed)?);
    }
    Some(Route { names, environment: environment? })
}
