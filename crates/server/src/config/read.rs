//! From YAML to a configuration, all problems at once.

use std::path::PathBuf;

use attest::LoadError;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};
use jsonwebtoken::Algorithm;

use super::{Builds, CertificateName, Certificates, Config, Issuer, Keys, QueueLimits, Repository};
use crate::fields::{address, key_pair, list, path, size, text};
use crate::identity::Identity;

const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];
const KNOWN: [&str; 10] = [
    "listen",
    "tls",
    "certificates",
    "issuers",
    "repositories",
    "state",
    "store",
    "signer",
    "builds",
    "queue",
];

pub(super) fn config(node: &Node, problems: &mut Problems) -> Option<Config> {
    let fields = Fields::read(node, "a service's configuration", &KNOWN, problems)?;
    let listen = address(&fields, problems);
    let tls = fields.required("tls", problems).and_then(|n| key_pair(n, problems));
    let certificates = fields.optional("certificates").and_then(|n| certificates(n, problems));
    let issuers = list(&fields, "issuers", problems, issuer);
    if certificates.is_none() && fields.optional("certificates").is_none() && issuers.is_empty() {
        problems.push(
            LoadError::new(&node.place, "nobody can come in")
                .wanted("`certificates`, `issuers`, or both")
                .fix("add `certificates: { ca: FILE, identity: uri }`"),
        );
    }
    fields.required("repositories", problems);
    let repositories = list(&fields, "repositories", problems, repository);
    for (index, repository) in repositories.iter().enumerate() {
        if repositories.iter().take(index).any(|other| other.url == repository.url) {
            let message = format!("the repository {} stands twice", repository.url);
            problems.push(LoadError::new(&node.place, &message).fix("merge the two entries"));
        }
    }
    let (state, store) = (path(&fields, "state", problems), path(&fields, "store", problems));
    let signer = path(&fields, "signer", problems);
    let builds = builds(fields.optional("builds"), problems);
    let queue = queue(fields.optional("queue"), problems);
    Some(Config {
        listen: listen?,
        tls: tls?,
        certificates,
        issuers,
        repositories,
        state: state?,
        store: store?,
        signer: signer?,
        builds: builds?,
        queue: queue?,
    })
}

fn certificates(node: &Node, problems: &mut Problems) -> Option<Certificates> {
    let fields = Fields::read(node, "`certificates`", &["ca", "identity"], problems)?;
    let ca = path(&fields, "ca", problems);
    let node = fields.required("identity", problems)?;
    let identity = match problems.keep(node.string())? {
        "uri" => CertificateName::Uri,
        "email" => CertificateName::Email,
        "common-name" => CertificateName::CommonName,
        _ => {
            problems.push(node.mismatch("uri, email or common-name"));
            return None;
        }
    };
    Some(Certificates { ca: ca?, identity })
}

pub(crate) fn issuer(node: &Node, problems: &mut Problems) -> Option<Issuer> {
    let known = ["issuer", "audience", "algorithm", "keys", "identity", "claims"];
    let fields = Fields::read(node, "an issuer", &known, problems)?;
    let (issuer, audience) = (text(&fields, "issuer", problems), text(&fields, "audience", problems));
    let algorithm = fields.required("algorithm", problems).and_then(|n| algorithm(n, problems));
    let keys = fields.required("keys", problems).and_then(|n| keys(n, problems));
    let identity = text(&fields, "identity", problems);
    let mut claims = Vec::new();
    if let Some(node) = fields.optional("claims") {
        for (name, _, value) in problems.keep(node.entries())? {
            claims.push((name.to_owned(), problems.keep(value.string())?.to_owned()));
        }
    }
    Some(Issuer {
        issuer: issuer?,
        audience: audience?,
        algorithm: algorithm?,
        keys: keys?,
        identity: identity?,
        claims,
    })
}

fn algorithm(node: &Node, problems: &mut Problems) -> Option<Algorithm> {
    let name = problems.keep(node.string())?;
    let found = ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, a)| *a);
    if found.is_none() {
        let names: Vec<&str> = ALGORITHMS.iter().map(|(n, _)| *n).collect();
        problems.push(
            node.mismatch(&format!("one of {}", names.join(", ")))
                .fix("write the algorithm of the issuer's keys; shared secrets are not accepted"),
        );
    }
    found
}

fn keys(node: &Node, problems: &mut Problems) -> Option<Keys> {
    let fields = Fields::read(node, "the keys of an issuer", &["file", "url", "ca"], problems)?;
    match (fields.optional("file"), fields.optional("url")) {
        (Some(file), None) => Some(Keys::File(problems.keep(file.string())?.into())),
        (None, Some(url)) => {
            let text = problems.keep(url.string())?;
            if !text.starts_with("https://") {
                problems.push(url.mismatch("an https:// address"));
                return None;
            }
            let ca = fields.optional("ca").and_then(|n| problems.keep(n.string())).map(PathBuf::from);
            Some(Keys::Url { url: text.to_owned(), ca })
        }
        _ => {
            problems.push(
                node.mismatch("either `file` or `url`").fix("write keys: { file: jwks.json }, or { url: … }"),
            );
            None
        }
    }
}

