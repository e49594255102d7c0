//! What the operator of a proxy says.
//!
//! ```yaml
//! proxies:
//!   - name: images
//!     kind: oci
//!     listen: 0.0.0.0:5443
//!     tls: { certificate: tls.crt, key: tls.key }
//!     clients: { ca: clients.crt, names: [ci.example] }   # and, or instead, `issuers`; or `anonymous: true`
//!     issuers:                                            # as the build service's; a token is also good as a password
//!       - { issuer: "https://ci.example", audience: images.example, algorithm: RS256, keys: { file: jwks.json }, identity: sub }
//!     upstream: { url: "https://registry.internal:5000", ca: internal.crt, credentials: registry.login, answer: 60s }
//!     public: https://images.example                      # as clients call this proxy; otherwise as each request does
//!     headers: [x-ours]                                   # request headers that go on beside the usual ones
//!     spool: spool/images                                 # where bodies wait until they were decided about
//!     limits: { body: 10GiB, held: 100GiB, requests: 1000, time: 1h, share: 50 }   # `share`: percent for one requester
//!     as: registry.example                                # how the artifacts' URIs begin
//!     routes:
//!       - { names: ["shop/**"], environment: prod/shop }  # what stands nowhere is nobody's, and refused
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attest::LoadError;
use attest::sigstore::Pattern;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};

use crate::config::read::issuer;
use crate::config::{Issuer, KeyPair, Keys};
use crate::fields::{address, key_pair, list, path, span, text, words};
use crate::proxy::adapter::{self, Adapter};
use crate::proxy::head;
use crate::proxy::limits::Limits;
use crate::proxy::share::Bounds;
use crate::webhook::is_loopback;

const KNOWN: [&str; 14] = [
    "name",
    "kind",
    "listen",
    "tls",
    "clients",
    "issuers",
    "anonymous",
    "upstream",
    "public",
    "headers",
    "spool",
    "limits",
    "as",
    "routes",
];

