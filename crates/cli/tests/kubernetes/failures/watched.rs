//! What runs and nobody decided, what runs and is something else, and what was written past the webhook: all of it named,
//! within seconds. There is no kubelet, so a test says what nodes would: by the status of a Pod.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attest::note::{Checkpoint, Note, NoteKey};
use attest::time::Span;
use attest::{Digest, Json};
use inventory::{Inventory, Observation};
use jiff::Timestamp;
use kubernetes::audit_event::AuditEvent;
use server::watch::{
    Asked, AuditJoin, Finding, FindingKind, Fleet, LogRecords, Read, Sink, Tail, Told, Watch, WatchConfig,
    start,
};
use server::webhook::Api;

use super::load::run;
use super::site::{Site, wait};
use crate::kubernetes::cluster::{Cluster, Person};
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::register::{Hook, register};
use crate::kubernetes::schema::at;
use crate::{images, tools};

const SOON: Span = Span::seconds(2);

/// Reads the log of a choke point into an inventory, whenever it is asked.
struct Followed {
    inventory: Arc<Inventory>,
    log: PathBuf,
    read: tokio::sync::Mutex<u64>,
}

impl Followed {
    async fn follow(&self) -> Result<(), String> {
        let text = std::fs::read_to_string(self.log.join("checkpoint")).map_err(|e| e.to_string())?;
        let checkpoint = Checkpoint::parse(Note::parse(&text).unwrap().text()).unwrap();
        let mut read = self.read.lock().await;
        if *read != checkpoint.size {
            let files = tlog::Files::new(&self.log);
            self.inventory.follow(&files, &checkpoint, &mut |_| {}).await.map_err(|e| e.to_string())?;
            *read = checkpoint.size;
        }
        Ok(())
    }
}

impl Fleet for Followed {
    type Error = String;

    async fn admitted(&self, asked: &Asked) -> Result<Option<u64>, String> {
        self.follow().await?;
        Fleet::admitted(&self.inventory, asked).await.map_err(|e| e.to_string())
    }

    async fn observed(&self, cluster: &str, all: &[Observation], at: Timestamp) -> Result<(), String> {
        Fleet::observed(&self.inventory, cluster, all, at).await.map_err(|e| e.to_string())
    }
}

struct Watched {
    watch: Watch,
    told: Arc<Mutex<Vec<Told>>>,
    inventory: Arc<Inventory>,
    runtime: tokio::runtime::Runtime,
}

pub const LISTER: &str = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"portcullis-watch"},"rules":[
{"apiGroups":[""],"resources":["pods"],"verbs":["list","watch"]}]}
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"portcullis-watch"},
"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"portcullis-watch"},
"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"portcullis"}]}"#;

fn mapping(site: &Site<'_>) -> kubernetes::Mapping {
    let text = site.webhook.folder.read("serve.yaml");
    kubernetes::manifests::Serve::parse("serve.yaml", &text).unwrap().mapping
}

fn config() -> WatchConfig {
    WatchConfig { every: SOON, grace: SOON, except: vec!["default".to_owned()], audit_log: None }
}

impl Watched {
    fn start(site: &Site<'_>) -> Self {
        site.cluster.prepare(&["apply", "-f", "-"], LISTER);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dir = site.webhook.folder.at("inventory");
        std::fs::create_dir_all(&dir).unwrap();
        let inventory = Arc::new(runtime.block_on(Inventory::open(&dir)).unwrap().0);
        let log = site.webhook.folder.at("log");
        let fleet = Followed { inventory: Arc::clone(&inventory), log, read: tokio::sync::Mutex::default() };
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let sink: Sink = Arc::new(move |one| {
            heard.lock().unwrap().push(one);
            Ok(())
        });
        let api = Api::Kubeconfig(site.cluster.folder.at("portcullis.yaml"));
        let watch = start(config(), api, mapping(site), fleet, sink, Arc::new(now)).unwrap();
        Self { watch, told, inventory, runtime }
    }

    /// What was raised about this and is not over.
    fn open(&self, kind: FindingKind, pod: &str) -> Option<Finding> {
        let told = self.told.lock().unwrap();
        let mut open = None;
        for one in told.iter() {
            match one {
                Told::Raised(f) if f.kind == kind && f.title.contains(pod) => open = Some(f.clone()),
                Told::Over(identity) if open.as_ref().is_some_and(|f| f.identity == *identity) => open = None,
                _ => {}
            }
        }
        open
    }

    fn wait_open(&self, kind: FindingKind, pod: &str) -> (Finding, Duration) {
        let took = wait(&format!("{} {pod}", kind.name()), || self.open(kind, pod).is_some());
        (self.open(kind, pod).unwrap(), took)
    }

