//! A million deployments judged again under a changed book: with evidence that was opened already, and with every
//! signature checked anew beside the bare checks, in one run. Prints; asserts only that the verdicts are right.
//! `PORTCULLIS_LIVE`, `PORTCULLIS_ARTIFACTS`: how many run, of how many artifacts.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark")]
#![allow(clippy::indexing_slicing, clippy::panic, missing_docs, reason = "a benchmark")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attest::claims::{REVIEW, Review, Scan, TEST_RESULT, TestOutcome, TestResult, VULNS};
use attest::dsse::{Dsse, IN_TOTO, pae};
use attest::provenance::{BUILD_TYPE, Dependency, Provenance, SLSA_V1, Source};
use attest::{
    Algorithm, Artifact, Digest, DigestSet, Directly, Object, Opener, Scheme, SecretKey, Signer, Statement,
    TrustRoot, Unopened, Verified,
};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use inventory::audit::{Fleet, Frozen, judge};
use jiff::Timestamp;
use policy::{Book, Guardrails, SourceFile};

const NAMES: [&str; 4] = ["ci", "forge", "tester", "scanner"];
const THREADS: usize = 2;

struct World {
    keys: Vec<SecretKey>,
    parsed: Vec<ParsedPublicKey>,
    root: TrustRoot,
    at: Timestamp,
}

/// The bytes of every envelope, and what a bare check of it needs.
#[derive(Default)]
struct Evidence {
    bytes: BTreeMap<Digest, Vec<u8>>,
    bare: Vec<(usize, Vec<u8>, Vec<u8>)>,
}

fn world() -> World {
    let keys: Vec<SecretKey> = NAMES.iter().map(|_| SecretKey::generate(Scheme::P256).unwrap()).collect();
    let listed = |i: usize| {
        let pem: String = keys[i].public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
        format!("  {}:\n    keys:\n      - key: |\n{pem}", NAMES[i])
    };
    let text = format!(
        "version: 1\nbuilders:\n{}    ids: [\"id:ci\"]\n    hermetic: [\">=1.0.0\"]\nreview-authorities:\n{}testers:\n{}scanners:\n{}people:\n  a: {{ identities: [a@x] }}\n  b: {{ identities: [b@x] }}\n",
        listed(0),
        listed(1),
        listed(2),
        listed(3)
    );
    let root = TrustRoot::parse("r", &text).unwrap_or_else(|e| panic!("{e:?}"));
    let parse = |key: &SecretKey| ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public().spki()).unwrap();
    let parsed = keys.iter().map(parse).collect();
    World { keys, parsed, root, at: Timestamp::from_second(1_800_000_000).unwrap() }
}

fn book(worst: &str) -> Book {
    let text = format!(
        "environment: prod/*\nartifact: registry.example/*\nrequire:\n  built-by: [ci]\n  target: //shop:image\n  hermetic: true\n  built-within: 30d\n  source: {{ repository: \"https://git.example/shop\", branch: main, reviewed: {{ approvals: 1 }} }}\n  tests: [unit]\n  scanned: {{ within: 7d, worst: {worst} }}\n"
    );
    Book::load(vec![SourceFile { name: "book/all.yaml".into(), text }], &Guardrails::none())
        .unwrap_or_else(|e| panic!("{e:?}"))
}

/// Provenance of the size that builds have, a review, a test result and a scan of one artifact.
fn evidence_of(world: &World, number: usize, into: &mut Evidence) -> (Artifact, Vec<(String, Digest)>) {
    let image: DigestSet = Digest::sha256(format!("image {number}").as_bytes()).into();
    let commit = Digest::from_hex(Algorithm::GitCommit, &format!("{number:040x}")).unwrap();
    let dependency = |i: usize| Dependency {
        uri: format!("pkg:deb/debian/package-{i}@1.2.3-4"),
        digests: Digest::sha256(&[i as u8]).into(),
        is_tool: i == 0,
        ..Dependency::default()
    };
    let provenance = Provenance {
        format: "1.0".into(),
        build_type: BUILD_TYPE.into(),
        builder_id: "id:ci".into(),
        builder_version: Some("1.2.3".into()),
        source: Some(Source {
            repository: "https://git.example/shop".into(),
            reference: Some("refs/heads/main".into()),
            digests: commit.clone().into(),
            committed: Some(world.at),
            ..Source::default()
        }),
        target: Some("//shop:image".into()),
        dependencies: (0..12).map(dependency).collect(),
        command: Some(vec!["make".into()]),
        hermetic: true,
        invocation: Some(format!("run {number}")),
        started: Some(world.at),
        finished: Some(world.at),
        ..Provenance::default()
    };
    let review = Review {
        repository: "https://git.example/shop".into(),
        base: None,
        authors: vec!["a@x".into()],
        reviewers: vec!["b@x".into()],
        reviewed: world.at,
    };
    let test =
        TestResult { names: vec!["unit".into()], result: TestOutcome::Pass, failed: Vec::new(), of: None };
    let scan = Scan {
        scanner: "s".into(),
        version: None,
        finished: world.at,
        database_updated: None,
        vulnerabilities: Vec::new(),
    };
    let facts: [(&str, DigestSet, Object); 4] = [
        (SLSA_V1, image.clone(), provenance.to_slsa_v1()),
        (REVIEW, commit.into(), review.to_json()),
        (TEST_RESULT, image.clone(), test.to_json()),
        (VULNS, image.clone(), scan.to_json()),
    ];
    let mut names = Vec::new();
    for (i, (kind, digests, predicate)) in facts.into_iter().enumerate() {
        let statement = Statement::write("subject", &digests, kind, predicate);
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&world.keys[i]]).unwrap();
        into.bare.push((i, pae(IN_TOTO, statement.as_bytes()), dsse.signatures[0].bytes.clone()));
        let bytes =
            attest::bundle::Bundle::write(&dsse, &world.keys[i].public().id(), &[]).to_string().into_bytes();
        let digest = Digest::sha256(&bytes);
        into.bytes.insert(digest.clone(), bytes);
        names.push((format!("{i}"), digest));
    }
    (Artifact::new(&format!("registry.example/app-{}", number % 500), image), names)
}

