//! A signed failure, from the socket to the policy: it is authentic, and satisfies nothing but that somebody signed.

use std::os::unix::net::UnixListener;
use std::path::Path;

use attest::{
    Artifact, Digest, DigestSet, Envelope, Json, Predicate, PublicKey, Scheme, SecretKey, Signer as _,
    TrustRoot,
};
use builder::{BUILD_FAILURE, FailureRecord, LOCAL_DEMO, SignerConfig, request_failure, serve};
use jiff::Timestamp;
use policy::{Book, Case, DeploymentRequest, Frame, Guardrails, SourceFile, Submitted, evaluate, rules};
use tlog::{Files, Log};

const NOW: &str = "2026-11-22T09:00:00Z";

fn commit() -> Digest {
    Digest::parse(&format!("gitCommit:{}", "a".repeat(40))).unwrap()
}

fn record(reason: &str) -> FailureRecord {
    FailureRecord {
        repository: "https://github.com/acme/shop".to_owned(),
        reference: "refs/heads/main".to_owned(),
        target: "//shop:image".to_owned(),
        commit: commit(),
        reason: reason.to_owned(),
        log: Digest::sha256(b"the log"),
        started: "2026-11-20T08:00:00Z".parse().unwrap(),
        finished: "2026-11-20T08:30:00Z".parse().unwrap(),
        invocation: "run-0001".to_owned(),
    }
}

/// A bundle that a signer made, asked over its socket.
fn signed(reason: &str) -> (Json, PublicKey) {
    let dir = tempfile::tempdir().unwrap();
    let (socket, root) = (dir.path().join("s"), dir.path().to_owned());
    let listener = UnixListener::bind(&socket).unwrap();
    let key = SecretKey::generate(Scheme::P256).unwrap();
    let public = key.public().clone();
    let signer = std::thread::spawn(move || {
        let config = SignerConfig {
            builder_id: LOCAL_DEMO.to_owned(),
            secret_file: root.join("key"),
            allow_uid: None,
            requests: Some(1),
            rate: 1,
            ledger: root.join("signed"),
        };
        let log_key = Box::new(SecretKey::generate(Scheme::Ed25519).unwrap());
        let mut log = Log::create(Files::new(&root.join("log")), "builds.example/log", log_key).unwrap();
        serve(&listener, &config, &key, &mut log, &|| NOW.parse().unwrap()).unwrap();
    });
    let bundle = request_failure(&socket, &record(reason)).unwrap();
    signer.join().unwrap();
    (bundle, public)
}

/// The trust roots of the rules' golden cases, one for each name in it: the one that has this key.
fn trust_roots(rules: &Path, key: &PublicKey) -> Vec<TrustRoot> {
    let text = std::fs::read_to_string(rules.join("trust-root.yaml")).unwrap();
    let root = TrustRoot::parse("trust-root.yaml", &text).unwrap();
    let other = |name: &str| {
        SecretKey::from_ed25519_seed(Digest::sha256(name.as_bytes()).bytes()).unwrap().public().clone()
    };
    let owned_by = |owner: &str| root.rekeyed(|name| if name == owner { key.clone() } else { other(name) });
    root.principals().map(|p| owned_by(&p.name)).collect()
}

#[test]
fn it_says_what_failed_in_one_line_whatever_the_build_wrote() {
    let (bundle, key) = signed("exit status 2:\n\u{1b}[2Jerror: \u{202e}elbairav\0");
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/rules");
    let envelope = Envelope::parse(bundle.to_string().as_bytes()).unwrap();
    let attestation = trust_roots(&rules, &key)[0].open(&envelope, NOW.parse().unwrap()).unwrap();
    let statement = attestation.statement();
    assert_eq!(statement.predicate_type, BUILD_FAILURE);
    assert!(matches!(statement.predicate, Predicate::Other(_)));
    assert_eq!(statement.subjects.len(), 1);
    assert_eq!(statement.subjects[0].digests, DigestSet::from(commit()));
    let Some(payload) = bundle.as_object().unwrap().object("dsseEnvelope").unwrap().string("payload").ok()
    else {
        panic!("a payload")
    };
    let text = String::from_utf8(attest::dsse::base64(payload).unwrap()).unwrap();
    assert!(text.contains(r#""reason":"exit status 2: [2Jerror: elbairav""#), "{text}");
}

#[test]
fn a_failure_satisfies_no_rule_but_that_somebody_signed() {
    let (bundle, key) = signed("exit status 2");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/rules");
    let roots = trust_roots(&dir, &key);
    let (mut met, mut checked) = (Vec::new(), 0);
    for rule in rules::all().filter(|r| r.read.is_some()) {
        let book = book(&dir.join(rule.name).join("book"));
        for (policy, root) in book.policies().iter().flat_map(|p| roots.iter().map(move |r| (p, r))) {
            checked += 1;
            let (uri, environment) = (&policy.artifacts()[0].text, &policy.environment().text);
            let judge = |digests: &DigestSet, bundles: &[&Json]| {
                evaluate(&case(uri, environment, digests, bundles, (&book, root)), &book, root)
            };
            // both as evidence about the commit itself, and about an artifact that somebody says came from it
            for (what, digest) in [("commit", commit()), ("artifact", Digest::sha256(b"the artifact"))] {
                let (with, without) = (judge(&digest.clone().into(), &[&bundle]), judge(&digest.into(), &[]));
                if with.is_met() {
                    met.push((rule.name, what));
                    continue;
                }
                let broken = |v: &policy::Verdict| v.findings().iter().map(|f| f.rule).collect::<Vec<_>>();
                let (with, without) = (broken(&with), broken(&without));
                let mut lost = without.into_iter().filter(|name| !with.contains(name));
                let is_about_evidence = |name: &str| name == "signed-by" || name.starts_with("evidence");
                assert!(lost.all(is_about_evidence), "{} is met with {with:?}", rule.name);
            }
        }
    }
    assert!(checked >= 100, "{checked}");
    met.dedup();
    assert_eq!(met, [("signed-by", "commit")], "about the commit, and nothing else");
}

fn book(dir: &Path) -> Book {
    let one = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        SourceFile { name: path.display().to_string(), text: std::fs::read_to_string(path).unwrap() }
    };
    Book::load(std::fs::read_dir(dir).unwrap().map(one).collect(), &Guardrails::none()).unwrap()
}

fn case(
    uri: &str,
    environment: &str,
    digests: &DigestSet,
    bundles: &[&Json],
    (book, root): (&Book, &TrustRoot),
) -> Case {
    let at: Timestamp = NOW.parse().unwrap();
    let envelopes = bundles
        .iter()
        .map(|b| Submitted { name: "failure.json".to_owned(), bytes: b.to_string().into_bytes() });
    let mut request = DeploymentRequest::new(Artifact::new(uri, digests.clone()), environment, "test");
    request.requester = Some("alice@acme.example".to_owned());
    request.envelopes = envelopes.collect();
    let frame = Frame {
        at,
        last_seen: None,
        book: book.digest().clone(),
        trust_root: root.digest().clone(),
        trust_root_version: root.version(),
        beside: policy::Beside::default(),
        engine: "test".to_owned(),
    };
    Case::open(request, frame)
}