    fn raised(&self, kind: FindingKind) -> usize {
        let told = self.told.lock().unwrap();
        told.iter().filter(|one| matches!(one, Told::Raised(f) if f.kind == kind)).count()
    }

    /// Every container behind a decision, and freshly so.
    fn wait_joined(&self, containers: usize) -> Duration {
        wait(&format!("{containers} containers are joined"), || {
            let status = self.watch.status();
            let all = (status.containers, status.joined, status.oldest_unjoined);
            all == (containers, containers, None) && status.complete.is_some() && status.failure.is_none()
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "a test's clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// What a node would report.
pub fn runs(site: &Site<'_>, pod: &str, image_id: &str) {
    let began = now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let status = format!(
        r#"{{"status":{{"phase":"Running","containerStatuses":[{{"name":"c0","image":"x","imageID":"{image_id}","ready":true,
"restartCount":0,"state":{{"running":{{"startedAt":"{began}"}}}}}}]}}}}"#
    );
    let namespace = site.namespace("shop");
    let args = ["patch", "pod", pod, "--subresource=status", "--type=merge", "-p", &status];
    let said = site.cluster.kubectl(Person::ClusterAdmin, &namespace, &args, "");
    assert_eq!(said.exit, 0, "{}", said.stderr);
}

fn text(finding: &Finding, key: &str) -> String {
    finding.details.string(key).unwrap_or_else(|e| panic!("{e}: {finding:?}")).to_owned()
}

#[test]
fn what_runs_and_nobody_decided_is_named_within_seconds() {
    let Some(cluster) = Cluster::start() else { return };
    let site = Site::start(&cluster, "watch", &[("shop", "prod/shop")]);
    let good = &images().good[0];
    assert_eq!(site.create("shop", &Spec::of(&[good]).pod("web")).exit, 0);
    runs(&site, "web", &good.reference);
    let mut count = 1;
    if cluster.has_controllers() {
        let deployment = Spec::of(&[&images().good[1]]).workload("Deployment", "front");
        assert_eq!(site.create("shop", &deployment).exit, 0);
        count += 1;
    }
    let watched = Watched::start(&site);
    eprintln!("{count} containers were joined after {:.2?}", watched.wait_joined(count));
    past_the_webhook(&site, &watched);
    other_digest(&site, &watched);
    assert_eq!(watched.raised(FindingKind::Undecided), 2, "{:?}", watched.told.lock().unwrap());
    audit_log(&site);
}

