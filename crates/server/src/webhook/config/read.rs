//! From YAML to a configuration, all problems at once.

use std::path::{Path, PathBuf};

use attest::LoadError;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};

use kubernetes::Mapping;
use tlog::Level;

use super::after;
use super::governance::governance;
use super::registries::registries;
use super::roles::{self, Roles};
use super::signing::signing;
use super::{After, Alarms, Api, Clients, Config, Decisions, Log, Summaries, Webhook};
use crate::fields::{address, key_pair, list, number, path, size, span, text, words};
use crate::proxy;

const KNOWN: [&str; 19] = [
    "book",
    "trust-root",
    "guardrails",
    "governance",
    "log",
    "evidence",
    "registries",
    "state",
    "cache",
    "reload",
    "metrics",
    "traces",
    "attach",
    "summaries",
    "alarms",
    "webhook",
    "proxies",
    "decisions",
    "signing",
];
/// Beside those of the mapping.
const WEBHOOK: [&str; 9] =
    ["listen", "tls", "clients", "anonymous", "concurrency", "body", "drain", "api", "secret-key"];
/// What makes a choke point without Kubernetes.
const OTHERS: [&str; 3] = ["decisions", "proxies", "signing"];
const MAX_BODY: u64 = 64 << 20;
const CACHE: u64 = 64 << 20;
const SPOOL: u64 = 64 << 20;
const SPOOLS: std::ops::RangeInclusive<u64> = 16 << 20..=64 << 30;
const HOUR: Span = Span::seconds(3600);

pub(super) fn config(node: &Node, problems: &mut Problems) -> Option<Config> {
    let known: Vec<&str> = KNOWN.into_iter().chain(after::KEYS).collect();
    let fields = Fields::read(node, "a choke point's configuration", &known, problems)?;
    let (book, trust_root) = (path(&fields, "book", problems), path(&fields, "trust-root", problems));
    let guardrails = fields.optional("guardrails").map(|n| problems.keep(n.string()).map(Into::into));
    let governance = fields.optional("governance").map(|n| governance(n, problems));
    let log = fields.required("log", problems).and_then(|n| log(n, problems));
    let (evidence, state) = (path(&fields, "evidence", problems), path(&fields, "state", problems));
    let registries = fields.optional("registries").map_or(Some(Vec::new()), |n| registries(n, problems));
    let cache = fields.optional("cache").map_or(Some(CACHE), |node| cache(node, problems));
    let reload = short(&fields, "reload", Span::seconds(10), problems);
    let metrics = fields.required("metrics", problems).and_then(|node| metrics(node, problems));
    let traces = fields.optional("traces").map(|n| traces(n, problems));
    let attach = fields.optional("attach").map_or(Some(Vec::new()), |node| attach(node, problems));
    let summaries = fields.optional("summaries").map(|n| Summaries::read(n, problems));
    let alarms =
        fields.optional("alarms").map_or_else(|| Some(Alarms::default()), |n| Alarms::read(n, problems));
    let decisions = fields.optional("decisions").map(|n| Decisions::read(n, problems));
    let decisions = decisions.map_or(Some(None), |decisions| decisions.map(Some));
    let signing = signing(&fields, problems);
    let has_others = OTHERS.iter().any(|key| fields.optional(key).is_some());
    let webhook = fields.required("webhook", problems).and_then(|n| webhook(n, has_others, problems));
    let proxies = list(&fields, "proxies", problems, proxy::Config::read);
    if let Some(error) = unmapped(&fields, &proxies, webhook.as_ref()) {
        problems.push(error);
    }
    let has_api = webhook.as_ref().is_some_and(|webhook| webhook.api.is_some());
    let after = After::read(&fields, has_api, problems);
    if let Some(error) = unwitnessed(&fields, after.as_ref(), log.as_ref()) {
        problems.push(error);
    }
    let (attach, webhook, decisions, alarms) = (attach?, webhook?, decisions?, alarms?);
    let asking = decisions.iter().map(|decisions| &decisions.names);
    let asking: Vec<String> = asking.chain(signing.iter().map(|key| &key.names)).flatten().cloned().collect();
    // who signs asks too
    let asking = (decisions.is_some() || !signing.is_empty()).then_some(asking.as_slice());
    let close = &alarms.close;
    roles::one_each(node, &Roles { webhook: &webhook, attach: &attach, asking, close }, problems);
    Some(Config {
        book: book?,
        trust_root: trust_root?,
        guardrails: guardrails.map_or(Some(None), |file| file.map(Some))?,
        governance: governance.map_or(Some(None), |governance| governance.map(Some))?,
        log: log?,
        evidence: evidence?,
        state: state?,
        registries: registries?,
        cache: cache?,
        reload: reload?,
        metrics: metrics?,
        traces: traces.map_or(Some(None), |endpoint| endpoint.map(Some))?,
        attach,
        summaries: summaries.map_or(Some(None), |summaries| summaries.map(Some))?,
        alarms,
        after: after?,
        webhook,
        decisions,
        signing,
        proxies,
        file: PathBuf::new(),
        text: String::new(),
    })
}

