//! A real `portcullis serve` over what `portcullis init` writes: it decides, records, reloads, and ends in good order.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attest::{Json, Object};
use server::{Client, ClientTls};
use tools::serving::Serving;
use tools::{code, expect, path, portcullis_command, stderr};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        expect(0, &["init", path(&dir.path().join("deploy"))]);
        let place = Self { dir };
        let config = fs::read_to_string(place.at("serve.yaml")).unwrap();
        // whoever changes a file here is alone; who may where others look on is in governance.rs
        let (begin, end) = (config.find("governance:\n").unwrap(), config.find("log: {").unwrap());
        let config = format!("{}{}", &config[..begin], &config[end..]);
        let config = config.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:9464", "127.0.0.1:0");
        let config =
            config.replace("reload: 10s", "reload: 1s").replace("webhook:\n", "webhook:\n  drain: 1s\n");
        fs::write(place.at("serve.yaml"), config).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("deploy").join(name)
    }

    fn start(&self) -> Serving {
        Serving::start(&self.at("serve.yaml"))
    }

    fn send(
        &self,
        running: &Serving,
        name: &str,
        (method, path): (&str, &str),
        body: &[u8],
    ) -> (u16, String) {
        let tls = |part: &str| self.at(&format!("tls/{part}"));
        let identity = Some((tls(&format!("{name}.crt")), tls(&format!("{name}.key"))));
        let client =
            Client::new(&running.url, &ClientTls { ca: Some(tls("ca.crt")), identity }, None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let headers = [("content-type", "application/json")];
            let answer = client.send(method, path, &headers, body.to_vec()).await.unwrap();
            let status = answer.status;
            (status, String::from_utf8(answer.all(1 << 20).await.unwrap()).unwrap())
        })
    }

    fn validate(&self, running: &Serving, body: &[u8]) -> (u16, String) {
        self.send(running, "apiserver", ("POST", "/v1/kubernetes/validate?timeout=10s"), body)
    }

    /// The answer's `response`.
    fn response(&self, running: &Serving, body: &Json) -> Object {
        let (status, text) = self.validate(running, body.to_string().as_bytes());
        assert_eq!(status, 200, "{text}");
        let json = attest::json::parse(text.as_bytes()).unwrap();
        json.as_object().unwrap().object("response").unwrap().clone()
    }
}

fn review(uid: &str, namespace: &str, image: &str, dry_run: bool) -> Json {
    let text = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"{uid}",
        "kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},
        "name":"web","namespace":"{namespace}","operation":"CREATE","dryRun":{dry_run},
        "userInfo":{{"username":"alice@acme.example","groups":["system:authenticated"]}},
        "object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web","namespace":"{namespace}"}},
        "spec":{{"containers":[{{"name":"web","image":"{image}"}}]}}}}}}}}"#
    );
    attest::json::parse(text.as_bytes()).unwrap()
}

fn message(response: &Object) -> String {
    response.object("status").unwrap().string("message").unwrap().to_owned()
}