/// A cluster admin takes the webhook away for a moment (T12).
fn past_the_webhook(site: &Site<'_>, watched: &Watched) {
    let configuration = format!("watch-{}", site.hook());
    site.cluster.prepare(&["delete", "validatingwebhookconfiguration", &configuration], "");
    let admin = |args: &[&str], input: &str| {
        let said = site.cluster.kubectl(Person::ClusterAdmin, "watch-shop", args, input);
        assert_eq!(said.exit, 0, "{}", said.stderr);
    };
    let evil = Spec::of(&[&images().unsigned]).pod("evil");
    // until the API server has forgotten it
    wait("the webhook is gone", || {
        site.cluster.kubectl(Person::ClusterAdmin, "watch-shop", &["create", "-f", "-"], &evil).exit == 0
    });
    // an image that is admitted elsewhere, under a name that nobody decided
    admin(&["create", "-f", "-"], &Spec::of(&[&images().good[0]]).pod("copy"));
    let start = Instant::now();
    site.register(&site.webhook.url("validate"), |hook| hook);
    let (found, _) = watched.wait_open(FindingKind::Undecided, "watch-shop/evil");
    eprintln!("what nobody decided was named {:.2?} after it was made", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let digest = images().unsigned.digest.to_string();
    for (key, wanted) in [
        ("workload", "tests/watch-shop/Pod/evil"),
        ("pod", "evil"),
        ("container", "c0"),
        ("state", "waiting"),
        ("digest", &digest),
        ("image", &images().unsigned.reference),
    ] {
        assert_eq!(text(&found, key), wanted);
    }
    watched.wait_open(FindingKind::Undecided, "watch-shop/copy");
    runs(site, "evil", &images().unsigned.reference);
    let undecided = || {
        let next = async { watched.inventory.undecided().next().await };
        let live = watched.runtime.block_on(next).unwrap().unwrap_or_default();
        live.iter().any(|one| one.workload.as_deref() == Some("tests/watch-shop/Pod/evil"))
    };
    wait("the inventory has it, undecided", undecided);
    // it stands now, so an update is admitted: that decides nothing about what runs
    admin(&["label", "pod", "evil", "seen=yes"], "");
    runs(site, "evil", &images().unsigned.reference);
    std::thread::sleep(Duration::from_secs(5));
    assert!(watched.open(FindingKind::Undecided, "watch-shop/evil").is_some());
    let status = watched.watch.status();
    assert!(status.containers - status.joined == 2 && status.oldest_unjoined.is_some(), "{status:?}");
    admin(&["delete", "pod", "evil", "copy", "--grace-period=0", "--force"], "");
    wait("it is over", || watched.open(FindingKind::Undecided, "watch-shop/").is_none());
}

fn other_digest(site: &Site<'_>, watched: &Watched) {
    let other = Digest::sha256(b"another image");
    let id = format!("docker-pullable://registry.example/shop@{other}");
    runs(site, "web", &id);
    let (found, took) = watched.wait_open(FindingKind::DigestDiffers, "watch-shop/web");
    eprintln!("another digest was named after {took:.2?}: {}", found.title);
    assert_eq!(text(&found, "runs"), other.to_string());
    assert_eq!(text(&found, "digest"), images().good[0].digest.to_string());
    assert!(found.details.int("record").is_ok(), "{found:?}");
    // an image's configuration says nothing of its manifest; what was admitted is so no more than before
    runs(site, "web", &other.to_string());
    wait("it is over", || watched.open(FindingKind::DigestDiffers, "watch-shop/web").is_none());
}

/// The audit log names who did it; and everything else joins.
fn audit_log(site: &Site<'_>) {
    let log = site.webhook.folder.text("log");
    let (audit, config) = (site.cluster.folder.text("audit.jsonl"), site.webhook.folder.text("serve.yaml"));
    let mut args = vec!["--format", "json", "log", "audit", "--audit-log", &audit, "--log", &log];
    args.extend(["--config", &config, "--except", "default"]);
    let said = attest::json::parse(tools::expect(1, &args).as_bytes()).unwrap();
    let found = at(&said, &["findings"]).unwrap().as_array().unwrap();
    let name = |f: &Json, path: &[&str]| at(f, path).and_then(|t| t.as_str().ok()).unwrap_or("?").to_owned();
    let short: std::collections::BTreeSet<String> = found
        .iter()
        .map(|f| format!("{} {} {}", name(f, &["kind"]), name(f, &["user"]), name(f, &["object", "name"])))
        .collect();
    let root = Person::ClusterAdmin.name();
    let wanted: std::collections::BTreeSet<String> =
        ["copy", "evil"].map(|pod| format!("undecided-write {root} {pod}")).into();
    assert_eq!(short, wanted, "{found:?}");
    let counts = at(&said, &["counts"]).unwrap().as_object().unwrap();
    assert!(counts.int("joined").unwrap() >= 2 && counts.int("unreadable").unwrap() == 0, "{counts:?}");
    // the same records against another cluster's configuration are of another cluster
    let other = site.webhook.folder.write(
        "other.yaml",
        &site.webhook.folder.read("serve.yaml").replace("cluster: tests", "cluster: other"),
    );
    let mut args = vec!["log", "audit", "--audit-log", &audit, "--log", &log, "--config", &other];
    args.extend(["--except", "default"]);
    let said = tools::expect(1, &args);
    assert!(said.contains("record-differs") && said.contains("is of kubernetes/tests"), "{said}");
}

#[test]
fn what_went_on_without_an_answer_is_a_task_and_a_log_that_is_rotated_is_read_on() {
    let Some(cluster) = Cluster::start() else { return };
    let site = Site::start(&cluster, "open", &[("shop", "prod/shop")]);
    let kept = cluster.folder.at("position.json");
    let key = NoteKey::parse(&site.webhook.folder.read("log/log.vkey")).unwrap().0;
    let mut records = LogRecords::new(vec![(site.webhook.folder.at("log"), key)]);
    let mut join = AuditJoin::new(mapping(&site), config());
    let mut read = || {
        // as after a restart: all that is known is in the file
        let mut tail = Tail::open(&cluster.folder.at("audit.jsonl"), &kept).unwrap();
        let mut found = Vec::new();
        for one in tail.read(1_000_000).unwrap() {
            let Read::Line(line, _) = one else { panic!("{one:?}") };
            found.extend(join.take(&AuditEvent::parse(&line).unwrap(), &mut records).unwrap());
        }
        tail.keep().unwrap();
        (found, join.drain(), join.counts())
    };
    site.admits("shop");
    let (found, tasks, counts) = read();
    assert!(found.is_empty() && tasks.is_empty() && counts.joined == 1, "{found:?} {counts:?}");
    // the API server begins its log anew while nobody reads
    let folder = cluster.folder.at("");
    std::fs::rename(folder.join("audit.jsonl"), folder.join("audit-2026-11-23T01-02-03.000.jsonl")).unwrap();
    site.admits("shop");
    cluster.kill_api();
    cluster.start_api();
    let hook = Hook::validating("open", &site.hook(), &site.webhook.url("validate")).fail_open();
    register(&cluster, &hook);
    site.webhook.kill();
    let bad = Spec::of(&[&images().unsigned]).pod("unjudged");
    wait("it is admitted unjudged", || site.create("shop", &bad).exit == 0);
    let (found, tasks, counts) = read();
    assert_eq!(counts.joined, 2, "what was written before the rotation and not read yet: {counts:?}");
    let kinds: Vec<&str> = found.iter().map(|f| f.kind.name()).collect();
    assert_eq!(kinds, ["failed-open"], "{found:?}");
    assert!(found[0].title.contains(Person::Tenant.name()), "{}", found[0].title);
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].object.name.as_str(), tasks[0].object.uid.len()), ("unjudged", 36));
    assert_eq!(tasks[0].images, Some(vec![images().unsigned.reference.clone()]));
    assert_eq!(tasks[0].webhooks, [site.hook()]);
    let (found, tasks, again) = read();
    assert!(found.is_empty() && tasks.is_empty() && again.joined == 2, "nothing is read twice: {again:?}");
}