fn metrics(node: &Node, problems: &mut Problems) -> Option<String> {
    address(&Fields::read(node, "`metrics`", &["listen"], problems)?, problems)
}

fn attach(node: &Node, problems: &mut Problems) -> Option<Vec<String>> {
    words(&Fields::read(node, "`attach`", &["names"], problems)?, "names", problems)
}

fn cache(node: &Node, problems: &mut Problems) -> Option<u64> {
    let text = problems.keep(node.string())?;
    let parsed = if text == "none" { Some(0) } else { size(text) };
    problems.keep(parsed.ok_or_else(|| node.mismatch("a size, as in 64MiB, or none")))
}

/// A proxy for a cluster of which nothing is claimed.
fn unmapped(fields: &Fields<'_>, proxies: &[proxy::Config], webhook: Option<&Webhook>) -> Option<LoadError> {
    let is_mapped = webhook.is_none_or(|webhook| webhook.is_kubernetes);
    let is_asked = proxies.iter().any(|proxy| proxy.kind == "kubernetes");
    let node = fields.optional("proxies").filter(|_| is_asked && !is_mapped)?;
    let error = LoadError::new(&node.place, "a proxy for a cluster of which no namespace is any environment");
    Some(error.fix("say in `webhook: environments` which namespace is which"))
}

/// A level that nobody could ever reach.
fn unwitnessed(fields: &Fields<'_>, after: Option<&After>, log: Option<&Log>) -> Option<LoadError> {
    let is_asked = log.is_some_and(|log| log.level == Level::Witnessed);
    let is_witnessed = after.is_none_or(|after| after.witnesses.is_some());
    let node = fields.optional("log").filter(|_| is_asked && !is_witnessed)?;
    let error = LoadError::new(&node.place, "nothing would ever be admitted: no witness is asked");
    Some(
        error
            .wanted("`witnesses` beside `level: witnessed`")
            .fix("name the witnesses, or lower the level: `level: sequenced`"),
    )
}