#[test]
fn it_decides_records_and_ends_in_good_order() {
    let place = Place::new();
    let running = place.start();
    let digest = "0".repeat(64);
    let image = format!("registry.example/shop@sha256:{digest}");

    let response = place.response(&running, &review("a-1", "nobodys", &image, false));
    assert_eq!((response.string("uid").unwrap(), response.flag("allowed").unwrap()), ("a-1", false));
    assert!(message(&response).contains("error[policy-missing]"), "{}", message(&response));
    assert!(response.object("auditAnnotations").unwrap().get("receipt").is_some());

    let response = place.response(&running, &review("a-2", "shop", "registry.example/shop:1", false));
    assert!(message(&response).contains("error[digest-required]"), "{}", message(&response));
    let response = place.response(&running, &review("a-3", "shop", &image, true));
    assert!(!response.flag("allowed").unwrap(), "a dry run is judged as it would be");
    assert!(response.object("auditAnnotations").unwrap().get("record").is_none());

    let line = running.event("\"uid\":\"a-1\"");
    for part in [
        "\"event\":\"decision\"",
        "\"record\":2",
        "\"leaf\":\"sha256:",
        "unclaimed/nobodys",
        "policy-missing",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let text = running.read("/metrics");
    let counted = "portcullis_decisions_total{environment=\"other\",basis=\"policy\",decision=\"reject\"} 1";
    assert!(text.contains(counted), "{text}");
    assert!(running.read("/readyz").starts_with("HTTP/1.1 200"), "{}", running.read("/readyz"));

    assert_eq!(running.end(), 0);
    let words = expect(0, &["log", "verify", path(&place.at("log"))]);
    assert!(words.contains(" records (2 decisions, "), "a dry run is not on record: {words}");
    let again = place.start();
    place.response(&again, &review("a-4", "shop", &image, false));
    let line = again.event("\"uid\":\"a-4\"");
    let record = line.split("\"record\":").nth(1).unwrap().split(',').next().unwrap();
    let before = words.split(' ').next().unwrap();
    let (record, before): (u64, u64) = (record.parse().unwrap(), before.parse().unwrap());
    assert!(record > before, "after what was there, and who writes again: {line}");
    assert_eq!(again.end(), 0);
}

#[test]
fn what_is_no_review_is_never_admitted() {
    let place = Place::new();
    let running = place.start();
    let whole = review("b-1", "shop", "registry.example/shop:1", false).to_string();
    let cut = &whole.as_bytes()[..whole.len() / 2];
    let (status, body) = place.validate(&running, cut);
    // its id can be read, so the refusal reaches the person
    assert_eq!(
        (status, body.contains("\"uid\":\"b-1\""), body.contains("\"allowed\":false")),
        (200, true, true)
    );
    for (from, to) in [
        ("\"uid\":\"b-1\"", "\"uid\":\"b 1\""),
        ("\"uid\":\"b-1\"", "\"uid\":\"\""),
        ("\"uid\":\"b-1\"", "\"uid\":7"),
        ("\"uid\":\"b-1\"", "\"uid\":\"b-1\",\"uid\":\"b-2\""),
        ("admission.k8s.io/v1\"", "admission.k8s.io/v1beta1\""),
        ("AdmissionReview", "AdmissionReport"),
    ] {
        assert!(whole.contains(from), "{from}");
        let (status, body) = place.validate(&running, whole.replacen(from, to, 1).as_bytes());
        assert!(matches!(status, 200 | 400), "{to}: {status} {body}");
        assert!(!body.contains("\"allowed\":true"), "{to}: {body}");
        assert!(status == 400 || body.contains("\"allowed\":false"), "{to}: {body}");
    }
}

#[test]
fn a_broken_book_leaves_the_last_good_one_and_says_so() {
    let place = Place::new();
    let running = place.start();
    let policy = place.at("book/prod/shop.yaml");
    let good = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, "environment: [").unwrap();
    let event = running.event("reload-refused");
    assert!(event.contains("book/prod/shop.yaml"), "{event}");
    let alarms = place.at("alarms.jsonl");
    until("nobody is told", || fs::read_to_string(&alarms).is_ok_and(|text| text.contains("files-refused")));
    std::thread::sleep(Duration::from_millis(2200));
    let text = running.read("/metrics");
    let stale = text.lines().find_map(|l| l.strip_prefix("portcullis_book_stale_seconds ")).unwrap();
    assert!(stale.parse::<f64>().unwrap() > 0.5, "{stale}");
    let ready = running.read("/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.contains("the book on disk is not in force"),
        "{ready}"
    );
    let image = format!("registry.example/shop@sha256:{}", "0".repeat(64));
    let response = place.response(&running, &review("c-1", "shop", &image, false));
    assert!(!message(&response).contains("policy-missing"), "{}", message(&response));

    let before = text.lines().find(|l| l.starts_with("portcullis_loaded{what=\"book\"")).unwrap().to_owned();
    fs::write(&policy, format!("{good}\n# a word more\n")).unwrap();
    running.signal("HUP");
    let event = running.event("\"reloaded\"");
    assert!(event.contains("\"what\":\"book\""), "{event}");
    until("it is not closed", || fs::read_to_string(&alarms).is_ok_and(|text| text.contains("alarm-closed")));
    std::thread::sleep(Duration::from_millis(1200));
    let text = running.read("/metrics");
    assert!(text.contains("portcullis_book_stale_seconds 0.0"), "{text}");
    assert!(!text.contains(&before), "the digest in force is another one");
    // a trust root of an earlier version is none to go back to
    let root = place.at("trust-root.yaml");
    let text = fs::read_to_string(&root).unwrap();
    fs::write(&root, text.replacen("version: 1", "version: 2", 1)).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    running.forget();
    fs::write(&root, text).unwrap();
    let event = running.event("reload-refused");
    assert!(event.contains("version"), "{event}");
}

