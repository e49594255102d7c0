//! `portcullis audit` and `portcullis policy preview`: what runs, and what was decided, judged again under other files.

mod tools;

use std::fs;
use std::path::Path;

use attest::{Artifact, Digest, Json, Object, SecretKey, Signer as _, Statement, TrustRoot};
use chokepoint::Chokepoint;
use policy::{Book, DeploymentRequest, Guardrails, SourceFile, Submitted};
use tlog::{Files, Log};
use tools::{code, portcullis_in, stderr, stdout};

const ORIGIN: &str = "audit.example/log";

fn log_key() -> SecretKey {
    SecretKey::from_ed25519_seed(&[9; 32]).unwrap()
}

/// `vendor` and `tester`, each a key; the second trust root no longer knows the vendor's.
fn trust_root(version: u64, vendor: u8) -> String {
    let listed = |seed: u8, name: &str| {
        let key = SecretKey::from_ed25519_seed(&[seed; 32]).unwrap();
        let pem: String = key.public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
        format!("  {name}:\n    keys:\n      - key: |\n{pem}")
    };
    format!("version: {version}\nsigners:\n{}{}", listed(vendor, "vendor"), listed(2, "tester"))
}

fn policy(signers: &str, mode: &str) -> String {
    format!("environment: prod/*\nartifact: shop\nmode: {mode}\nrequire: {{ signed-by: [{signers}] }}\n")
}

/// An artifact that these keys signed.
fn request(number: u8, environment: &str, keys: &[u8]) -> DeploymentRequest {
    let digest = Digest::sha256(&[number]);
    let envelope = |seed: &u8| {
        let key = SecretKey::from_ed25519_seed(&[*seed; 32]).unwrap();
        let statement =
            Statement::write("shop", &digest.clone().into(), "https://example.com/x", Object::new());
        let dsse = attest::dsse::Dsse::sign(attest::dsse::IN_TOTO, statement.as_bytes(), &[&key]).unwrap();
        Submitted { name: format!("shop-{seed}.json"), bytes: dsse.to_json().to_string().into_bytes() }
    };
    let mut request =
        DeploymentRequest::new(Artifact::new("shop", digest.clone().into()), environment, "test");
    request.envelopes = keys.iter().map(envelope).collect();
    request.workload = Some(format!("{environment}/Deployment/web-{number}"));
    request
}

fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A log with three that were let in (two by the vendor's word, one by the tester's too) and one that was not; and the
/// files around it.
fn world() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("root.yaml", &trust_root(1, 1));
    write("root2.yaml", &trust_root(2, 3));
    write("book/shop.yaml", &policy("vendor", "enforce"));
    write("strict/shop.yaml", &policy("tester", "enforce"));
    write("trial/shop.yaml", &policy("tester", "dry-run"));
    write("wide/shop.yaml", &policy("vendor, tester", "enforce"));
    let files = Files::new(&dir.path().join("log"));
    let log = Log::create(files, ORIGIN, Box::new(log_key())).unwrap();
    write("log/log.vkey", &format!("{}\n", log.key().to_vkey()));
    let text = policy("vendor", "enforce");
    let files = vec![SourceFile { name: "book/shop.yaml".into(), text }];
    let book = Book::load(files, &Guardrails::none()).unwrap();
    let root = TrustRoot::parse("root.yaml", &trust_root(1, 1)).unwrap();
    let point = Chokepoint::open(book, root, log).unwrap();
    for (number, environment, keys) in
        [(1, "prod/a", &[1_u8][..]), (2, "prod/a", &[1]), (3, "prod/b", &[1, 2]), (4, "prod/b", &[2])]
    {
        point.decide(request(number, environment, keys), at(i64::from(number))).unwrap();
    }
    point.settle().unwrap();
    dir
}

