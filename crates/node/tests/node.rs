//! The node's verifier as containerd calls it: summaries of a real choke point, grants, and everything that is not one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use attest::breakglass::Grant;
use attest::dsse::{Dsse, IN_TOTO};
use attest::time::Span;
use attest::{Artifact, Digest, Object, SecretKey, Signer as _, Statement, TrustRoot};
use chokepoint::{Chokepoint, Verifier};
use evidence::Store;
use jiff::{SignedDuration, Timestamp};
use policy::{Book, DeploymentRequest, Guardrails, SourceFile, Submitted};
use tlog::{Files, Log};

const IMAGE: &str = "r.example/shop";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

fn listed(seed: u8) -> String {
    let pem: String = key(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
    format!("    keys:\n      - key: |\n{pem}")
}

fn digest(what: &str) -> Digest {
    Digest::sha256(what.as_bytes())
}

/// The time as the program itself sees it.
fn now() -> Timestamp {
    let since = std::process::Command::new("date").arg("+%s").output().unwrap();
    Timestamp::from_second(String::from_utf8(since.stdout).unwrap().trim().parse().unwrap()).unwrap()
}

struct Node {
    dir: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Self { dir };
        let root = format!(
            "version: 1\nverifiers:\n  gate:\n    ids: [https://gate.example/eu]\n{}people:\n  bob:\n    identities: [bob@x]\n{}groups:\n  oncall: [bob]\n",
            listed(3),
            listed(5)
        );
        node.write("trust-root.yaml", &root);
        node.write(
            "book/prod/shop.yaml",
            "environment: prod/shop\nartifact: r.example/shop\nrequire:\n  verified-by: { verifiers: [gate], within: 24h, environment: prod/shop }\nbreakglass: { group: oncall, expires: 4h, reviewed-within: 24h }\n",
        );
        node.write(
            "node.yaml",
            "book: book\ntrust-root: trust-root.yaml\nevidence: evidence\nspool: spool\nenvironments:\n  - { environment: prod/shop, images: [r.example/shop] }\n",
        );
        node
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn store(&self) -> Store {
        Store::new(&self.dir.path().join("evidence"))
    }

    fn bring(&self, artifact: &Digest, environment: &str, summary: &[u8]) {
        self.store().keep_summary(artifact, environment, summary).unwrap();
    }

    fn spooled(&self) -> usize {
        fs::read_dir(self.dir.path().join("spool/waiting")).map_or(0, Iterator::count)
    }

    /// What containerd does.
    fn ask(&self, image: &str, digest: &str, descriptor: &str) -> (Option<i32>, String) {
        let arguments = [
            "-name",
            image,
            "-digest",
            digest,
            "-stdin-media-type",
            "application/vnd.oci.descriptor.v1+json",
        ];
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis-image-verifier"))
            .args(arguments)
            .env_clear()
            .env("PORTCULLIS_NODE", self.dir.path().join("node.yaml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // one that refuses before it reads closes the pipe
        child.stdin.take().unwrap().write_all(descriptor.as_bytes()).ok();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    fn image(&self, digest: &Digest) -> (Option<i32>, String) {
        let text = digest.to_string();
        self.ask("r.example/shop:1.4", &text, &format!(r#"{{"mediaType":"x","digest":"{text}","size":3}}"#))
    }
}

/// A choke point elsewhere admits, and signs.
fn summary(dir: &Path, artifact: &Digest, environment: &str, at: Timestamp) -> Vec<u8> {
    let root = format!("version: 1\nsigners:\n  ci:\n{}", listed(1));
    let root = TrustRoot::parse("trust-root.yaml", &root).unwrap();
    let text = format!("environment: {environment}\nartifact: {IMAGE}\nrequire: {{ signed-by: [ci] }}\n");
    let file = SourceFile { name: "book/shop.yaml".to_owned(), text };
    let book = Book::load(vec![file], &Guardrails::none()).unwrap();
    let log = dir.join(format!("log-{}-{}", environment.replace('/', "-"), at.as_second()));
    let log = Log::create(Files::new(&log), "test.example", Box::new(key(9))).unwrap();
    let point = Chokepoint::open(book, root, log).unwrap();
    let statement =
        Statement::write("shop", &artifact.clone().into(), "https://example.com/x", Object::new());
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key(1)]).unwrap();
    let mut request = DeploymentRequest::new(
        Artifact::new("r.example/shop:1.4", artifact.clone().into()),
        environment,
        "test",
    );
    request.envelopes =
        vec![Submitted { name: "a".to_owned(), bytes: dsse.to_json().to_string().into_bytes() }];
    let admission = point.decide(request, at).unwrap();
    let verifier = Verifier { id: "https://gate.example/eu".to_owned(), expires: Span::seconds(48 * 3600) };
    admission.passed().unwrap().sign(&verifier, &key(3)).unwrap()
}

fn hours_ago(hours: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_hours(hours)).unwrap()
}

fn grant(environment: &str, artifact: Option<Digest>, issued: Timestamp, seed: u8) -> Vec<u8> {
    let grant = Grant {
        id: "bg-1".to_owned(),
        environment: environment.to_owned(),
        artifact,
        requester: None,
        reason: "checkout is down".to_owned(),
        ticket: "INC-42".to_owned(),
        issued,
        expires: issued.checked_add(SignedDuration::from_hours(1)).unwrap(),
    };
    grant.sign(&key(seed)).unwrap().to_string().into_bytes()
}

#[test]
fn an_image_is_taken_on_a_summary_of_its_own_and_on_nothing_else() {
    let node = Node::new();
    let shop = digest("shop");
    let (code, text) = node.image(&shop);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("reject: r.example/shop@sha256:") && text.contains(": verified-by: "), "{text}");
    let signed = summary(node.dir.path(), &shop, "prod/shop", hours_ago(1));
    node.bring(&shop, "prod/shop", &signed);
    let (code, text) = node.image(&shop);
    assert_eq!((code, text.contains("in prod/shop, by policy")), (Some(0), true), "{text}");
    assert_eq!(node.spooled(), 0);

    // the summary of another image, brought under this one's name
    let other = digest("other");
    node.store().attach(&other, &[node.store().put(&signed).unwrap()]).unwrap();
    let (code, text) = node.image(&other);
    assert!(code == Some(1) && text.contains("verified-by"), "{text}");
    // one for another environment, and one that is too old
    for (environment, at) in [("staging/shop", hours_ago(1)), ("prod/shop", hours_ago(25))] {
        let node = Node::new();
        node.bring(&shop, "prod/shop", &summary(node.dir.path(), &shop, environment, at));
        let (code, text) = node.image(&shop);
        assert!(code == Some(1) && text.contains("verified-by"), "{environment} {text}");
    }
    // by a key that is nobody's: it does not open, so nothing was brought
    let forged = String::from_utf8(signed).unwrap().replacen("\"sig\":\"", "\"sig\":\"AAAA", 1);
    let node = Node::new();
    node.bring(&shop, "prod/shop", forged.as_bytes());
    let (code, text) = node.image(&shop);
    assert!(code == Some(1) && text.contains("verified-by"), "{text}");
    // an image that the node knows nothing of
    let (code, text) =
        node.ask("docker.io/library/busybox:1", &shop.to_string(), &format!(r#"{{"digest":"{shop}"}}"#));
    assert!(code == Some(1) && text.contains("policy-missing"), "{text}");
}

#[test]
fn a_grant_takes_an_image_once_it_is_written_down_and_only_one_that_holds() {
    let (node, shop) = (Node::new(), digest("shop"));
    for (grant, why) in [
        (grant("prod/pay", None, now(), 5), "another environment"),
        (grant("prod/shop", Some(digest("other")), now(), 5), "another artifact"),
        (grant("prod/shop", None, hours_ago(2), 5), "it has ended"),
        (grant("prod/shop", None, now(), 3), "no person gave it"),
    ] {
        node.store().put_grant(&grant).unwrap();
        let (code, text) = node.image(&shop);
        assert!(code == Some(1) && text.contains("verified-by"), "{why}: {text}");
    }
    assert_eq!(node.spooled(), 0);
    node.store().put_grant(&grant("prod/shop", Some(shop.clone()), now(), 5)).unwrap();
    // where it cannot be written down nothing is taken
    node.write("spool", "no folder");
    let (code, text) = node.image(&shop);
    assert!(code == Some(1) && text.contains("cannot be written down"), "{text}");
    fs::remove_file(node.dir.path().join("spool")).unwrap();
    let (code, text) = node.image(&shop);
    assert!(code == Some(0) && text.contains("by a grant of bob: checkout is down"), "{text}");
    let waiting = node.dir.path().join("spool/waiting");
    // the grant names no requester: whoever could read it could use it too
    assert_eq!(fs::metadata(&waiting).unwrap().permissions().mode() & 0o777, 0o700);
    let kept = fs::read_dir(waiting).unwrap().next().unwrap().unwrap().path();
    let kept = attest::json::parse(&fs::read(kept).unwrap()).unwrap();
    let kept = kept.as_object().unwrap();
    assert_eq!((kept.string("basis"), kept.string("environment")), (Ok("breakglass"), Ok("prod/shop")));
    assert!(kept.object("grant").is_ok_and(|grant| grant.object("dsseEnvelope").is_ok()));
}

#[test]
fn what_cannot_be_read_takes_no_image() {
    let shop = digest("shop");
    let text = shop.to_string();
    let refuses = |node: &Node, words: &str| {
        let (code, said) = node.image(&shop);
        assert!(code == Some(1) && said.starts_with("cannot decide: ") && said.contains(words), "{said}");
    };
    let fresh = || {
        let node = Node::new();
        node.bring(&shop, "prod/shop", &summary(node.dir.path(), &shop, "prod/shop", hours_ago(1)));
        assert_eq!(node.image(&shop).0, Some(0));
        node
    };
    let node = fresh();
    node.write("node.yaml", "book: book\nbok: book\n");
    refuses(&node, "node.yaml:2:1");
    let node = fresh();
    node.write(
        "book/prod/again.yaml",
        "environment: prod/shop\nartifact: r.example/*\nrequire: { signed-by: [gate] }\n",
    );
    refuses(&node, "two policies claim");
    let node = fresh();
    fs::remove_file(node.dir.path().join("trust-root.yaml")).unwrap();
    refuses(&node, "trust-root.yaml cannot be read");
    let node = fresh();
    let other = node.ask("r.example/shop:1.4", &text, &format!(r#"{{"digest":"{}"}}"#, digest("other")));
    assert!(other.0 == Some(1) && other.1.contains("the descriptor is of"), "{}", other.1);
    let none = node.ask("r.example/shop:1.4", &text, "");
    assert!(none.0 == Some(1) && none.1.contains("the descriptor cannot be read"), "{}", none.1);
    // a summary that is there and cannot be read is not the same as none
    let summaries = node.dir.path().join("evidence/summary");
    fs::rename(&summaries, node.dir.path().join("away")).unwrap();
    fs::write(&summaries, "no folder").unwrap();
    refuses(&node, "the node's evidence does not answer");
}
