//! T12, the choke point is bypassed: what runs, and what was written, is joined with what was decided, and what nobody
//! decided is named.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attest::{Digest, Object};
use inventory::{Inventory, Observation};

use super::outcome::{Control, Seen, Trial, Wanted};
use super::stage::{ApiServer, Stage, Webhook, digest, word};
use super::t04;
use crate::failure::Failure;
use crate::{input, keys};

const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: drill
clusters: [{ name: drill, cluster: { server: \"https://127.0.0.1:1\" } }]
contexts: [{ name: drill, context: { cluster: drill, user: drill } }]
users: [{ name: drill, user: {} }]
";
/// How the configuration of `portcullis init` becomes one that watches an audit log.
const WATCHED: [(&str, &str); 5] = [
    ("127.0.0.1:8443", "127.0.0.1:0"),
    ("127.0.0.1:9464", "127.0.0.1:0"),
    ("log.key }", "log.key, spool: 16MiB }"),
    ("  # api: { kubeconfig: kubeconfig }", "  api: { kubeconfig: kubeconfig }"),
    ("# watch: { every: 30s }", "watch: { every: 1s, grace: 1s, audit-log: audit.jsonl }"),
];
/// How long an alarm may take; and how long it is waited for where none should come.
const WITHIN: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(5);
const NAMESPACE: &str = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}"#;
const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"NAME"},"spec":{"containers":[{"name":"web","image":"registry.example/evil"}]}}"#;
/// Nobody decided it.
const EVIL: &str = "evil";

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let shop = Shop::open(stage)?;
    let (dir, now) = (stage.fresh("audit")?, stage.now()?);
    let audit = |names: &[&str]| shop.audit_log(now, &dir, names);
    let joined = |file: &Path, more: &[&str]| {
        let (file, log) = (word(file), word(&shop.log));
        let words = ["log", "audit", "--audit-log", &file, "--log", &log];
        Ok::<_, Failure>(stage.portcullis(&[&words[..], more].concat())?.seen("nobody of ours"))
    };
    let both = audit(&["web", EVIL])?;
    let mut trials = vec![
        Trial::Attack {
            what: "a Pod runs that nobody decided",
            wanted: Wanted { reasons: &["nobody decided"], basis: "exit 0" },
            seen: shop.running(stage, true)?,
            control: Control { off: "no report of what runs", seen: shop.running(stage, false)? },
        },
        Trial::Attack {
            what: "a Pod is written while the webhook is out of the way",
            wanted: Wanted::found(&["nobody of ours"]),
            seen: naming(joined(&both, &[])?, EVIL),
            control: Control { off: "the namespace excepted", seen: joined(&both, &["--except", "shop"])? },
        },
        Trial::Attack {
            what: "the same, and the running choke point raises the alarm",
            wanted: Wanted { reasons: &["nobody of ours was asked"], basis: "alarm" },
            seen: naming(alarm(stage, None, &WATCHED, WITHIN)?, EVIL),
            control: Control {
                off: "no `watch` in the configuration",
                seen: alarm(stage, None, &WATCHED[..4], SILENCE)?,
            },
        },
        Trial::Honest {
            what: "what was decided joins, and nothing is said",
            seen: joined(&audit(&["web"])?, &[])?,
        },
    ];
    trials.extend(in_a_cluster(stage)?);
    Ok(trials)
}

/// A real API server, in which no webhook is registered.
fn in_a_cluster(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let what = "a real API server has no webhook, and a Pod is created in it";
    stage.with_api_server(&[what], |server| {
        server.create("/api/v1/namespaces", NAMESPACE)?;
        Ok(vec![Trial::Attack {
            what,
            wanted: Wanted { reasons: &["nobody of ours was asked"], basis: "alarm" },
            seen: naming(alarm(stage, Some((server, EVIL)), &WATCHED, WITHIN)?, EVIL),
            control: Control {
                off: "no `watch` in the configuration",
                seen: alarm(stage, Some((server, "evil-again")), &WATCHED[..4], SILENCE)?,
            },
        }])
    })
}

/// Whoever is told must read what it is about.
fn naming(mut seen: Seen, name: &str) -> Seen {
    if !seen.message.contains(name) {
        seen.left.push(format!("nobody is told that it is {name}"));
    }
    seen
}

/// A choke point that decided about one workload, and what the API server knows of that.
struct Shop {
    log: PathBuf,
    digest: Digest,
    receipt: Object,
    _webhook: Webhook,
}

impl Shop {
    fn open(stage: &Stage<'_>) -> Result<Self, Failure> {
        let webhook = t04::choke_point(stage, ("", ""))?;
        let digest = digest(&stage.honest()?.artifact)?;
        let web = t04::DEPLOYMENT.replace("DIGEST", &digest.to_string()).replace("ARGS", "");
        t04::attach(stage, &webhook, &web)?;
        let (seen, receipt) = webhook.write_audited(&web, None)?;
        if !seen.is_let_through {
            return Err(Failure::new("the drill's own workload is refused").line("found", &seen.message));
        }
        Ok(Self { log: webhook.log(), digest, receipt, _webhook: webhook })
    }

    /// The API server's audit log: what was written, and what the webhook answered where it was asked.
    fn audit_log(&self, at: jiff::Timestamp, dir: &Path, names: &[&str]) -> Result<PathBuf, Failure> {
        let lines: String =
            names.iter().map(|name| event(name, (*name != EVIL).then_some(&self.receipt), at)).collect();
        let file = dir.join(format!("{}.jsonl", names.join("-")));
        keys::write(&file, &lines)?;
        Ok(file)
    }