#[test]
fn evidence_that_is_brought_is_kept_and_the_api_server_brings_none() {
    let place = Place::new();
    let running = place.start();
    let (status, body) = place.send(&running, "ci", ("PUT", "/v1/evidence"), b"{\"no\":\"envelope\"}");
    assert_eq!(status, 400, "{body}");
    let (status, body) = place.send(&running, "apiserver", ("PUT", "/v1/evidence"), b"{}");
    assert_eq!((status, body.contains("not-permitted")), (403, true), "{body}");
    let (status, body) = place.send(
        &running,
        "ci",
        ("POST", "/v1/kubernetes/validate"),
        review("d-1", "shop", "a:1", false).to_string().as_bytes(),
    );
    assert_eq!((status, body.contains("allowed")), (403, false), "{body}");
    let (status, body) = place.send(&running, "apiserver", ("GET", "/v1/openapi.json"), b"");
    assert_eq!((status, body.contains("/v1/kubernetes/validate")), (200, true), "{body}");
}

/// Another `serve` that ends by itself: its exit code, and what it says.
fn refused(config: &Path) -> (i32, String) {
    let args = ["serve", "--config", path(config)];
    let output = portcullis_command().args(args).output().unwrap();
    (code(&output), stderr(&output))
}

#[test]
fn two_of_them_never_write_one_log() {
    let place = Place::new();
    let running = place.start();
    let (exit, said) = refused(&place.at("serve.yaml"));
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("another process writes to the log in"), "{said}");
    let image = format!("registry.example/shop@sha256:{}", "0".repeat(64));
    place.response(&running, &review("c-1", "shop", &image, false));
    assert_eq!(running.end(), 0);
    assert!(expect(0, &["log", "verify", path(&place.at("log"))]).contains(" records (1 decisions, "));
}

#[test]
fn a_log_without_its_checkpoint_is_no_new_log() {
    let place = Place::new();
    let running = place.start();
    let image = format!("registry.example/shop@sha256:{}", "0".repeat(64));
    place.response(&running, &review("c-1", "shop", &image, false));
    assert_eq!(running.end(), 0);
    fs::remove_file(place.at("log/checkpoint")).unwrap();
    let (exit, said) = refused(&place.at("serve.yaml"));
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("has no checkpoint") && said.contains("restore the checkpoint"), "{said}");
    assert!(!place.at("log/checkpoint").exists(), "nothing was signed");
}

#[test]
fn the_description_is_the_one_in_the_reference() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/webhook-api.json");
    let kept = fs::read_to_string(file).unwrap_or_default();
    assert_eq!(kept, format!("{}\n", server::webhook::openapi().pretty()), "write it to {file}");
}

