//! Verification summaries of others: a real one, and the specification's example.

use std::path::Path;

use attest::{Artifact, Digest, Envelope, Predicate, Role, Statement, TrustRoot};
use jiff::Timestamp;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/summaries").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

const BCID: &str = "https://bcid.corp.google.com/verifier/bcid_package_enforcer/v0.1";

fn root(section: &str) -> TrustRoot {
    let pem: String = file("gke-image.pem").lines().map(|l| format!("          {l}\n")).collect();
    let text =
        format!("version: 1\n{section}:\n  bcid:\n    ids: [\"{BCID}\"]\n    keys:\n      - key: |\n{pem}");
    TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}"))
}

#[test]
fn a_summary_of_googles_opens_and_is_about_nothing_that_has_a_digest_of_its_bytes() {
    let envelope = Envelope::parse(file("gke-image.json").as_bytes()).unwrap();
    let root = root("verifiers");
    let attestation = root.open(&envelope, now()).unwrap();
    assert!(attestation.signers()[0].roles.contains(&Role::Verifier));
    assert_eq!(root.principal("bcid").unwrap().verifier_ids, [BCID]);
    let Predicate::Summary(summary) = &attestation.statement().predicate else { panic!("{attestation:?}") };
    assert_eq!((summary.verifier.as_str(), summary.passed), (BCID, true));
    assert_eq!(summary.levels, ["BCID_L1", "SLSA_BUILD_LEVEL_2"]);
    assert_eq!(summary.verified.unwrap().to_string(), "2024-06-12T07:24:34.351608Z");
    assert_eq!((&summary.environment, summary.expires, summary.policy.is_empty()), (&None, None, true));
    // an image's number at Google is no digest that could be compared with what is deployed
    let artifact = Artifact::new("gke", Digest::sha256(b"image").into());
    assert!(attestation.about(&artifact).is_err());
    let changed = file("gke-image.json").replacen("eyJfdHlwZSI6", "eyJfdHlwZSJ6", 1);
    assert!(Envelope::parse(changed.as_bytes()).is_ok_and(|e| root.open(&e, now()).is_err()));
}

/// SLSA v1.2, verification_summary, with `slsaResult` as the source track's examples call it.
#[test]
fn the_specifications_example_reads_under_both_names_of_the_result() {
    for result in ["verificationResult", "slsaResult"] {
        let text = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1",
            "subject":[{{"name":"out/example-1.2.3.tar.gz","digest":{{"sha256":"{}"}}}}],
            "predicateType":"https://slsa.dev/verification_summary/v1",
            "predicate":{{"verifier":{{"id":"https://example.com/publication_verifier","version":{{"slsa-verifier-linux-amd64":"v2.3.0"}}}},
            "timeVerified":"1985-04-12T23:20:50.52Z",
            "resourceUri":"https://example.com/example-1.2.3.tar.gz",
            "policy":{{"uri":"https://example.com/example_tarball.policy","digest":{{"sha256":"{}"}}}},
            "inputAttestations":[{{"uri":"https://example.com/provenances/example-1.2.3.tar.gz.intoto.jsonl","digest":{{"sha256":"{}"}}}}],
            "{result}":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_3"],
            "dependencyLevels":{{"SLSA_BUILD_LEVEL_3":5,"SLSA_BUILD_LEVEL_2":7,"SLSA_BUILD_LEVEL_1":1}},"slsaVersion":"1.0"}}}}"#,
            "5".repeat(64),
            "1".repeat(64),
            "a".repeat(64)
        );
        let statement = Statement::parse(text.as_bytes()).unwrap();
        let Predicate::Summary(summary) = &statement.predicate else { panic!("{statement:?}") };
        assert!(summary.passed && summary.levels == ["SLSA_BUILD_LEVEL_3"]);
        assert_eq!(summary.resource, "https://example.com/example-1.2.3.tar.gz");
        assert_eq!(summary.policy_uri, "https://example.com/example_tarball.policy");
    }
}