    /// What `portcullis running` says where the cluster reports, and where it does not.
    fn running(&self, stage: &Stage<'_>, is_reported: bool) -> Result<Seen, Failure> {
        let dir = stage.fresh("inventory")?;
        if is_reported {
            let now = stage.now()?;
            let one = |name: &str, digest: Digest| Observation {
                cluster: "drill".to_owned(),
                instance: format!("{name}/web"),
                environment: "drill/shop".to_owned(),
                workload: format!("drill/shop/Deployment/{name}"),
                image: format!("registry.example/shop@{digest}"),
                digest: Some(digest),
                node: None,
                since: now,
            };
            let all = [one("web", self.digest.clone()), one(EVIL, Digest::sha256(b"evil"))];
            report(&dir, &all, now)?;
        }
        let (log, folder) = (word(&self.log), word(&dir));
        let mut seen =
            stage.portcullis(&["running", "--log", &log, "--inventory", &folder])?.seen("nobody decided");
        seen.is_let_through = !seen.message.contains(EVIL);
        Ok(seen)
    }
}

/// As the watch writes it down.
fn report(dir: &Path, all: &[Observation], now: jiff::Timestamp) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new("the inventory cannot be written").line("found", &e.to_string())
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(&e))?;
    runtime.block_on(async {
        let (inventory, _) = Inventory::open(dir).await.map_err(|e| failed(&e))?;
        let written = inventory.observed_all("drill", all, now).await.map_err(|e| failed(&e));
        inventory.close().await;
        written
    })
}

/// An event of a write that went through, with what a webhook answered.
fn event(name: &str, receipt: Option<&Object>, at: jiff::Timestamp) -> String {
    let mut annotations = Object::new();
    for (key, value) in receipt.into_iter().flat_map(Object::iter) {
        annotations.set(&format!("fail-closed.portcullis.dev/{key}"), value.clone());
    }
    let time = at.to_string();
    let place = Object::new()
        .with("resource", "deployments")
        .with("namespace", "shop")
        .with("name", name)
        .with("apiGroup", "apps")
        .with("apiVersion", "v1");
    let event = Object::new()
        .with("kind", "Event")
        .with("apiVersion", "audit.k8s.io/v1")
        .with("auditID", name)
        .with("stage", "ResponseComplete")
        .with("requestURI", "/")
        .with("verb", "create")
        .with("user", Object::new().with("username", "mallory"))
        .with("sourceIPs", vec!["10.0.0.9".to_owned()])
        .with("objectRef", place)
        .with("responseStatus", Object::new().with("code", 201_i64))
        .with("requestReceivedTimestamp", time.as_str())
        .with("stageTimestamp", time)
        .with("annotations", annotations);
    format!("{event}\n")
}

/// What a running `portcullis serve` tells its alarms' file of a write that went past it: of a Pod in a real API server, or
/// of one that the drill says there is.
fn alarm(
    stage: &Stage<'_>,
    real: Option<(&ApiServer, &str)>,
    words: &[(&str, &str)],
    within: Duration,
) -> Result<Seen, Failure> {
    let dir = stage.fresh("serving")?.join("deploy");
    stage.portcullis(&["init", &word(&dir)])?.worked()?;
    let file = dir.join("serve.yaml");
    let mut text = input::text("configuration", &file)?;
    for (from, to) in words {
        let changed = text.replacen(from, to, 1);
        if changed == text {
            return Err(Failure::new(&format!("`portcullis init` does not write `{from}`")));
        }
        text = changed;
    }
    if let Some((server, _)) = real {
        text = text
            .replace("kubeconfig: kubeconfig", &format!("kubeconfig: \"{}\"", word(&server.kubeconfig())));
        text =
            text.replace("audit-log: audit.jsonl", &format!("audit-log: \"{}\"", word(&server.audit_log())));
    }
    keys::write(&file, &text)?;
    keys::write(&dir.join("kubeconfig"), KUBECONFIG)?;
    keys::write(&dir.join("audit.jsonl"), "")?;
    let mut process = stage.start(&["serve", "--config", &word(&file)])?;
    process.event("listening")?;
    match real {
        Some((server, name)) => server.create("/api/v1/namespaces/shop/pods", &POD.replace("NAME", name))?,
        None => keys::write(&dir.join("audit.jsonl"), &event(EVIL, None, stage.now()?))?,
    }
    let began = Instant::now();
    while began.elapsed() < within {
        let alarms = std::fs::read_to_string(dir.join("alarms.jsonl")).unwrap_or_default();
        if let Some(line) = alarms.lines().find(|line| line.contains("nobody of ours was asked")) {
            let reasons = vec!["nobody of ours was asked".to_owned()];
            return Ok(Seen { reasons, basis: "alarm".to_owned(), message: told(line), ..Seen::default() });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(Seen { is_let_through: true, basis: "no alarm".to_owned(), ..Seen::default() })
}

/// The alarm as a person reads it; all of the line where it is none.
fn told(line: &str) -> String {
    let read = || {
        let json = attest::json::parse(line.as_bytes()).ok()?;
        let alarm = json.as_object().ok()?.object("alarm").ok()?.clone();
        let part = |name: &str| alarm.string(name).unwrap_or_default().to_owned();
        let lines = ["wanted", "found", "fix"].map(|name| format!("  {name:<9} {}\n", part(name)));
        Some(format!("{} alarm: {}\n{}", part("severity"), part("what"), lines.concat()))
    };
    read().unwrap_or_else(|| line.to_owned())
}