/// One proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its name, in records and metrics.
    pub name: String,
    /// The word for its protocol.
    pub kind: String,
    /// The address to listen on.
    pub listen: String,
    /// Its own certificate chain and key.
    pub tls: KeyPair,
    /// Who may come with a certificate. Where this and `issuers` say nobody, anybody may come.
    pub clients: Option<Clients>,
    /// Whose tokens are taken; each bearer of one may come.
    pub issuers: Vec<Issuer>,
    /// What it stands in front of.
    pub upstream: Upstream,
    /// As clients call it, `https://HOST[:PORT]`; nothing where each request says.
    pub public: Option<String>,
    /// Request headers that go on beside the usual ones, in lower case.
    pub headers: Vec<String>,
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
    /// Whether only one requester can come, or nobody is told from another.
    pub(crate) is_alone: bool,
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
    /// For a connection.
    pub connect: Duration,
    /// How long nothing may move: while a request is sent, until its answer begins, and between its pieces.
    pub answer: Duration,
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
        let has_routes = adapter::has_routes(kind);
        let is_read = |key: &&&str| has_routes || !matches!(**key, "as" | "routes");
        let known: Vec<&str> = KNOWN.iter().filter(is_read).chain(adapter::keys(kind)).copied().collect();
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
        let who = who(node, &fields, problems);
        let public = fields.optional("public").map(|node| origin(node, problems));
        let headers = header_names(&fields, kind.unwrap_or_default(), problems);
        let upstream = fields.required("upstream", problems).and_then(|n| upstream(n, problems));
        let spool = path(&fields, "spool", problems);
        let prefix =
            fields.optional("as").map_or(Some(String::new()), |n| problems.keep(n.string()).map(Into::into));
        if has_routes {
            fields.required("routes", problems);
        }
        let routes = list(&fields, "routes", problems, route);
        let adapter = kind.and_then(|kind| adapter::read(kind, &fields, problems));
        let (clients, issuers) = who?;
        let is_told_apart = adapter.as_ref().is_some_and(|adapter| adapter.tells_requesters());
        let is_alone = !is_told_apart && is_alone(clients.as_ref(), &issuers);
        let limits =
            Limits::read(fields.optional("limits"), is_alone, kind.map_or(1, adapter::copies), problems);
        Some(Self {
            name: name?,
            kind: kind?.to_owned(),
            listen: listen?,
            tls: tls?,
            clients,
            issuers,
            upstream: upstream?,
            public: public.map_or(Some(None), |p| p.map(Some))?,
            headers: headers?,
            spool: spool?,
            limits: limits?,
            prefix: prefix?,
            routes,
            adapter: adapter?,
            is_alone,
        })
    }

    /// The files and folders that are named, to be made relative to the configuration's own.
    pub(crate) fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = vec![&mut self.tls.certificate, &mut self.tls.key, &mut self.spool];
        paths.extend(Arc::get_mut(&mut self.adapter).into_iter().flat_map(|adapter| adapter.paths()));
        paths.extend(self.clients.as_mut().map(|clients| &mut clients.ca));
        for issuer in &mut self.issuers {
            match &mut issuer.keys {
                Keys::File(file) => paths.push(file),
                Keys::Url { ca, .. } => paths.extend(ca),
            }
        }
        paths.extend(self.upstream.ca.as_mut());
        paths.extend(self.upstream.credentials.as_mut());
        paths.extend(
            self.upstream.identity.iter_mut().flat_map(|pair| [&mut pair.certificate, &mut pair.key]),
        );
        paths
    }

    /// Files that must be there before the proxy starts, and what they are.
    pub(crate) fn named(&self) -> Vec<(&'static str, &Path)> {
        let (upstream, pair) = (&self.upstream, self.upstream.identity.as_ref());
        let mut named: Vec<(&'static str, Option<&PathBuf>)> = vec![
            ("a proxy's certificate", Some(&self.tls.certificate)),
            ("a proxy's key", Some(&self.tls.key)),
            ("the authorities of a proxy's clients", self.clients.as_ref().map(|clients| &clients.ca)),
            ("the authorities of a proxy's upstream", upstream.ca.as_ref()),
            ("a proxy's login", upstream.credentials.as_ref()),
            ("a proxy's certificate as a client", pair.map(|pair| &pair.certificate)),
            ("a proxy's key as a client", pair.map(|pair| &pair.key)),
        ];
        named.extend(self.issuers.iter().map(|issuer| match &issuer.keys {
            Keys::File(file) => ("an issuer's keys", Some(file)),
            Keys::Url { ca, .. } => ("the authorities of an issuer", ca.as_ref()),
        }));
        let named = named.into_iter().filter_map(|(what, file)| Some((what, file?.as_path())));
        named.chain(self.adapter.named()).collect()
    }

    /// So much in all, and what of it one requester may have.
    pub(crate) fn bounds(&self, all: u64) -> Bounds {
        self.limits.of(all, self.is_alone)
    }

    /// How many bytes must have room for one body.
    pub(crate) fn needs(&self) -> u64 {
        self.limits.body.saturating_mul(adapter::copies(&self.kind))
    }

    /// Opens what only its kind names.
    pub(crate) fn open(&self) -> Result<(), String> {
        self.adapter.open()
    }

    /// The environment of a name; nothing where it is nobody's.
    #[must_use]
    pub fn environment(&self, name: &str) -> Option<&str> {
        let found = self.routes.iter().find(|route| route.names.iter().any(|pattern| pattern.matches(name)));
        found.map(|route| route.environment.as_str())
    }
}