#[test]
fn the_example_is_read_and_what_it_names_is_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("serve.yaml");
    fs::write(&file, expect(0, &["serve", "--example"])).unwrap();
    let words = expect(1, &["serve", "--config", path(&file), "--check"]);
    assert!(
        words.contains("the configuration is well formed") && words.contains("missing: the book"),
        "{words}"
    );
    fs::write(&file, "book: book\nwebhok: {}\n").unwrap();
    let words = expect(2, &["serve", "--config", path(&file), "--check"]);
    assert!(words.contains("webhok") && words.contains("trust-root"), "{words}");
}

#[test]
fn a_certificate_on_disk_that_does_not_load_is_warned_of_until_it_does() {
    let place = Place::new();
    let running = place.start();
    let file = place.at("tls/server.crt");
    let good = fs::read(&file).unwrap();
    fs::write(&file, "").unwrap();
    let event = running.event("reload-refused");
    assert!(event.contains("\"what\":\"certificate\"") && event.contains("holds no certificate"), "{event}");
    let ready = running.read("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(
        ready.contains("the certificate on disk is not in force") && ready.contains("server.crt"),
        "{ready}"
    );
    fs::write(&file, good).unwrap();
    let began = Instant::now();
    while running.read("/readyz").contains("on disk is not in force") {
        assert!(began.elapsed() < Duration::from_secs(20), "the warning stays");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn who_brings_a_grant_without_a_certificate_is_told_which_options_give_one() {
    let place = Place::new();
    let running = place.start();
    let (key, root, ca) = (place.at("keys/bob.key"), place.at("trust-root.yaml"), place.at("tls/ca.crt"));
    let what = ["breakglass", "open", "--environment", "prod/shop", "--reason", "down", "--ticket", "INC-42"];
    let who = ["--expires", "1h", "--key", path(&key), "--trust-root", path(&root)];
    let to = ["--server", &running.url, "--ca", path(&ca)];
    let said = expect(2, &[&what[..], &who[..], &to[..]].concat());
    assert!(said.contains("fix       give --client-certificate and --client-key"), "{said}");
    assert!(!said.contains("AdmissionConfiguration"), "{said}");
    // the API server's own paths keep the API server's words
    let tls = ClientTls { ca: Some(ca), identity: None };
    let client = Client::new(&running.url, &tls, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text = runtime.block_on(async {
        let headers = [("content-type", "application/json")];
        let answer = client.send("POST", "/v1/kubernetes/validate", &headers, b"{}".to_vec()).await.unwrap();
        String::from_utf8(answer.all(1 << 20).await.unwrap()).unwrap()
    });
    assert!(text.contains("AdmissionConfiguration"), "{text}");
}

/// A Pod that names a grant.
fn under_grant(uid: &str, image: &str, grant: &str) -> Json {
    let text = review(uid, "shop", image, false).to_string();
    let with = format!(r#""metadata":{{"annotations":{{"portcullis.dev/breakglass":"{grant}"}},"#);
    attest::json::parse(text.replacen(r#""metadata":{"#, &with, 1).as_bytes()).unwrap()
}

/// Waits until something is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_a_grant_lets_in_is_alarmed_at_once_judged_again_and_reviewed_by_somebody_else() {
    let place = Place::new();
    let running = place.start();
    let (bob, alice, root) =
        (place.at("keys/bob.key"), place.at("keys/alice.key"), place.at("trust-root.yaml"));
    let ci = (place.at("tls/ci.crt"), place.at("tls/ci.key"), place.at("tls/ca.crt"));
    let to = ["--server", &running.url, "--ca", path(&ci.2), "--client-certificate", path(&ci.0)];
    let to = [&to[..], &["--client-key", path(&ci.1)]].concat();
    let what = ["breakglass", "open", "--environment", "prod/shop", "--reason", "down", "--ticket", "INC-42"];
    let who = ["--expires", "1h", "--key", path(&bob), "--trust-root", path(&root), "--format", "json"];
    let opened = expect(0, &[&what[..], &who[..], &to[..]].concat());
    let opened = attest::json::parse(opened.as_bytes()).unwrap();
    let digest = opened.as_object().unwrap().string("digest").unwrap().to_owned();

    let image = format!("registry.example/shop@sha256:{}", "7".repeat(64));
    let response = place.response(&running, &under_grant("e-1", &image, &digest));
    assert!(response.flag("allowed").unwrap(), "{response:?}");
    // the alarm is on record before the answer, and the file has it soon
    let alarms = place.at("alarms.jsonl");
    until("nobody is told", || {
        fs::read_to_string(&alarms).is_ok_and(|text| text.contains("breakglass-used"))
    });
    let log = place.at("log");
    until("the tree follows", || {
        let shown = portcullis_command().args(["alarms", "list", "--log", path(&log)]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).contains("breakglass let registry.example/shop")
    });
    // what runs is judged again: without the grant it would be refused, and that is another alarm, once
    let told = |kind: &str| fs::read_to_string(&alarms).unwrap_or_default().matches(kind).count();
    fs::write(place.at("book/prod/shop.yaml"), {
        let text = fs::read_to_string(place.at("book/prod/shop.yaml")).unwrap();
        format!("{text}\n# another book\n")
    })
    .unwrap();
    until("what runs is not judged again", || told("\"kind\":\"no-longer-met\"") > 0);
    until("the metrics do not say so", || {
        running.read("/metrics").contains("portcullis_running{turn=\"breaks\"} 1")
    });
    let metrics = running.read("/metrics");
    assert!(metrics.contains("portcullis_alarms{"), "{metrics}");

    // bob gave it: his own review does not count, alice's does
    let key = place.at("keys/alice.key");
    expect(0, &["keygen", path(&key.with_extension("")), "--no-passphrase"]);
    let pem = fs::read_to_string(place.at("keys/alice.pub")).unwrap();
    let listed: String = pem.lines().map(|line| format!("          {line}\n")).collect();
    let text = fs::read_to_string(&root).unwrap();
    let with = format!("  alice:\n    identities: [alice@acme.example]\n    keys:\n      - key: |\n{listed}");
    let text = text.replacen("  alice:\n    identities: [alice@acme.example]\n", &with, 1);
    fs::write(&root, text.replacen("version: 1", "version: 2", 1)).unwrap();
    running.event("\"what\":\"trust root\"");
    let id = opened.as_object().unwrap().object("grant").map(|g| g.string("id").unwrap().to_owned());
    let id = id.unwrap_or_else(|_| opened.as_object().unwrap().string("id").unwrap().to_owned());
    let review = |key: &Path| {
        let args = ["breakglass", "review", &id, "--verdict", "justified", "--comment", "checkout was down"];
        let more = ["--key", path(key), "--trust-root", path(&root), "--log", path(&log)];
        let output = portcullis_command().args([&args[..], &more[..], &to[..]].concat()).output().unwrap();
        (code(&output), stderr(&output))
    };
    let (exit, said) = review(&bob);
    assert!(exit != 0 && said.contains("bob gave the grant"), "{exit} {said}");
    let (exit, said) = review(&alice);
    // alice asked for the deployment: neither may she
    assert!(exit != 0 && said.contains("alice"), "{exit} {said}");
    assert_eq!(running.end(), 0);
    // everything is on record, and the writer's chain is whole
    let words = expect(0, &["log", "verify", path(&log)]);
    assert!(words.contains(" records (1 decisions, "), "{words}");
    let shown = expect(0, &["log", "show", path(&log)]);
    for kind in ["epoch-open", "files-in-force", "alarm", "re-verified"] {
        assert!(shown.contains(kind), "no {kind} in\n{shown}");
    }
    let shown = expect(0, &["running", "--log", path(&log)]);
    assert!(shown.contains("eu-1/shop/Pod/web"), "{shown}");
}