fn log(node: &Node, problems: &mut Problems) -> Option<Log> {
    let known = ["path", "origin", "key", "writer", "level", "spool", "postgresql"];
    let fields = Fields::read(node, "a log", &known, problems)?;
    let (folder, key) = (path(&fields, "path", problems), path(&fields, "key", problems));
    let origin = text(&fields, "origin", problems);
    let writer = fields.optional("writer").map_or(Some("local".to_owned()), |node| {
        let name = problems.keep(node.string())?.to_owned();
        let is_name = (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        problems.keep(is_name.then_some(name).ok_or_else(|| node.mismatch("a name of 1 to 100 characters")))
    });
    let level = fields.optional("level").map_or(Some(Level::Local), |node| {
        let found = Level::by_name(problems.keep(node.string())?);
        problems.keep(found.ok_or_else(|| node.mismatch("local, quorum, sequenced or witnessed")))
    });
    let spool = fields.optional("spool").map_or(Some(SPOOL), |node| {
        let found = size(problems.keep(node.string())?).filter(|bytes| SPOOLS.contains(bytes));
        problems.keep(found.ok_or_else(|| node.mismatch("a size from 16MiB to 64GiB, as in 64MiB")))
    });
    let postgresql = fields.optional("postgresql").map(|n| shared(n, &fields, problems));
    Some(Log {
        path: folder?,
        origin: origin?,
        key: key?,
        writer: writer?,
        level: level?,
        spool: spool?,
        postgresql: postgresql.map_or(Some(None), |shared| shared.map(Some))?,
    })
}

/// A log that several replicas share. The choke point reads its tree, so it must have it.
fn shared(node: &Node, log: &Fields<'_>, problems: &mut Problems) -> Option<replicas::Config> {
    let config = replicas::Config::read(node, problems)?;
    if config.tiles.is_none() {
        problems.push(
            LoadError::new(&node.place, "a shared log without the folder of its tree")
                .wanted("`tiles: FOLDER`")
                .fix("name the folder that all replicas mount: what was decided is read there"),
        );
    }
    let path = log.optional("path").and_then(|node| node.string().ok());
    if let Some(tiles) =
        config.tiles.as_deref().filter(|tiles| path.is_some_and(|path| **tiles == *Path::new(path)))
    {
        problems.push(
            LoadError::new(&node.place, "one folder for the spool and the tree")
                .wanted("`log: path` for this replica's spool, and `tiles` for the tree that all share")
                .found(&tiles.display().to_string())
                .fix("give the spool a folder of its own, on this replica's disk"),
        );
    }
    // receipts name it, and are split at blanks and strokes
    let is_word = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if let Some(node) = log.optional("writer").filter(|node| node.string().is_ok_and(|name| !is_word(name))) {
        problems.push(node.mismatch("a name of letters, digits, -, _ and ., where several share the log"));
    }
    if log.optional("writer").is_none() {
        problems.push(
            LoadError::new(&node.place, "a shared log without this writer's name")
                .wanted("`writer: NAME` in `log`, another one in every replica")
                .fix("name it, as the replica is named: portcullis-0"),
        );
    }
    Some(config)
}

fn traces(node: &Node, problems: &mut Problems) -> Option<String> {
    let fields = Fields::read(node, "`traces`", &["endpoint"], problems)?;
    let node = fields.required("endpoint", problems)?;
    let endpoint = problems.keep(node.string())?;
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        problems.push(node.mismatch("an http:// or https:// address of a collector's OTLP over HTTP"));
        return None;
    }
    Some(endpoint.trim_end_matches('/').to_owned())
}

/// A span of at most an hour: it is a rhythm, or a wait, and not a policy.
fn short(fields: &Fields<'_>, key: &str, otherwise: Span, problems: &mut Problems) -> Option<Span> {
    let span = span(fields, key, otherwise, problems)?;
    if span > HOUR {
        let node = fields.optional(key)?;
        problems.push(node.mismatch("a span of at most 1h"));
        return None;
    }
    Some(span)
}