#[test]
fn a_watch_goes_on_after_the_api_server_was_away_and_forgot() {
    let Some(cluster) = Cluster::start() else { return };
    let site = Site::start(&cluster, "away", &[("shop", "prod/shop")]);
    let watched = Watched::start(&site);
    let good = &images().good[0];
    assert_eq!(site.create("shop", &Spec::of(&[good]).pod("before")).exit, 0);
    watched.wait_joined(1);
    cluster.kill_api();
    let (blind, took) = watched.wait_open(FindingKind::Blind, "what runs");
    eprintln!("it said that it sees nothing {took:.2?} after the API server was killed: {}", blind.title);
    let complete = watched.watch.status().complete;
    // a new API server's memory of changes begins when it starts: the place where the watch was is too old for it
    cluster.start_api();
    site.admits("shop");
    let back = Instant::now();
    watched.wait_joined(2);
    eprintln!("it was back {:.2?} after the API server", back.elapsed());
    assert!(watched.watch.status().complete > complete);
    eprintln!("so far: {:?}", asked(&cluster));
    wait("it is not blind", || watched.open(FindingKind::Blind, "what runs").is_none());
    // what was taken away while nobody looked is gone from what runs
    cluster.snapshot("with");
    cluster
        .prepare(&["--namespace", "away-shop", "delete", "pod", "before", "--grace-period=0", "--force"], "");
    watched.wait_joined(1);
    cluster.restore("with");
    // etcd has again what it had, and its versions are older than the one that the watch knows
    watched.wait_joined(2);
    assert_eq!(watched.raised(FindingKind::Undecided), 0, "{:?}", watched.told.lock().unwrap());
    let asked = asked(&cluster);
    eprintln!("in all: {asked:?}");
    // it was forgotten, and began anew: each time with a list, and never again and again
    let lists = asked.get("list 200").copied().unwrap_or_default();
    assert!((2..20).contains(&lists), "{asked:?}");
}

/// How often Pods were listed and watched for us, and how that ended.
fn asked(cluster: &Cluster) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for event in cluster.audit() {
        let text =
            |path: &[&str]| at(&event, path).and_then(|t| t.as_str().ok()).unwrap_or_default().to_owned();
        if text(&["user", "username"]) == "portcullis" && text(&["objectRef", "resource"]) == "pods" {
            let code = at(&event, &["responseStatus", "code"]).map_or_else(String::new, ToString::to_string);
            *counts.entry(format!("{} {code}", text(&["verb"]))).or_default() += 1;
        }
    }
    counts
}

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn very_many_pods_cost_little_memory() {
    let Some(cluster) = Cluster::start() else { return };
    let count = setting("PORTCULLIS_PODS", 1000);
    let site = Site::start(&cluster, "herd", &[("shop", "prod/shop")]);
    let good = Spec::of(&[&images().good[0]]).large(4000).pod("pod-{n}");
    let make: Arc<super::load::Make> =
        Arc::new(move |number| (number < count).then(|| good.replace("{n}", &number.to_string())));
    let made = run(&cluster, "herd-shop", 32, Duration::ZERO, &make);
    assert!(made.iter().all(super::load::Answer::is_created));
    drop(made);
    let before = memory();
    let start = Instant::now();
    let watched = Watched::start(&site);
    watched.wait_joined(count);
    let (took, after) = (start.elapsed(), memory());
    eprintln!(
        "{count} Pods were joined after {took:.2?}; memory {:.1} MiB before, {:.1} MiB after",
        before as f64 / 1024.0,
        after as f64 / 1024.0
    );
    assert!(after.saturating_sub(before) < 128 * 1024, "{before} to {after} KiB");
}