fn repository(node: &Node, problems: &mut Problems) -> Option<Repository> {
    let known = ["url", "protected", "refs", "may-build", "may-read"];
    let fields = Fields::read(node, "a repository", &known, problems)?;
    let (url, protected) = (text(&fields, "url", problems), text(&fields, "protected", problems));
    let refs = fields.required("refs", problems).and_then(|n| problems.keep(n.strings()));
    for (pattern, place) in refs.iter().flatten() {
        let stars = pattern.matches('*').count();
        if stars > 1 || (stars == 1 && !pattern.ends_with('*')) {
            let error = LoadError::new(place, &format!("`{pattern}` is no ref and no start of one"));
            problems.push(error.fix("a `*` may stand at the end only, as in release/*"));
        }
    }
    fields.required("may-build", problems);
    let may_build = list(&fields, "may-build", problems, identity);
    let may_read = list(&fields, "may-read", problems, identity);
    let refs = refs?.into_iter().map(|(pattern, _)| pattern).collect();
    Some(Repository { url: url?, protected: protected?, refs, may_build, may_read })
}

fn identity(node: &Node, problems: &mut Problems) -> Option<Identity> {
    let fields = Fields::read(node, "an identity", &["certificate", "issuer", "identity"], problems)?;
    if let Some(name) = fields.optional("certificate") {
        for key in ["issuer", "identity"] {
            if let Some(other) = fields.optional(key) {
                problems.push(other.mismatch("`certificate` alone, or `issuer` and `identity`"));
            }
        }
        return Some(Identity::Certificate(problems.keep(name.string())?.to_owned()));
    }
    let (issuer, identity) = (text(&fields, "issuer", problems), text(&fields, "identity", problems));
    Some(Identity::Token { issuer: issuer?, identity: identity? })
}

fn builds(node: Option<&Node>, problems: &mut Problems) -> Option<Builds> {
    let mut builds = Builds {
        at_once: 1,
        sandbox: None,
        canary: Vec::new(),
        retention: None,
        trust_root: None,
        hosts: Vec::new(),
        mirrors: Vec::new(),
        drain: Span::seconds(60),
        time: Span::seconds(2 * 3600),
        log: 64 << 20,
        keep: Span::seconds(30 * 86_400),
    };
    let Some(node) = node else { return Some(builds) };
    let known = [
        "at-once",
        "sandbox",
        "canary",
        "retention",
        "trust-root",
        "allow-hosts",
        "mirrors",
        "drain",
        "time",
        "log",
        "keep",
    ];
    let fields = Fields::read(node, "`builds`", &known, problems)?;
    if let Some(node) = fields.optional("at-once") {
        builds.at_once = usize::try_from(problems.keep(node.number(1, 1024))?).ok()?;
    }
    sandbox_and_inputs(&fields, &mut builds, problems)?;
    if let Some(node) = fields.optional("canary") {
        let words = problems.keep(node.list())?.iter().map(|w| problems.keep(w.string()).map(str::to_owned));
        builds.canary = words.collect::<Option<_>>()?;
    }
    for (key, span) in [("drain", &mut builds.drain), ("time", &mut builds.time), ("keep", &mut builds.keep)]
    {
        if let Some(node) = fields.optional(key) {
            let parsed = Span::parse(problems.keep(node.string())?);
            *span = problems.keep(parsed.ok_or_else(|| node.mismatch("a span of time, as in 10m")))?;
        }
    }
    if let Some(node) = fields.optional("log") {
        let parsed = size(problems.keep(node.string())?);
        builds.log = problems.keep(parsed.ok_or_else(|| node.mismatch("a size, as in 64MiB")))?;
    }
    Some(builds)
}

/// What is handed on to each build as it stands.
fn sandbox_and_inputs(fields: &Fields<'_>, builds: &mut Builds, problems: &mut Problems) -> Option<()> {
    if let Some(node) = fields.optional("sandbox") {
        let name = problems.keep(node.string())?;
        if !matches!(name, "bubblewrap" | "gvisor") {
            problems.push(node.mismatch("bubblewrap or gvisor"));
        }
        builds.sandbox = Some(name.to_owned());
    }
    if let Some(node) = fields.optional("retention") {
        let parsed = Span::parse(problems.keep(node.string())?);
        builds.retention =
            Some(problems.keep(parsed.ok_or_else(|| node.mismatch("a span of time, as in 400d")))?);
    }
    if let Some(node) = fields.optional("trust-root") {
        builds.trust_root = Some(problems.keep(node.string())?.into());
    }
    if let Some(node) = fields.optional("allow-hosts") {
        builds.hosts = problems.keep(node.strings())?.into_iter().map(|(host, _)| host).collect();
    }
    if let Some(node) = fields.optional("mirrors") {
        for (from, _, to) in problems.keep(node.entries())? {
            builds.mirrors.push((from.to_owned(), problems.keep(to.string())?.to_owned()));
        }
    }
    Some(())
}

fn queue(node: Option<&Node>, problems: &mut Problems) -> Option<QueueLimits> {
    let mut limits = QueueLimits { waiting: 200, waiting_each: 20 };
    let Some(node) = node else { return Some(limits) };
    let fields = Fields::read(node, "`queue`", &["waiting", "waiting-each"], problems)?;
    if let Some(node) = fields.optional("waiting") {
        limits.waiting = problems.keep(node.number(1, 1_000_000))?;
    }
    if let Some(node) = fields.optional("waiting-each") {
        limits.waiting_each = problems.keep(node.number(1, 1_000_000))?;
    }
    Some(limits)
}