fn webhook(node: &Node, has_others: bool, problems: &mut Problems) -> Option<Webhook> {
    let known: Vec<&str> = WEBHOOK.into_iter().chain(kubernetes::mapping::KEYS).collect();
    let fields = Fields::read(node, "`webhook`", &known, problems)?;
    let is_kubernetes = fields.optional("environments").is_some() || !has_others;
    let listen = address(&fields, problems);
    let tls = fields.required("tls", problems).and_then(|n| key_pair(n, problems));
    let clients = clients(node, &fields, is_kubernetes, problems);
    let concurrency = number(&fields, "concurrency", (1, 100_000, 256), problems);
    let body = body(&fields, problems);
    let drain = short(&fields, "drain", Span::seconds(5), problems);
    let api = fields.optional("api").map(|n| api(n, problems));
    let secret_key = fields.optional("secret-key").map(|n| problems.keep(n.string()).map(Into::into));
    let mapping = if is_kubernetes {
        fields.required("environments", problems);
        Mapping::read(&fields, problems)
    } else {
        without_kubernetes(&fields, problems);
        Some(Mapping::new(""))
    };
    Some(Webhook {
        listen: listen?,
        tls: tls?,
        clients: clients?,
        is_kubernetes,
        concurrency: concurrency?,
        body: body?,
        drain: drain?,
        api: api.map_or(Some(None), |api| api.map(Some))?,
        secret_key: secret_key.map_or(Some(None), |file| file.map(Some))?,
        mapping: mapping?,
    })
}

/// What is said of a cluster while none is asked about would be read by nobody.
fn without_kubernetes(fields: &Fields<'_>, problems: &mut Problems) {
    for key in ["api", "secret-key", "anonymous"].iter().chain(&kubernetes::mapping::KEYS) {
        if let Some(node) = fields.optional(key) {
            let error =
                LoadError::new(&node.place, &format!("`{key}` is about Kubernetes, and no API server asks"));
            problems.push(error.wanted("`environments` beside it").fix("add `environments`, or remove it"));
        }
    }
}

/// Nobody may ask by accident: either names, or the word for it.
fn clients(
    node: &Node,
    fields: &Fields<'_>,
    is_kubernetes: bool,
    problems: &mut Problems,
) -> Option<Option<Clients>> {
    let anonymous = fields.optional("anonymous").map(|n| problems.keep(n.boolean()));
    let is_anonymous = anonymous.map_or(Some(false), |flag| flag)?;
    let nobody = LoadError::new(&node.place, "nobody may ask")
        .wanted("`clients: { ca: FILE, names: [NAME] }`: the API server's client certificate")
        .fix("name the API server; or say `anonymous: true`, where only it can reach this address");
    match (fields.optional("clients"), is_anonymous) {
        (Some(clients), true) => {
            problems.push(clients.mismatch("not `clients` and `anonymous: true` together"));
            None
        }
        (None, true) => Some(None),
        (None, false) if !is_kubernetes => Some(None),
        (None, false) => {
            problems.push(nobody);
            None
        }
        (Some(clients), false) => {
            let fields = Fields::read(clients, "`clients`", &["ca", "names"], problems)?;
            if is_kubernetes {
                fields.required("names", problems);
            } else if let Some(names) = fields.optional("names") {
                problems.push(names.mismatch("no names of an API server: without `environments` none asks"));
            }
            let (ca, names) = (path(&fields, "ca", problems), words(&fields, "names", problems)?);
            Some(Some(Clients { ca: ca?, names }))
        }
    }
}

fn body(fields: &Fields<'_>, problems: &mut Problems) -> Option<u64> {
    let Some(node) = fields.optional("body") else { return Some(8 << 20) };
    let found = size(problems.keep(node.string())?).filter(|bytes| *bytes <= MAX_BODY);
    problems.keep(found.ok_or_else(|| node.mismatch("a size of at most 64MiB, as in 8MiB")))
}

fn api(node: &Node, problems: &mut Problems) -> Option<Api> {
    let fields = Fields::read(node, "`api`", &["kubeconfig", "in-cluster"], problems)?;
    match (fields.optional("kubeconfig"), fields.optional("in-cluster")) {
        (Some(file), None) => Some(Api::Kubeconfig(problems.keep(file.string())?.into())),
        (None, Some(flag)) if problems.keep(flag.boolean())? => Some(Api::InCluster),
        _ => {
            problems.push(node.mismatch("either `kubeconfig: FILE` or `in-cluster: true`"));
            None
        }
    }
}