fn run(dir: &Path, exit: i32, args: &[&str]) -> (String, Json) {
    let text = portcullis_in(dir, args);
    assert_eq!(code(&text), exit, "{args:?}\n{}{}", stdout(&text), stderr(&text));
    let json = portcullis_in(dir, &[args, &["--format", "json"]].concat());
    assert_eq!(code(&json), exit, "{args:?}\n{}", stderr(&json));
    (stdout(&text), attest::json::parse(stdout(&json).as_bytes()).unwrap())
}

fn counts(json: &Json, key: &str) -> [i64; 4] {
    let counts = json.as_object().unwrap().object(key).unwrap().object("counts").unwrap();
    ["breaks", "opens", "same", "tolerated"].map(|turn| counts.int(turn).unwrap())
}

const NOW: &str = "2027-01-15T09:00:00Z";

#[test]
fn what_runs_is_as_it_was_under_the_recorded_files() {
    let dir = world();
    let (text, json) = run(dir.path(), 0, &["audit", "--log", "log", "--at", NOW]);
    assert!(text.starts_with("3 deployments run at 2027-01-15T09:00:00Z"), "{text}");
    assert_eq!(counts(&json, "live"), [0, 0, 3, 0]);
}

#[test]
fn a_key_that_is_trusted_no_more_breaks_what_stood_on_it() {
    let dir = world();
    let args = ["audit", "--log", "log", "--at", NOW, "--trust-root", "root2.yaml"];
    let (text, json) = run(dir.path(), 1, &args);
    assert_eq!(counts(&json, "live"), [3, 0, 0, 0]);
    assert!(text.contains("prod/a: 2 would be refused") && text.contains("error[signed-by]"), "{text}");
    assert!(text.contains("- prod/a/Deployment/web-1") && text.contains("record"), "{text}");
}

#[test]
fn a_preview_says_who_would_break_who_would_get_in_and_why() {
    let dir = world();
    let preview = |exit, book: &str| {
        run(dir.path(), exit, &["policy", "preview", book, "--log", "log", "--at", NOW, "--last", "30d"])
    };
    let (text, json) = preview(1, "strict");
    assert_eq!((counts(&json, "live"), counts(&json, "decided")), ([2, 0, 1, 0], [2, 1, 1, 0]));
    assert!(text.contains("prod/a: 2 would be refused"), "{text}");
    assert!(text.contains("wanted    tester") || text.contains("tester"), "{text}");
    assert!(text.contains("prod/b: 1 were refused, and would be let in"), "{text}");
    assert!(text.contains("strict/shop.yaml:4:"), "the place in the new book: {text}");
    // a trial stops nobody, and says whom it would
    let (text, json) = preview(0, "trial");
    assert_eq!(counts(&json, "live"), [0, 0, 1, 2]);
    assert!(text.contains("prod/a: 2 would be refused if the policy were enforced"), "{text}");
    // nothing that was let in breaks
    let (_, json) = preview(0, "wide");
    assert_eq!((counts(&json, "live"), counts(&json, "decided")), ([0, 0, 3, 0], [0, 1, 3, 0]));
}

#[test]
fn decisions_before_the_last_days_are_not_tried() {
    let dir = world();
    let args =
        ["policy", "preview", "strict", "--log", "log", "--at", "2027-03-01T00:00:00Z", "--last", "7d"];
    let (text, json) = run(dir.path(), 1, &args);
    assert_eq!(counts(&json, "decided"), [0, 0, 0, 0]);
    assert!(text.contains("0 decisions since 2027-02-22T00:00:00Z"), "{text}");
}

#[test]
fn what_cannot_be_asked_is_said() {
    let dir = world();
    let said = |args: &[&str]| {
        let output = portcullis_in(dir.path(), args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stdout(&output));
        stderr(&output)
    };
    assert!(said(&["audit", "--log", "nowhere"]).contains("nowhere"));
    assert!(said(&["policy", "preview", "nowhere", "--log", "log"]).contains("nowhere"));
    assert!(
        said(&["policy", "preview", "strict", "--log", "log", "--last", "soon"]).contains("a span, as in 7d")
    );
    assert!(said(&["audit", "--log", "log", "--guardrails", "g.yaml"]).contains("--book"));
}
