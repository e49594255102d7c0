//! What `portcullis serve` does after its answers, as one process: it watches, judges again, raises alarms, and has a
//! witness cosign; also when it is killed meanwhile.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use attest::note::{Note, NoteKey};
use attest::{Json, Object, PublicKey};

use super::site::{Site, wait};
use super::watched::{LISTER, runs};
use crate::kubernetes::cluster::{Cluster, Person, free_port};
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::process::Process;
use crate::kubernetes::webhook::REQUIRED;
use crate::{images, tools};

const ORIGIN: &str = "portcullis.example/tests";

/// A site whose `portcullis serve` does all of it, and its witness.
struct Afterwards<'c> {
    site: Site<'c>,
    _witness: Process,
}

impl<'c> Afterwards<'c> {
    fn start(cluster: &'c Cluster, name: &'static str, more: &str) -> Self {
        cluster.prepare(&["apply", "-f", "-"], LISTER);
        let site = Site::lay_out(cluster, name, &[("shop", "prod/shop")]);
        let folder = &site.webhook.folder;
        let port = free_port();
        let text = format!(
            "{}inventory: inventory
watch: {{ every: 2s, grace: 2s, except: [default, {name}-settle]{more} }}
verify: {{ every: 2s }}
alarms: {{ sinks: [{{ file: alarms.jsonl }}] }}
witnesses: {{ quorum: 1, of: [{{ name: w, url: \"http://127.0.0.1:{port}\", key: w.vkey }}] }}
",
            folder.read("serve.yaml")
        );
        folder.write("serve.yaml", &text);
        let witness = start_witness(&site, port);
        site.webhook.run();
        site.register(&site.webhook.url("validate"), |hook| hook);
        Self { site, _witness: witness }
    }

    /// What the file of alarms has of one kind about this: every event, in order. Who is killed between telling and
    /// keeping that it was told tells the same entry of the log again: that is one event.
    fn told(&self, kind: &str, about: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.site.webhook.folder.at("alarms.jsonl")).unwrap_or_default();
        let line = |line: &str| attest::json::parse(line.as_bytes()).unwrap().as_object().unwrap().clone();
        let is_it = |notice: &Object| {
            let alarm = notice.object("alarm").unwrap();
            alarm.string("kind").unwrap() == kind && alarm.string("what").unwrap().contains(about)
        };
        let mut seen = BTreeSet::new();
        let of = text.lines().map(line).filter(is_it);
        let of = of.filter(|notice| seen.insert(notice.int("sequence").unwrap()));
        of.map(|notice| notice.string("event").unwrap().to_owned()).collect()
    }

    fn wait_told(&self, kind: &str, about: &str, events: &[&str]) -> Duration {
        wait(&format!("{kind} about {about} is told as {events:?}"), || self.told(kind, about) == events)
    }

    /// What is open on record, each in words.
    fn open(&self) -> Vec<String> {
        let log = self.site.webhook.folder.text("log");
        let said = tools::portcullis(&["--format", "json", "alarms", "list", "--log", &log]);
        let open = attest::json::parse(&said.stdout).unwrap_or_else(|e| panic!("{e}: {said:?}"));
        let what = |one: &Json| one.as_object().unwrap().string("what").unwrap().to_owned();
        open.as_array().unwrap().iter().map(what).collect()
    }

    fn wait_open(&self, about: &str, is_open: bool) {
        wait(&format!("on record, {about} is open: {is_open}"), || {
            self.open().iter().any(|what| what.contains(about)) == is_open
        });
    }

    /// A line of what runs, as `portcullis running` shows it.
    fn running(&self, workload: &str) -> Option<Object> {
        let inventory = self.site.webhook.folder.text("inventory");
        let said = tools::portcullis(&["--format", "json", "running", "--inventory", &inventory]);
        let said = attest::json::parse(&said.stdout).ok()?;
        let lines = said.as_object().ok()?.array("running").ok()?;
        let is_it = |line: &&Object| line.string("workload") == Ok(workload);
        lines.iter().filter_map(|line| line.as_object().ok()).find(is_it).cloned()
    }

    fn admin(&self, args: &[&str], input: &str) -> i32 {
        self.site.cluster.kubectl(Person::ClusterAdmin, &self.site.namespace("shop"), args, input).exit
    }

    /// Runs something while the API server asks nobody.
    fn past_the_webhook(&self, pods: &[String]) {
        let name = self.site.namespace("").trim_end_matches('-').to_owned();
        let configuration = format!("{name}-{}", self.site.hook());
        self.site.cluster.prepare(&["delete", "validatingwebhookconfiguration", &configuration], "");
        for pod in pods {
            wait("the webhook is gone", || self.admin(&["create", "-f", "-"], pod) == 0);
        }
        self.site.register(&self.site.webhook.url("validate"), |hook| hook);
    }

    /// It was killed, and does again all that it did.
    fn kill_and_start(&self, meanwhile: impl FnOnce()) {
        self.site.webhook.kill();
        meanwhile();
        self.site.webhook.run();
        wait("it joined and judged again", || {
            let fresh = |line: &str| (0.0..5.0).contains(&self.site.metric(line));
            fresh("portcullis_joined_age_seconds ") && fresh("portcullis_verified_age_seconds ")
        });
    }
}

fn start_witness(site: &Site<'_>, port: u16) -> Process {
    let folder = &site.webhook.folder;
    tools::expect(0, &["keygen", &folder.text("w"), "--no-passphrase", "--algorithm", "ed25519"]);
    let key = |name: &str, file: &str| NoteKey {
        name: name.to_owned(),
        key: PublicKey::from_pem(&folder.read(file)).unwrap(),
    };
    folder.write("w.vkey", &key("w", "w.pub").to_witness_vkey());
    let log = folder.write("of-log.vkey", &key(ORIGIN, "log.pub").to_vkey());
    let (state, secret) = (folder.text("witness"), folder.text("w.key"));
    let (listen, log) = (format!("127.0.0.1:{port}"), format!("{ORIGIN}={log}"));
    let args = ["log", "witness", "--state", &state, "--key", &secret, "--name", "w", "--listen", &listen];
    let args: Vec<String> =
        args.iter().chain(&["--log", log.as_str(), "--begin"]).map(|word| (*word).to_owned()).collect();
    Process::start(Path::new(env!("CARGO_BIN_EXE_portcullis")), &args, &folder.at("witness.log"))
}

#[test]
fn the_process_that_decides_watches_judges_again_alarms_and_is_witnessed() {
    let Some(cluster) = Cluster::start() else { return };
    let after = Afterwards::start(&cluster, "after", "");
    let site = &after.site;
    let good = &images().good[0];
    assert_eq!(site.create("shop", &Spec::of(&[good]).pod("web")).exit, 0);
    runs(site, "web", &good.reference);
    let web = "tests/after-shop/Pod/web";
    wait("what runs is named with its record", || {
        after
            .running(web)
            .is_some_and(|line| line.flag("observed") == Ok(true) && line.int("decided").is_ok())
    });
    wait("it is judged again", || site.metric("portcullis_running{turn=\"same\"} ") >= 1.0);
    is_witnessed(&after);

    // the book asks for more than what runs has: told once, by name
    let stricter = REQUIRED.replace("approvals: 1", "approvals: 2");
    assert_ne!(stricter, REQUIRED);
    site.webhook.write_policy("prod/shop", "prod-shop", &stricter);
    let took = after.wait_told("no-longer-met", web, &["alarm"]);
    eprintln!("what would be refused now was told {took:.2?} after the book changed");
    assert!(after.told("undecided", "").is_empty(), "nothing was undecided so far");

    // nobody decided these (T12)
    let evil = [&images().unsigned].map(|image| Spec::of(&[image]).pod("evil"));
    let gone = [&images().unsigned].map(|image| Spec::of(&[image]).pod("gone"));
    let start = Instant::now();
    after.past_the_webhook(&[evil, gone].concat());
    after.wait_told("undecided", "after-shop/evil", &["alarm"]);
    eprintln!("what nobody decided was told {:.2?} after it began to be made", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    after.wait_told("undecided", "after-shop/gone", &["alarm"]);
    after.wait_open("after-shop/evil", true);
    after.wait_open(web, true);

    // killed: nothing is raised twice, and what is gone meanwhile is closed
    after.kill_and_start(|| {
        assert_eq!(after.admin(&["delete", "pod", "gone", "--grace-period=0", "--force"], ""), 0);
    });
    after.wait_told("undecided", "after-shop/gone", &["alarm", "alarm-closed"]);
    std::thread::sleep(Duration::from_secs(6));
    for (kind, about) in [("no-longer-met", web), ("undecided", "after-shop/evil")] {
        assert_eq!(after.told(kind, about), ["alarm"], "{kind} {about}");
    }

    // all is well again
    site.webhook.write_policy("prod/shop", "prod-shop", REQUIRED);
    after.wait_told("no-longer-met", web, &["alarm", "alarm-closed"]);
    assert_eq!(after.admin(&["delete", "pod", "evil", "--grace-period=0", "--force"], ""), 0);
    after.wait_told("undecided", "after-shop/evil", &["alarm", "alarm-closed"]);
    after.wait_open("after-shop/", false);
    is_witnessed(&after);
    assert_eq!(site.webhook.terminate(), Some(0), "it ends in good order");
    site.webhook.check_log();
    assert!(after.running(web).is_some_and(|line| line.int("decided").is_ok()));
    let inventory = site.webhook.folder.text("inventory");
    let said = tools::expect(0, &["running", "--inventory", &inventory]);
    assert!(!said.contains("NOBODY"), "{said}");
}

/// The witness cosigned what the log has, or a little less: it is asked after each checkpoint.
fn is_witnessed(after: &Afterwards<'_>) {
    let site = &after.site;
    let begun = site.metric("portcullis_log_size ");
    wait("the witness cosigned", || site.metric("portcullis_witnessed_size ") >= begun.max(1.0));
    let text = site.webhook.folder.read("log/witnessed");
    let (key, _) = NoteKey::parse(&site.webhook.folder.read("w.vkey")).unwrap();
    assert!(Note::parse(&text).unwrap().cosigned_at(&key).is_some(), "{text}");
}

#[test]
fn the_audit_log_is_read_on_by_the_process_that_decides() {
    let Some(cluster) = Cluster::start() else { return };
    let more = format!(", audit-log: {}", cluster.folder.text("audit.jsonl"));
    let after = Afterwards::start(&cluster, "audited", &more);
    let site = &after.site;
    site.admits("shop");
    after.past_the_webhook(&[Spec::of(&[&images().good[1]]).pod("evil")]);
    // who wrote it, and what runs
    let written = " created ";
    after.wait_told("undecided", written, &["alarm"]);
    after.wait_open(Person::ClusterAdmin.name(), true);
    after.wait_told("undecided", "Pod audited-shop/evil", &["alarm"]);
    let before = site.webhook.folder.read("state/audit-log.json");
    after.kill_and_start(|| {});
    site.admits("shop");
    wait("it reads on", || site.webhook.folder.read("state/audit-log.json") != before);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(after.told("undecided", written), ["alarm"], "what was written is told once");
    assert_eq!(after.admin(&["delete", "pod", "evil", "--grace-period=0", "--force"], ""), 0);
    after.wait_told("undecided", "Pod audited-shop/evil", &["alarm", "alarm-closed"]);
    assert_eq!(after.told("undecided", written), ["alarm"], "that it was written stays so");
    let other = ["writer-gap", "verifier-stale", "failed-open"].map(|kind| after.told(kind, ""));
    assert!(other.iter().all(Vec::is_empty), "{other:?}");
    // the log of the API server is gone: nobody would see what is written
    std::fs::remove_file(cluster.folder.at("audit.jsonl")).unwrap();
    after.wait_told("verifier-stale", "nobody sees what is written", &["alarm"]);
}
