//! The pure decision (parse, open, about, evaluate) against the bare signature checks that it must do, measured in
//! turns in one run. Prints medians and the ratio; asserts nothing.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark")]
#![allow(clippy::indexing_slicing, clippy::string_slice, clippy::panic, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use attest::claims::{REVIEW, Review, Scan, TEST_RESULT, TestOutcome, TestResult, VULNS};
use attest::dsse::{Dsse, IN_TOTO, pae};
use attest::provenance::{BUILD_TYPE, Dependency, Provenance, SLSA_V1, Source};
use attest::{
    Algorithm, Artifact, Digest, DigestSet, Object, Scheme, SecretKey, Signer, Statement, TrustRoot,
};
use aws_lc_rs::signature::{self as sig, ParsedPublicKey};
use policy::{Book, Case, DeploymentRequest, Frame, Guardrails, SourceFile, Submitted, evaluate};

const NAMES: [&str; 4] = ["ci", "forge", "tester", "scanner"];

struct Setting {
    case: Case,
    book: Book,
    root: TrustRoot,
    bare: Vec<(ParsedPublicKey, Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

fn setting(scheme: Scheme, count: usize) -> Setting {
    let keys: Vec<SecretKey> = NAMES.iter().map(|_| SecretKey::generate(scheme).unwrap()).collect();
    let pem = |i: usize| -> String {
        keys[i].public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
    };
    let listed = |i: usize| format!("  {}:\n    keys:\n      - key: |\n{}", NAMES[i], pem(i));
    let root = format!(
        "version: 1\nbuilders:\n{}    ids: [\"id:ci\"]\n    hermetic: [\">=1.0.0\"]\nreview-authorities:\n{}testers:\n{}scanners:\n{}people:\n  a: {{ identities: [a@x] }}\n  b: {{ identities: [b@x] }}\n",
        listed(0),
        listed(1),
        listed(2),
        listed(3)
    );
    let root = TrustRoot::parse("r", &root).unwrap_or_else(|e| panic!("{e:?}"));
    let more = if count == 1 {
        "source: { repository: \"https://git.example/shop\", branch: main }"
    } else {
        "source: { repository: \"https://git.example/shop\", branch: main, reviewed: { approvals: 1 } }\n  tests: [unit]\n  scanned: { within: 7d, worst: medium }"
    };
    let text = format!(
        "environment: prod/shop\nartifact: r.example/shop\nrequire:\n  built-by: [ci]\n  target: //shop:image\n  hermetic: true\n  built-within: 30d\n  {more}\n"
    );
    let book = Book::load(vec![SourceFile { name: "book/shop.yaml".into(), text }], &Guardrails::none())
        .unwrap_or_else(|e| panic!("{e:?}"));
    let at = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let commit = Digest::from_hex(Algorithm::GitCommit, &"a".repeat(40)).unwrap();
    let shop: DigestSet = Digest::sha256(b"shop").into();
    let review = Review {
        repository: "https://git.example/shop".into(),
        base: None,
        authors: vec!["a@x".into()],
        reviewers: vec!["b@x".into()],
        reviewed: at,
    };
    let test =
        TestResult { names: vec!["unit".into()], result: TestOutcome::Pass, failed: Vec::new(), of: None };
    let scan = Scan {
        scanner: "s".into(),
        version: None,
        finished: at,
        database_updated: None,
        vulnerabilities: Vec::new(),
    };
    let facts: [(&str, DigestSet, Object); 4] = [
        (SLSA_V1, shop.clone(), provenance(at, &commit).to_slsa_v1()),
        (REVIEW, commit.clone().into(), review.to_json()),
        (TEST_RESULT, shop.clone(), test.to_json()),
        (VULNS, shop.clone(), scan.to_json()),
    ];
    let (mut envelopes, mut bare, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (i, (predicate_type, digests, predicate)) in facts.into_iter().enumerate().take(count) {
        let statement = Statement::write("subject", &digests, predicate_type, predicate);
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&keys[i]]).unwrap();
        let algorithm: &'static dyn sig::VerificationAlgorithm = match scheme {
            Scheme::P256 => &sig::ECDSA_P256_SHA256_ASN1,
            Scheme::MlDsa65 => &sig::ML_DSA_65,
            _ => &sig::ED25519,
        };
        let parsed = ParsedPublicKey::new(algorithm, keys[i].public().spki()).unwrap();
        bare.push((parsed, pae(IN_TOTO, statement.as_bytes()), dsse.signatures[0].bytes.clone()));
        let bundle =
            attest::bundle::Bundle::write(&dsse, &keys[i].public().id(), &[]).to_string().into_bytes();
        bytes += bundle.len();
        envelopes.push(Submitted { name: format!("{i}"), bytes: bundle });
    }
    let mut request = DeploymentRequest::new(Artifact::new("r.example/shop", shop), "prod/shop", "bench");
    request.envelopes = envelopes;
    let frame = Frame {
        at,
        last_seen: None,
        book: book.digest().clone(),
        trust_root: root.digest().clone(),
        trust_root_version: 1,
        beside: policy::Beside::default(),
        engine: "bench".into(),
    };
    let case = Case::open(request, frame);
    let verdict = evaluate(&case, &book, &root);
    assert!(verdict.is_met(), "{}", verdict.to_json().pretty());
    Setting { case, book, root, bare, bytes }
}

/// Provenance of the size that builds have: a dozen dependencies, a history of a few commits.
fn provenance(at: jiff::Timestamp, commit: &Digest) -> Provenance {
    let dependency = |i: usize| Dependency {
        uri: format!("pkg:deb/debian/package-{i}@1.2.3-4"),
        digests: Digest::sha256(&[i as u8]).into(),
        is_tool: i == 0,
        ..Dependency::default()
    };
    Provenance {
        format: "1.0".into(),
        build_type: BUILD_TYPE.into(),
        builder_id: "id:ci".into(),
        builder_version: Some("1.2.3".into()),
        source: Some(Source {
            repository: "https://git.example/shop".into(),
            reference: Some("refs/heads/main".into()),
            digests: commit.clone().into(),
            committed: Some(at),
            ..Source::default()
        }),
        target: Some("//shop:image".into()),
        parameters: Object::new(),
        dependencies: (0..12).map(dependency).collect(),
        command: Some(vec!["make".into()]),
        environment: Default::default(),
        hermetic: true,
        invocation: Some("run".into()),
        started: Some(at),
        finished: Some(at),
        ..Provenance::default()
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn main() {
    let rounds = std::env::args().find_map(|a| a.parse::<usize>().ok()).unwrap_or(3000);
    println!(
        "{:<28} {:>9} {:>12} {:>12} {:>7}",
        "pure decision", "bundles", "decision µs", "bare µs", "ratio"
    );
    for scheme in [Scheme::P256, Scheme::Ed25519, Scheme::MlDsa65] {
        for count in [1, 4] {
            let s = setting(scheme, count);
            let (mut whole, mut bare) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                let start = Instant::now();
                black_box(evaluate(black_box(&s.case), &s.book, &s.root));
                whole.push(start.elapsed());
                let start = Instant::now();
                for (key, message, signature) in &s.bare {
                    black_box(key.verify_sig(message, signature)).unwrap();
                }
                bare.push(start.elapsed());
            }
            let (whole, bare) = (median(whole), median(bare));
            let name = format!("{} × {count}", scheme.name());
            println!("{name:<28} {:>7} B {whole:>12.1} {bare:>12.1} {:>7.2}", s.bytes, whole / bare);
        }
    }
}