/// Everything opened already.
struct Opened(BTreeMap<Digest, Arc<Verified>>);

impl Opener for Opened {
    fn verify(&self, root: &TrustRoot, bytes: &[u8], digest: &Digest) -> Result<Arc<Verified>, Unopened> {
        match self.0.get(digest) {
            Some(verified) => Ok(Arc::clone(verified)),
            None => Directly.verify(root, bytes, digest),
        }
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn run(
    world: &World,
    fleet: &Fleet,
    book: &Book,
    opener: &(dyn Opener + Sync),
    evidence: &Evidence,
) -> (Duration, u64, u64) {
    let frozen = Frozen { book, root: &world.root, at: world.at, engine: "bench" };
    let (met, unmet) = (AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    judge(fleet, frozen, THREADS, opener, &|digest| evidence.bytes.get(digest).cloned(), &|judged| {
        let counter = if judged.decision.unwrap().verdict().is_met() { &met } else { &unmet };
        counter.fetch_add(judged.question.running, Ordering::Relaxed);
    });
    (start.elapsed(), met.into_inner(), unmet.into_inner())
}

fn bare(world: &World, evidence: &Evidence) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for part in evidence.bare.chunks(evidence.bare.len().div_ceil(THREADS)) {
            scope.spawn(move || {
                for (key, message, signature) in part {
                    world.parsed[*key].verify_sig(message, signature).unwrap();
                }
            });
        }
    });
    start.elapsed()
}

fn main() {
    let number = |name: &str, otherwise: usize| {
        std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
    };
    let (live, artifacts) = (number("PORTCULLIS_LIVE", 1_000_000), number("PORTCULLIS_ARTIFACTS", 10_000));
    let world = world();
    let mut evidence = Evidence::default();
    let made: Vec<_> = (0..artifacts).map(|number| evidence_of(&world, number, &mut evidence)).collect();
    println!(
        "{live} live deployments of {artifacts} artifacts, 4 P-256 signatures each; {THREADS} threads; {} MiB before",
        resident()
    );
    let start = Instant::now();
    let mut fleet = Fleet::new();
    for number in 0..live {
        let (artifact, names) = &made[number % artifacts];
        // everybody asks another question: nothing is won by replicas here
        let (requester, environment) =
            (format!("person-{}", number / artifacts), format!("prod/team-{}", number % 40));
        let id = fleet
            .add_question(artifact, &environment, Some(&requester), "kubernetes/eu-1", names.clone())
            .unwrap();
        fleet.run(id, 1);
    }
    println!(
        "{} questions gathered in {:.1} s, {} MiB",
        fleet.len(),
        start.elapsed().as_secs_f64(),
        resident()
    );
    let strict = book("low");
    let (anew, met, unmet) = run(&world, &fleet, &strict, &Directly, &evidence);
    assert_eq!((met, unmet), (live as u64, 0));
    println!("judged, each envelope opened once:  {:>7.2} s, {} MiB", anew.as_secs_f64(), resident());
    let opened = evidence.bytes.iter().map(|(d, b)| (d.clone(), Directly.verify(&world.root, b, d).unwrap()));
    let opened = Opened(opened.collect());
    let (again, met, _) = run(&world, &fleet, &strict, &opened, &evidence);
    assert_eq!(met, live as u64);
    println!("judged, all evidence opened before: {:>7.2} s, {} MiB", again.as_secs_f64(), resident());
    drop(opened);
    let floor = bare(&world, &evidence);
    let mut small = Fleet::new();
    for (artifact, names) in &made {
        let id =
            small.add_question(artifact, "prod/shop", Some("a"), "kubernetes/eu-1", names.clone()).unwrap();
        small.run(id, 1);
    }
    let (every, _, _) = run(&world, &small, &strict, &Directly, &evidence);
    let ratio = every.as_secs_f64() / floor.as_secs_f64();
    println!(
        "one of each artifact, every signature anew: {:.2} s; bare checks {:.2} s; ratio {ratio:.2}",
        every.as_secs_f64(),
        floor.as_secs_f64()
    );
}
