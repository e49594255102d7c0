//! Every bit of every valid envelope flipped, every field dropped: no reject ever becomes an admit, and no change to
//! what was signed goes unseen.

use std::path::Path;

use attest::digest::DigestSet;
use attest::json::{Json, parse};
use attest::{Artifact, Envelope, TrustRoot};
use policy::scenario::{Scenario, TestFile, test_key};
use policy::{Book, Case, DeploymentRequest, Guardrails, SourceFile, Submitted, evaluate};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

struct Setting {
    book: Book,
    root: TrustRoot,
    case: Case,
}

/// A case with one kind of everything, that is met.
fn setting() -> Setting {
    let text = read("../cli/src/command/init/shop.test.yaml");
    let tests = TestFile::parse("shop.test.yaml", &text).unwrap();
    let scenario: &Scenario = &tests.tests[0];
    let policy = read("../cli/src/command/init/shop.yaml");
    let book =
        Book::load(vec![SourceFile { name: "book/shop.yaml".to_owned(), text: policy }], &Guardrails::none())
            .unwrap();
    let root = trust_root();
    let (root, case) = scenario.prepare(&book, &root);
    assert!(evaluate(&case, &book, &root).is_met(), "{}", evaluate(&case, &book, &root).to_json().pretty());
    Setting { book, root, case }
}

fn trust_root() -> TrustRoot {
    use attest::Signer as _;
    let keys = |name: &str| {
        let pem: String =
            test_key(name).public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
        format!("    keys:\n      - key: |\n{pem}")
    };
    let text = format!(
        "version: 1\nbuilders:\n  official-ci:\n    ids: [\"https://ci.acme.example/builders/official\"]\n    hermetic: [\">=0.1.0\"]\n{}review-authorities:\n  forge:\n{}testers:\n  ci-tests:\n{}scanners:\n  ci-scanner:\n{}releasers:\n  release-desk:\n{}people:\n  alice:\n    identities: [alice@acme.example]\n  bob:\n    identities: [bob@acme.example]\ngroups:\n  release-managers: [alice]\n  sre-oncall: [bob]\n",
        keys("official-ci"),
        keys("forge"),
        keys("ci-tests"),
        keys("ci-scanner"),
        keys("release-desk")
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

impl Setting {
    /// The case with one envelope replaced.
    fn with(&self, index: usize, bytes: Vec<u8>) -> Case {
        let mut request: DeploymentRequest = self.case.request().clone();
        request.envelopes[index] = Submitted { name: request.envelopes[index].name.clone(), bytes };
        Case::open(request, self.case.frame().clone())
    }

    fn is_met(&self, case: &Case) -> bool {
        evaluate(case, &self.book, &self.root).is_met()
    }
}

/// What an envelope says and who vouches for it: a change that is still admitted must leave this as it is.
fn meaning(setting: &Setting, bytes: &[u8]) -> Option<String> {
    let attestation = setting.root.open(&Envelope::parse(bytes).ok()?, setting.case.at()).ok()?;
    Some(format!("{:?} {:?}", attestation.statement(), attestation.signers()))
}

#[test]
fn a_flipped_bit_is_refused_or_changes_nothing_that_was_signed() {
    let setting = setting();
    let envelopes = setting.case.request().envelopes.clone();
    let (mut refused, mut harmless) = (0, 0);
    for (index, envelope) in envelopes.iter().enumerate() {
        let before = meaning(&setting, &envelope.bytes);
        assert!(before.is_some());
        for at in 0..envelope.bytes.len() {
            for bit in [0x01, 0x02, 0x20] {
                let mut bytes = envelope.bytes.clone();
                bytes[at] ^= bit;
                if setting.is_met(&setting.with(index, bytes.clone())) {
                    // the hint, the case of nothing, an unread name: the signed statement is word for word the same
                    assert_eq!(
                        meaning(&setting, &bytes),
                        before,
                        "envelope {index}, byte {at}, bit {bit:#x}"
                    );
                    harmless += 1;
                } else {
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 10_000 && harmless * 10 < refused, "{refused} refused, {harmless} harmless");
}

/// Every way to drop one field, or one item of a list, somewhere in a document.
fn drops(value: &Json) -> Vec<Json> {
    let mut out = Vec::new();
    match value {
        Json::Object(object) => {
            for (key, inner) in object.iter() {
                let mut without = object.clone();
                without.remove(key);
                out.push(Json::Object(without));
                for smaller in drops(inner) {
                    let mut changed = object.clone();
                    changed.set(key, smaller);
                    out.push(Json::Object(changed));
                }
            }
        }
        Json::Array(items) => {
            for index in 0..items.len() {
                let mut without = items.clone();
                without.remove(index);
                out.push(Json::Array(without));
                for smaller in drops(&items[index]) {
                    let mut changed = items.clone();
                    changed[index] = smaller;
                    out.push(Json::Array(changed));
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Int(_) | Json::Number(_) | Json::String(_) => {}
    }
    out
}

#[test]
fn a_dropped_field_of_an_envelope_is_refused_or_changes_nothing_that_was_signed() {
    let setting = setting();
    for (index, envelope) in setting.case.request().envelopes.iter().enumerate() {
        let before = meaning(&setting, &envelope.bytes);
        for smaller in drops(&parse(&envelope.bytes).unwrap()) {
            let bytes = smaller.to_string().into_bytes();
            if setting.is_met(&setting.with(index, bytes.clone())) {
                assert_eq!(meaning(&setting, &bytes), before, "{smaller}");
            }
        }
    }
}

#[test]
fn without_any_one_envelope_the_case_is_refused() {
    let setting = setting();
    let count = setting.case.request().envelopes.len();
    for index in 0..count {
        let mut request = setting.case.request().clone();
        request.envelopes.remove(index);
        assert!(
            !setting.is_met(&Case::open(request, setting.case.frame().clone())),
            "without envelope {index}"
        );
    }
}

#[test]
fn another_artifact_with_the_same_name_is_refused() {
    let setting = setting();
    let mut request = setting.case.request().clone();
    request.artifact =
        Artifact::new(request.artifact.uri(), DigestSet::from(attest::Digest::sha256(b"other")));
    let verdict = evaluate(&Case::open(request, setting.case.frame().clone()), &setting.book, &setting.root);
    assert!(verdict.findings().iter().any(|f| f.rule == "evidence-applies"), "{}", verdict.to_json());
}

#[test]
fn a_swapped_book_or_trust_root_cannot_be_decided() {
    let setting = setting();
    let mut frame = setting.case.frame().clone();
    frame.book = attest::Digest::sha256(b"another");
    let case = Case::open(setting.case.request().clone(), frame);
    let verdict = evaluate(&case, &setting.book, &setting.root);
    assert!(matches!(verdict.outcome(), policy::Outcome::CannotDecide(_)));
}

#[test]
fn a_clock_behind_the_newest_record_cannot_decide() {
    let setting = setting();
    for (seconds, decides) in [(60, true), (61, false)] {
        let mut frame = setting.case.frame().clone();
        frame.last_seen = jiff::Timestamp::from_second(frame.at.as_second() + seconds).ok();
        let case = Case::open(setting.case.request().clone(), frame);
        let verdict = evaluate(&case, &setting.book, &setting.root);
        assert_eq!(verdict.is_met(), decides, "{seconds}");
        assert_eq!(matches!(verdict.outcome(), policy::Outcome::CannotDecide(_)), !decides);
    }
}