/// Nobody may come by accident: either names or issuers, or the word for it.
fn who(proxy: &Node, fields: &Fields<'_>, problems: &mut Problems) -> Option<(Option<Clients>, Vec<Issuer>)> {
    let is_anonymous = fields.optional("anonymous").map_or(Some(false), |n| problems.keep(n.boolean()))?;
    let issuers = list(fields, "issuers", problems, issuer);
    let said = [fields.optional("clients"), fields.optional("issuers")];
    match (said.into_iter().flatten().next(), is_anonymous) {
        (Some(node), true) => {
            let message = "`anonymous: true` together with those who may come: nobody could say which counts";
            problems.push(
                LoadError::new(&node.place, message)
                    .fix("remove `anonymous: true`, or `clients` and `issuers`"),
            );
            return None;
        }
        (None, false) => {
            let message = "nobody may come through this proxy";
            problems.push(
                LoadError::new(&proxy.place, message)
                    .wanted("`clients`, `issuers` or both; or `anonymous: true`")
                    .fix("add a line `clients: { ca: FILE, names: [NAME] }`"),
            );
            return None;
        }
        _ => {}
    }
    let clients = fields.optional("clients").map(|node| {
        let fields = Fields::read(node, "`clients`", &["ca", "names"], problems)?;
        let (ca, names) = (path(&fields, "ca", problems), words(&fields, "names", problems));
        Some(Clients { ca: ca?, names: names? })
    });
    let clients = clients.map_or(Some(None), |clients| clients.map(Some))?;
    if clients.is_none() && issuers.is_empty() && !is_anonymous {
        // an empty list of issuers would let nobody in: never anybody
        let node = fields.required("issuers", problems)?;
        problems.push(node.mismatch("at least one issuer"));
        return None;
    }
    Some((clients, issuers))
}

/// Whether those who may come are one.
fn is_alone(clients: Option<&Clients>, issuers: &[Issuer]) -> bool {
    issuers.is_empty() && clients.is_none_or(|clients| clients.names.len() == 1)
}

/// How headers begin by which a server takes one for another: whatever stands behind a proxy of any kind, a client never says
/// this. They are what proxies, clouds' load balancers and servers with certificates tell who stands behind them.
const ANOTHERS: [&str; 18] = [
    "client-cert",
    "forwarded",
    "impersonate-",
    "proxy-",
    "remote-",
    "ssl-client-",
    "true-client-ip",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-consumer-",
    "x-credential-",
    "x-forwarded",
    "x-goog-authenticated-",
    "x-ms-client-principal",
    "x-real-ip",
    "x-remote-",
    "x-ssl-",
    "x-webauth-",
];

/// Names of headers in lower case.
fn header_names(fields: &Fields<'_>, kind: &str, problems: &mut Problems) -> Option<Vec<String>> {
    let names = words(fields, "headers", problems)?;
    let is_name = |name: &String| {
        // what says where a message ends, or who sends it, is never a client's to say
        let is_ours = ["authorization", "connection", "cookie", "host", "te", "transfer-encoding", "upgrade"];
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !is_ours.contains(&name.as_str())
            && !ANOTHERS.iter().any(|prefix| name.starts_with(prefix))
            && !head::is_of_another_kind(name, kind)
    };
    if names.iter().all(is_name) {
        return Some(names);
    }
    let node = fields.required("headers", problems)?;
    let wanted = "names of headers in lower case, and none of a connection, a login or another kind of proxy";
    problems.push(node.mismatch(wanted));
    None
}

/// `https://HOST[:PORT]`.
fn origin(node: &Node, problems: &mut Problems) -> Option<String> {
    let text = problems.keep(node.string())?.trim_end_matches('/');
    if text.strip_prefix("https://").is_some_and(is_authority) {
        return Some(text.to_owned());
    }
    problems.push(node.mismatch("https://HOST[:PORT]"));
    None
}

fn is_authority(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c))
}

/// A server by its address, with nothing behind it.
pub(crate) fn server(node: &Node, problems: &mut Problems) -> Option<String> {
    let url = problems.keep(node.string())?.trim_end_matches('/');
    let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if authority.is_some_and(is_authority) {
        return Some(url.to_owned());
    }
    problems.push(node.mismatch("https://HOST[:PORT], or http:// and as much"));
    None
}

/// The same for one that sees a login: without TLS it is this machine.
pub(crate) fn trusted_server(node: &Node, problems: &mut Problems) -> Option<String> {
    let url = server(node, problems)?;
    let is_here = |authority: &str| {
        let host = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let host = host.map_or(authority, |(host, _)| host);
        host.eq_ignore_ascii_case("localhost") || is_loopback(host)
    };
    if url.strip_prefix("http://").is_none_or(is_here) {
        return Some(url);
    }
    problems.push(node.mismatch(
        "https://HOST[:PORT], because a login goes there; or http:// to this machine, as in http://127.0.0.1:5000",
    ));
    None
}

