//! Two real choke points: one judges the evidence and signs a summary, the other admits on that one signature; and
//! slsa-verifier and cosign read what was signed.

mod tools;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use attest::{Digest, Json, Object};
use evidence::{Attachment, Store};
use server::{Client, ClientTls};
use tools::serving::Serving;
use tools::{cache, code, expect, part, path, portcullis, stderr, stdout};

const GATE: &str = "https://gate.example/eu";
const IMAGE: &str = "registry.example/shop";

struct Place {
    dir: tempfile::TempDir,
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Place {
    /// What `init` writes, with policies and mappings of the test, and without governance and guardrails.
    fn new(policies: &[(&str, &str)], more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        expect(0, &["init", path(&dir.path().join("deploy"))]);
        let place = Self { dir };
        let config = fs::read_to_string(place.at("serve.yaml")).unwrap();
        let (begin, end) = (config.find("guardrails:").unwrap(), config.find("log: {").unwrap());
        let config = format!("{}{more}{}", &config[..begin], &config[end..]);
        let config = config.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:9464", "127.0.0.1:0");
        let config =
            config.replace("reload: 10s", "reload: 1s").replace("webhook:\n", "webhook:\n  drain: 1s\n");
        let mut mapped = String::new();
        fs::remove_dir_all(place.at("book")).unwrap();
        for (environment, policy) in policies {
            let (stage, app) = environment.split_once('/').unwrap();
            fs::create_dir_all(place.at("book").join(stage)).unwrap();
            let text = format!("environment: {environment}\nartifact: {IMAGE}\n{policy}\n");
            fs::write(place.at(&format!("book/{environment}.yaml")), text).unwrap();
            mapped += &format!("    - {{ environment: {environment}, namespaces: [{stage}-{app}] }}\n");
        }
        let config = config.replace("    - { environment: prod/shop, namespaces: [shop] }\n", &mapped);
        fs::write(place.at("serve.yaml"), config).unwrap();
        place
    }

    /// A choke point that judges tests, and summarises.
    fn upstream() -> Self {
        let section = format!("summaries: {{ key: summaries.key, verifier: \"{GATE}\", expires: 24h }}\n");
        let tested = "require: { signed-by: [ci-tests], tests: [unit] }";
        let policies = [
            ("prod/shop", tested),
            ("staging/shop", tested),
            ("trial/shop", "mode: dry-run\nrequire: { signed-by: [ci-tests], tests: [unit, smoke] }"),
        ];
        let place = Self::new(&policies, &section);
        expect(0, &["keygen", path(&place.at("summaries")), "--algorithm", "p256", "--no-passphrase"]);
        place
    }

    /// A choke point that has nothing but the other's key.
    fn downstream(upstream: &Self) -> Self {
        let ask = |environment: &str| {
            format!(
                "require: {{ verified-by: {{ verifiers: [eu-gate], within: 24h, environment: {environment} }} }}"
            )
        };
        let place =
            Self::new(&[("prod/shop", &ask("prod/shop")), ("staging/shop", &ask("staging/shop"))], "");
        place.trust(upstream, 1, "");
        place
    }

    fn trust(&self, upstream: &Self, version: u64, revoked: &str) {
        let pem = fs::read_to_string(upstream.at("summaries.pub")).unwrap();
        let pem: String = pem.lines().map(|l| format!("          {l}\n")).collect();
        let text = format!(
            "version: {version}\nverifiers:\n  eu-gate:\n    ids: [\"{GATE}\"]\n    keys:\n      - key: |\n{pem}{revoked}"
        );
        fs::write(self.at("trust-root.yaml"), text).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("deploy").join(name)
    }

    /// Evidence that the tests passed, attached.
    fn test(&self, artifact: &Digest) {
        let (key, out) = (self.at("keys/ci-tests.key"), self.at("test.json"));
        let subject = artifact.to_string();
        let mut args = vec!["attest", "test", &subject, "--name", "unit", "--result", "passed"];
        args.extend(["--key", path(&key), "--out", path(&out)]);
        expect(0, &args);
        self.attach(artifact, fs::read(&out).unwrap());
    }

    /// What one who may attach could bring, without what `portcullis attach` refuses.
    fn attach(&self, artifact: &Digest, bundle: Vec<u8>) {
        let store = Store::new(&self.at("evidence"));
        let digest = store.put(&evidence::compact(&bundle).unwrap()).unwrap();
        store.attach(artifact, &[digest]).unwrap();
    }

    fn summary(&self, artifact: &Digest, environment: &str) -> Option<String> {
        let (subject, store) = (artifact.to_string(), self.at("evidence"));
        let shown =
            portcullis(&["summary", "show", &subject, "--environment", environment, "--store", path(&store)]);
        assert!(code(&shown) < 2, "{}", stderr(&shown));
        (code(&shown) == 0).then(|| stdout(&shown))
    }

    fn start(&self) -> Serving {
        Serving::start(&self.at("serve.yaml"))
    }

    /// Deploys; whether it was admitted, and what was said.
    fn deploy(&self, running: &Serving, uid: &str, namespace: &str, artifact: &Digest) -> (bool, String) {
        let tls = |part: &str| self.at(&format!("tls/{part}"));
        let identity = Some((tls("apiserver.crt"), tls("apiserver.key")));
        let client =
            Client::new(&running.url, &ClientTls { ca: Some(tls("ca.crt")), identity }, None).unwrap();
        let body = review(uid, namespace, artifact).to_string().into_bytes();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text = runtime.block_on(async {
            let headers = [("content-type", "application/json")];
            let answer =
                client.send("POST", "/v1/kubernetes/validate?timeout=10s", &headers, body).await.unwrap();
            assert_eq!(answer.status, 200);
            String::from_utf8(answer.all(1 << 20).await.unwrap()).unwrap()
        });
        let json = attest::json::parse(text.as_bytes()).unwrap();
        let response: Object = json.as_object().unwrap().object("response").unwrap().clone();
        (response.flag("allowed").unwrap(), text)
    }
}

/// The place of what was recorded of a request.
fn record(running: &Serving, uid: &str) -> String {
    let line = running.event(&format!("\"uid\":\"{uid}\""));
    line.split("\"record\":").nth(1).unwrap().split(',').next().unwrap().to_owned()
}

fn metric(running: &Serving, name: &str) -> String {
    let text = running.read("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("absent");
    line.trim().to_owned()
}

fn review(uid: &str, namespace: &str, artifact: &Digest) -> Json {
    let text = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"{uid}",
        "kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},
        "name":"web","namespace":"{namespace}","operation":"CREATE","dryRun":false,
        "userInfo":{{"username":"alice@acme.example","groups":["system:authenticated"]}},
        "object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web","namespace":"{namespace}"}},
        "spec":{{"containers":[{{"name":"web","image":"{IMAGE}@{artifact}"}}]}}}}}}}}"#
    );
    attest::json::parse(text.as_bytes()).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "a test's own clock")]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn shop() -> Digest {
    Digest::sha256(b"shop")
}