fn upstream(node: &Node, problems: &mut Problems) -> Option<Upstream> {
    let known = ["url", "ca", "credentials", "identity", "connect", "answer"];
    let fields = Fields::read(node, "`upstream`", &known, problems)?;
    let file = |key: &str, problems: &mut Problems| {
        fields.optional(key).and_then(|n| problems.keep(n.string())).map(PathBuf::from)
    };
    let (ca, credentials) = (file("ca", problems), file("credentials", problems));
    let identity = fields.optional("identity").map(|n| key_pair(n, problems));
    let read = if credentials.is_some() { trusted_server } else { server };
    let url = read(fields.required("url", problems)?, problems)?;
    let connect = time(&fields, "connect", Span::seconds(10), problems);
    let answer = time(&fields, "answer", Span::seconds(60), problems);
    Some(Upstream {
        connect: connect?,
        answer: answer?,
        url,
        ca,
        credentials,
        identity: identity.map_or(Some(None), |i| i.map(Some))?,
    })
}

/// A span that is neither nothing nor more than a day.
pub(crate) fn time(
    fields: &Fields<'_>,
    key: &str,
    otherwise: Span,
    problems: &mut Problems,
) -> Option<Duration> {
    let seconds = span(fields, key, otherwise, problems)?.as_seconds();
    match (u64::try_from(seconds), fields.optional(key)) {
        (Ok(seconds @ 1..=86_400), _) => Some(Duration::from_secs(seconds)),
        (_, node) => {
            problems.keep(Err::<(), _>(node?.mismatch("a span of time of at most a day, as in 60s")));
            None
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_says_who_it_is_for_the_server_behind() {
        let read_of = |name: &str, kind: &str| {
            let node = Node::parse("serve.yaml", &format!("headers: [x-ours, {name}]\n")).unwrap();
            let mut problems = Problems::new();
            let fields = Fields::read(&node, "a proxy", &["headers"], &mut problems).unwrap();
            let headers = header_names(&fields, kind, &mut problems);
            problems
                .finish(headers)
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())
        };
        let read = |name: &str| read_of(name, "put");
        assert_eq!(read("x-theirs").unwrap(), ["x-ours", "x-theirs"]);
        assert!(read_of("x-amz-copy-source", "s3").is_ok() && read_of("npm-otp", "npm").is_ok());
        for name in [
            "impersonate-user",
            "impersonate-extra-scopes",
            "x-remote-user",
            "x-forwarded-user",
            "forwarded",
            "proxy-authorization",
            "authorization",
            "remote-user",
            "remote-groups",
            "x-forwarded",
            "x-webauth-user",
            "x-auth-request-email",
            "x-ms-client-principal",
            "x-ms-client-principal-name",
            "x-goog-authenticated-user-email",
            "x-amzn-oidc-data",
            "x-consumer-username",
            "x-credential-identifier",
            "ssl-client-cert",
            "x-ssl-client-dn",
            "client-cert",
            "true-client-ip",
            "x-amz-copy-source",
            "docker-content-digest",
            "expires",
            "X-Ours",
        ] {
            let found = read(name);
            assert!(found.as_ref().is_err_and(|e| e.contains("serve.yaml:1")), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_login_goes_to_another_machine_with_tls_alone() {
        let read = |upstream: &str| {
            let node = Node::parse("serve.yaml", upstream).unwrap();
            let mut problems = Problems::new();
            let read = super::upstream(&node, &mut problems);
            problems.finish(read).map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())
        };
        for url in [
            "https://store.internal",
            "http://127.0.0.1:5000",
            "http://[::1]:5000",
            "http://[::1]",
            "http://localhost:5000",
        ] {
            assert!(read(&format!("{{ url: \"{url}\", credentials: login }}")).is_ok(), "{url}");
        }
        for url in [
            "http://store.internal",
            "http://10.0.0.1:5000",
            "http://127.0.0.1.example",
            "http://localhost.example:5000",
            "http://[::2]:5000",
            "http://0.0.0.0:5000",
        ] {
            let found = read(&format!("{{ url: \"{url}\", credentials: login }}"));
            assert!(found.as_ref().is_err_and(|e| e.contains("a login goes there")), "{url}: {found:?}");
            assert!(read(&format!("{{ url: \"{url}\" }}")).is_ok(), "{url} sees no login");
        }
    }
}