#[test]
fn a_second_choke_point_admits_on_one_signature_of_the_first() {
    let up = Place::upstream();
    up.test(&shop());
    let gate = up.start();
    let (is_admitted, said) = up.deploy(&gate, "a-1", "prod-shop", &shop());
    assert!(is_admitted, "{said}");
    until("no summary", || up.summary(&shop(), "prod/shop").is_some());
    let summary = up.summary(&shop(), "prod/shop").unwrap();

    let down = Place::downstream(&up);
    let second = down.start();
    let (is_admitted, said) = down.deploy(&second, "b-0", "prod-shop", &shop());
    assert!(!is_admitted && said.contains("no verifier that the policy lists says that it passed"), "{said}");
    let attachment = Attachment::new(&shop().into(), &[summary.clone().into_bytes()], None).unwrap();
    Store::new(&down.at("evidence")).keep_attachment(&attachment, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let (is_admitted, said) = down.deploy(&second, "b-1", "prod-shop", &shop());
    assert!(is_admitted, "{said}");
    assert!(second.event("\"uid\":\"b-1\"").contains("\"basis\":\"policy\""));

    // another environment, and another artifact
    let (is_admitted, said) = down.deploy(&second, "b-2", "staging-shop", &shop());
    assert!(!is_admitted && said.contains("the summary is for another environment"), "{said}");
    let other = Digest::sha256(b"other");
    down.attach(&other, summary.clone().into_bytes());
    let (is_admitted, said) = down.deploy(&second, "b-3", "prod-shop", &other);
    assert!(!is_admitted && said.contains("applies to another artifact"), "{said}");

    // one that has ended, made again from the log
    let (log, key, out) = (up.at("log"), up.at("summaries.key"), up.at("short.json"));
    let record = record(&gate, "a-1");
    let issue = |more: &[&str]| {
        let mut args = vec!["summary", "issue", "--log", path(&log), "--record", &record, "--verifier", GATE];
        args.extend(["--out", path(&out)]);
        portcullis(&[&args[..], more].concat())
    };
    until("the record is not in the log's tree", || {
        code(&issue(&["--key", path(&key), "--expires", "60m"])) == 0
    });
    let age = now() - attest::time::parse_time(&decided(&fs::read(&out).unwrap())).unwrap().as_second();
    let span = format!("{}s", age + 3);
    let output = issue(&["--key", path(&key), "--expires", &span]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    std::thread::sleep(Duration::from_secs(5));
    down.attach(&shop(), fs::read(&out).unwrap());
    let (is_admitted, said) = down.deploy(&second, "b-4", "prod-shop", &shop());
    assert!(!is_admitted && said.contains("the summary has expired"), "{said}");
    let output = issue(&["--key", path(&key), "--expires", "1s"]);
    assert!(code(&output) == 2 && stderr(&output).contains("has ended already"), "{}", stderr(&output));
    let output = issue(&["--key", path(&up.at("keys/log.key"))]);
    assert!(code(&output) == 2 && stderr(&output).contains("is the log's"), "{}", stderr(&output));

    // the key is revoked
    down.attach(&shop(), summary.into_bytes());
    assert!(down.deploy(&second, "b-5", "prod-shop", &shop()).0);
    down.trust(&up, 2, "        revoked: { from: 2026-01-01, reason: stolen }\n");
    second.event("\"reloaded\"");
    let (is_admitted, said) = down.deploy(&second, "b-6", "prod-shop", &shop());
    assert!(!is_admitted && said.contains("evidence is signed with a revoked key"), "{said}");

    // what was admitted on a summary is summarised by nobody
    assert_eq!(down.summary(&shop(), "prod/shop"), None);
    assert_eq!(metric(&second, "portcullis_summaries_total"), "absent");
    assert_eq!(metric(&gate, "portcullis_summaries_total{result=\"issued\"}"), "1");
}

/// The `timeVerified` of a bundle.
fn decided(bundle: &[u8]) -> String {
    let bundle = attest::json::parse(bundle).unwrap();
    let envelope = bundle.as_object().unwrap().object("dsseEnvelope").unwrap();
    let payload = attest::dsse::base64(envelope.string("payload").unwrap()).unwrap();
    let statement = attest::json::parse(&payload).unwrap();
    statement.as_object().unwrap().object("predicate").unwrap().string("timeVerified").unwrap().to_owned()
}

#[test]
fn what_the_policy_did_not_admit_has_no_summary() {
    let up = Place::upstream();
    let gate = up.start();
    let untested = Digest::sha256(b"untested");
    assert!(!up.deploy(&gate, "a-1", "prod-shop", &untested).0, "refused");
    up.test(&shop());
    assert!(up.deploy(&gate, "a-2", "trial-shop", &shop()).0, "a dry run admits it");
    let (record, refused) = (record(&gate, "a-2"), record(&gate, "a-1"));
    // a Pod of the same kind comes twice: one summary stands for both
    for uid in ["a-3", "a-4"] {
        assert!(up.deploy(&gate, uid, "prod-shop", &shop()).0);
    }
    until("not both were looked at", || metric(&gate, "portcullis_summaries_total{result=\"fresh\"}") == "1");
    assert_eq!(metric(&gate, "portcullis_summaries_total{result=\"issued\"}"), "1");
    assert_eq!(gate.end(), 0);
    assert!(up.summary(&shop(), "prod/shop").is_some());
    assert_eq!(up.summary(&shop(), "trial/shop"), None);
    assert_eq!(up.summary(&untested, "prod/shop"), None);
    for number in [record, refused] {
        let (log, key, store) = (up.at("log"), up.at("summaries.key"), up.at("evidence"));
        let mut args = vec!["summary", "issue", "--log", path(&log), "--record", &number, "--verifier", GATE];
        args.extend(["--key", path(&key), "--store", path(&store)]);
        assert!(expect(1, &args).contains("nothing there met its policy alone"));
    }
    assert_eq!(up.summary(&shop(), "trial/shop"), None);
}

#[test]
fn a_store_that_fails_changes_no_decision_and_is_alarmed() {
    let up = Place::upstream();
    up.test(&shop());
    // a file where a folder should be
    fs::write(up.at("evidence/summary"), "").unwrap();
    let gate = up.start();
    let (is_admitted, said) = up.deploy(&gate, "a-1", "prod-shop", &shop());
    assert!(is_admitted, "{said}");
    let alarms = || fs::read_to_string(up.at("alarms.jsonl")).unwrap_or_default();
    until("nobody is told", || alarms().contains("summary-failed"));
    gate.event("\"summary-failed\"");
    // it is made once the store works again
    fs::remove_file(up.at("evidence/summary")).unwrap();
    until("no summary", || up.summary(&shop(), "prod/shop").is_some());
    until("it is not closed", || alarms().contains("alarm-closed"));
    assert_eq!(metric(&gate, "portcullis_summaries_total{result=\"issued\"}"), "1");
    assert_eq!(metric(&gate, "portcullis_summaries_total{result=\"failed\"}"), "0");
}

#[test]
fn a_key_that_is_used_for_something_else_signs_no_summary() {
    let up = Place::upstream();
    let config = fs::read_to_string(up.at("serve.yaml")).unwrap();
    for (key, whose) in [
        ("keys/log.key", "the log's"),
        ("keys/official-ci.key", "official-ci, a builder"),
        ("keys/ci-tests.key", "ci-tests, a tester"),
        ("keys/bob.key", "bob, a reviewer"),
        ("tls/server.key", "the webhook's own"),
    ] {
        fs::write(up.at("serve.yaml"), config.replace("key: summaries.key", &format!("key: {key}"))).unwrap();
        for more in [&[][..], &["--check"]] {
            let at = up.at("serve.yaml");
            let said = expect(2, &[&["serve", "--config", path(&at)], more].concat());
            assert!(said.contains("the key of summaries is used for something else too"), "{key}: {said}");
            assert!(said.contains(whose), "{key}: {said}");
        }
    }
    // a trust root that comes into force later does not make it two things either
    fs::write(up.at("serve.yaml"), &config).unwrap();
    up.test(&shop());
    let gate = up.start();
    let pem = fs::read_to_string(up.at("summaries.pub")).unwrap();
    let pem: String = pem.lines().map(|l| format!("          {l}\n")).collect();
    let root = fs::read_to_string(up.at("trust-root.yaml")).unwrap().replacen("version: 1", "version: 2", 1);
    let root = root.replacen(
        "builders:\n",
        &format!("builders:\n  mallory:\n    ids: [\"https://m.example\"]\n    keys:\n      - key: |\n{pem}"),
        1,
    );
    fs::write(up.at("trust-root.yaml"), root).unwrap();
    gate.event("\"reloaded\"");
    assert!(up.deploy(&gate, "a-1", "prod-shop", &shop()).0);
    assert!(gate.event("\"summary-failed\"").contains("mallory, a builder"));
    assert_eq!(up.summary(&shop(), "prod/shop"), None);
}

#[test]
fn slsa_verifier_and_cosign_read_it() {
    let tools = [part("slsa-verifier", cache("tools/slsa-verifier")), part("cosign", cache("tools/cosign"))];
    let [Some(slsa), Some(cosign)] = tools else { return };
    let up = Place::upstream();
    let (artifact, file) = (shop(), up.at("shop"));
    fs::write(&file, "shop").unwrap();
    up.test(&artifact);
    let gate = up.start();
    assert!(up.deploy(&gate, "a-1", "prod-shop", &artifact).0);
    until("no summary", || up.summary(&artifact, "prod/shop").is_some());
    let bundle = up.summary(&artifact, "prod/shop").unwrap();
    let (bundle_file, envelope_file, public) =
        (up.at("vsa.json"), up.at("dsse.json"), up.at("summaries.pub"));
    fs::write(&bundle_file, &bundle).unwrap();
    let json = attest::json::parse(bundle.trim().as_bytes()).unwrap();
    fs::write(&envelope_file, json.as_object().unwrap().object("dsseEnvelope").unwrap().to_string()).unwrap();

    let resource = format!("{IMAGE}#environment=prod/shop");
    let verify = |subject: &str, verifier: &str, resource: &str, level: &str| {
        let output = Command::new(&slsa)
            .args(["verify-vsa", "--subject-digest", subject, "--attestation-path", path(&envelope_file)])
            .args(["--verifier-id", verifier, "--resource-uri", resource, "--verified-level", level])
            .args(["--public-key-path", path(&public)])
            .env("HOME", up.dir.path())
            .output()
            .unwrap();
        (output.status.success(), stderr(&output))
    };
    let subject = artifact.to_string();
    let (ok, said) = verify(&subject, GATE, &resource, "PORTCULLIS_TESTS");
    assert!(ok, "{said}");
    let another = Digest::sha256(b"other").to_string();
    for (subject, verifier, resource, level) in [
        (another.as_str(), GATE, resource.as_str(), "PORTCULLIS_TESTS"),
        (&subject, "https://gate.example/us", &resource, "PORTCULLIS_TESTS"),
        (&subject, GATE, IMAGE, "PORTCULLIS_TESTS"),
        (&subject, GATE, &resource, "SLSA_BUILD_LEVEL_1"),
    ] {
        let (ok, said) = verify(subject, verifier, resource, level);
        assert!(!ok, "{subject} {verifier} {resource} {level}: {said}");
    }

    let verify = |file: &str| {
        let output = Command::new(&cosign)
            .args(["verify-blob-attestation", "--key", path(&public), "--bundle", path(&bundle_file)])
            .args(["--insecure-ignore-tlog", "--type", "https://slsa.dev/verification_summary/v1", file])
            .env("HOME", up.dir.path())
            .output()
            .unwrap();
        (output.status.success(), stderr(&output))
    };
    let (ok, said) = verify(path(&file));
    assert!(ok, "{said}");
    assert!(!verify(path(&public)).0, "another file");
}

#[test]
fn the_commands_say_what_is_wrong_and_speak_json() {
    let up = Place::upstream();
    up.test(&shop());
    let gate = up.start();
    assert!(up.deploy(&gate, "a-1", "prod-shop", &shop()).0);
    let record = record(&gate, "a-1");
    until("no summary", || up.summary(&shop(), "prod/shop").is_some());
    assert_eq!(gate.end(), 0);
    let at = |name: &str| path(&up.at(name)).to_owned();
    fs::write(up.at("noise.key"), "noise").unwrap();
    let (store, log, key) = (at("evidence"), at("log"), at("summaries.key"));
    let subject = shop().to_string();
    for (subject, store, exit, word) in [
        ("shop", store.as_str(), 2, "is no digest of an artifact"),
        (&subject, "/nowhere", 2, "there is no evidence store in /nowhere"),
        (&subject, &at("serve.yaml"), 2, "there is no evidence store in"),
        (&Digest::sha256(b"other").to_string(), &store, 1, "there is no summary of"),
    ] {
        let args = ["summary", "show", subject, "--environment", "prod/shop", "--store", store];
        let said = expect(exit, &args);
        assert!(said.contains(word), "{said}");
    }
    let issue = |exit, log: &str, record: &str, key: &str, out: &str| {
        let mut args = vec!["summary", "issue", "--log", log, "--record", record, "--key", key];
        args.extend(["--verifier", GATE, "--out", out, "--format", "json"]);
        expect(exit, &args)
    };
    let out = at("out.json");
    for (log, record, key, out, exit, word) in [
        ("/nowhere", record.as_str(), key.as_str(), out.as_str(), 2, "log.vkey"),
        (&log, "9999", &key, &out, 2, "there is no record 9999"),
        (&log, "0", &key, &out, 1, "it cannot be decided again"),
        (&log, &record, &at("noise.key"), &out, 2, "cannot be used"),
        (&log, &record, "/nowhere", &out, 2, "private key"),
        (&log, &record, &key, "/dev/full/out.json", 2, "cannot write"),
    ] {
        let said = issue(exit, log, record, key, out);
        assert!(said.contains(word), "{said}");
        assert!(!up.at("out.json").exists(), "nothing is written: {said}");
    }
    let said = attest::json::parse(issue(0, &log, &record, &key, &out).trim().as_bytes()).unwrap();
    let said = said.as_object().unwrap();
    assert_eq!(said.string("artifact").unwrap(), subject);
    assert_eq!(said.string("environment").unwrap(), "prod/shop");
    assert_eq!(said.string("bundle").unwrap(), Digest::sha256(&fs::read(&out).unwrap()).to_string());
}

#[test]
fn an_edit_of_a_governed_configuration_does_not_end_summaries() {
    let place = Place::upstream();
    let policy = "environment: portcullis/prod\nartifact: portcullis:configuration\nmode: enforce\nrequire:\n  \
                  signed-by: { at-least: 2, of: [bob, release-desk] }\non-outage: reject\n";
    fs::write(place.at("governance/configuration.yaml"), policy).unwrap();
    let pin = |name: &str| expect(0, &["policy", "digest", path(&place.at(name))]).trim().to_owned();
    let (governance, root, book) = (pin("governance"), pin("trust-root.yaml"), pin("book"));
    let section = format!(
        "governance:\n  policies: governance\n  environment: portcullis/prod\n  pinned:\n    governance: {governance}\n    \
         trust-root: {root}\n    book: {book}\n"
    );
    let config = fs::read_to_string(place.at("serve.yaml")).unwrap();
    let config = config.replace("summaries: {", &format!("{section}summaries: {{"));
    fs::write(place.at("serve.yaml"), &config).unwrap();
    assert_eq!(place.start().end(), 0);
    let without: String = config
        .lines()
        .filter(|line| !line.starts_with("summaries:"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(without, config);
    fs::write(place.at("serve.yaml"), without).unwrap();
    place.test(&shop());
    let running = place.start();
    running.event_with(&["reload-refused", "\"configuration\"", "error[signed-by]"]);
    let (is_admitted, said) = place.deploy(&running, "a-1", "prod-shop", &shop());
    assert!(is_admitted, "{said}");
    until("the configuration in force asks for summaries", || place.summary(&shop(), "prod/shop").is_some());
    assert_eq!(running.end(), 0);
}
