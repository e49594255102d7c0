//! Certificates and Sigstore's logs, on real bundles and the trusted roots that they were made under.

mod data;

use attest::Signer as _;
use attest::{Attestation, Envelope, OpenError, TrustRoot};
use data::data;
use jiff::Timestamp;

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const WORKFLOW: &str =
    "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main";

/// A trust root with the embedded instances, and one releaser with these certificates.
fn root(identities: &str) -> TrustRoot {
    let text = format!(
        "version: 1\nsigstore:\n  public-good: {{ trusted-root: embedded }}\n  staging: {{ trusted-root: embedded }}\nreleasers:\n  js:\n    certificate-identities:\n{identities}"
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}"))
}

fn exactly(identity: &str, more: &str) -> String {
    format!("      - {{ instance: public-good, issuer: \"{ISSUER}\", identity: \"{identity}\"{more} }}\n")
}

fn open(root: &TrustRoot, bytes: &[u8]) -> Result<Attestation, OpenError> {
    let now: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
    root.open(&Envelope::parse(bytes).unwrap(), now)
}

fn bundle() -> Option<Vec<u8>> {
    data("real-attestations").map(|d| std::fs::read(d.join("sigstore-js-2.1.0-bundle.json")).unwrap())
}

#[test]
fn a_real_bundle_opens_for_the_identity_that_signed_it_with_its_facts() {
    let Some(bundle) = bundle() else { return };
    let attestation = open(&root(&exactly(WORKFLOW, "")), &bundle).unwrap();
    assert_eq!(attestation.signers()[0].name, "js");
    let certificate = attestation.certificate().unwrap();
    assert_eq!((certificate.identity(), certificate.issuer()), (WORKFLOW, ISSUER));
    assert_eq!(certificate.source_repository(), Some("https://github.com/sigstore/sigstore-js"));
    assert_eq!(certificate.source_ref(), Some("refs/heads/main"));
    assert_eq!(certificate.runner(), Some("github-hosted"));
    assert_eq!(certificate.trigger(), Some("push"));
    assert_eq!(attestation.logged()[0].log, "public-good");
    assert!(
        attestation.time().is_some_and(|t| t.to_string().starts_with("2023-")),
        "{:?}",
        attestation.time()
    );
}

#[test]
fn every_part_of_an_identity_alone_refuses() {
    let Some(bundle) = bundle() else { return };
    for (identity, part) in [
        (exactly("https://github.com/sigstore/sigstore-js/.github/workflows/release.yml", ""), "identity"),
        (
            exactly(WORKFLOW, ", source-repository: \"https://github.com/sigstore/other\""),
            "source-repository",
        ),
        (exactly(WORKFLOW, ", source-ref: \"refs/tags/*\""), "source-ref"),
        (exactly(WORKFLOW, ", runner: self-hosted"), "runner"),
        (exactly(WORKFLOW, ", trigger: [pull_request]"), "trigger"),
        (exactly(WORKFLOW, ", workflow: \"https://github.com/sigstore/other/**\""), "workflow"),
    ] {
        match open(&root(&identity), &bundle).unwrap_err() {
            OpenError::UnknownIdentity(unknown) => {
                assert_eq!(unknown.nearest.unwrap().1.what, part, "{identity}");
            }
            other => panic!("{part}: {other}"),
        }
    }
    let elsewhere = exactly(WORKFLOW, "").replace("public-good", "staging");
    assert!(matches!(open(&root(&elsewhere), &bundle), Err(OpenError::UnknownIdentity(_))));
    let other_issuer = exactly(WORKFLOW, "").replace(ISSUER, "https://gitlab.com");
    assert!(matches!(open(&root(&other_issuer), &bundle), Err(OpenError::UnknownIdentity(_))));
}

#[test]
fn a_pattern_is_anchored_and_one_certificate_is_one_name() {
    let Some(bundle) = bundle() else { return };
    let matching = |pattern: &str| {
        format!(
            "      - {{ instance: public-good, issuer: \"{ISSUER}\", identity-matching: \"{pattern}\" }}\n"
        )
    };
    assert!(open(&root(&matching("https://github.com/sigstore/sigstore-js/**")), &bundle).is_ok());
    assert!(open(&root(&matching("https://github.com/sigstore/sigstore-js")), &bundle).is_err());
    assert!(open(&root(&matching("sigstore/sigstore-js/**")), &bundle).is_err());
    let two = format!(
        "{}  twin:\n    certificate-identities:\n{}",
        exactly(WORKFLOW, ""),
        matching("https://github.com/sigstore/**")
    );
    assert_eq!(open(&root(&two), &bundle).unwrap_err(), OpenError::TwoNames("js".into(), "twin".into()));
}

#[test]
fn a_revoked_identity_counts_before_its_revocation_only() {
    let Some(bundle) = bundle() else { return };
    let revoked = |from: &str| exactly(WORKFLOW, &format!(", revoked: {{ from: {from}, reason: moved }}"));
    assert!(matches!(open(&root(&revoked("2020-01-01")), &bundle), Err(OpenError::Revoked { .. })));
    assert!(open(&root(&revoked("2026-01-01")), &bundle).is_ok());
}

#[test]
fn a_pep_740_attestation_is_a_bundle_in_other_words() {
    let Some(dir) = data("real-attestations") else { return };
    let bytes = std::fs::read(dir.join("rfc8785-0.1.2-py3-none-any.whl.publish.attestation")).unwrap();
    let identity = "      - { instance: staging, issuer: \"https://github.com/login/oauth\", identity: william@yossarian.net }\n";
    let attestation = open(&root(identity), &bytes).unwrap();
    assert_eq!(attestation.certificate().unwrap().identity(), "william@yossarian.net");
    let text = String::from_utf8(bytes).unwrap();
    let unknown = text.replacen("\"version\"", "\"surprise\": 1, \"version\"", 1);
    assert!(Envelope::parse(unknown.as_bytes()).is_err());
}

#[test]
fn without_an_instance_a_certificate_proves_nothing() {
    let Some(bundle) = bundle() else { return };
    let key = attest::SecretKey::generate(attest::Scheme::P256)
        .unwrap()
        .public()
        .to_pem()
        .replace('\n', "\n          ");
    let text = format!("version: 1\nreleasers:\n  js:\n    keys:\n      - key: |\n          {key}\n");
    let root = TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(open(&root, &bundle).unwrap_err(), OpenError::NoInstance);
}

#[test]
fn no_revocation_goes_by_a_position_that_nothing_proves() {
    // the place of a leaf in Rekor is signed only in a promise, which whoever submits may leave out
    let key = attest::SecretKey::generate(attest::Scheme::P256).unwrap().public().to_pem();
    let key: String = key.lines().map(|line| format!("          {line}\n")).collect();
    let root = |log: &str, logs: &str| {
        let text = format!(
            "version: 1\nsigstore: {{ public-good: {{ trusted-root: embedded }} }}\n{logs}signers:\n  a:\n    keys:\n      - revoked: {{ from: 2026-06-01T00:00:00Z, reason: stolen, log: {log}, size: 9 }}\n        key: |\n{key}"
        );
        TrustRoot::parse("trust-root.yaml", &text).map(|_| ()).map_err(|e| format!("{e:?}"))
    };
    assert_eq!(root("builds", ""), Ok(()));
    let error = root("public-good", "").unwrap_err();
    assert!(error.contains("a position in the logs of `public-good`"), "{error}");
    let key = attest::SecretKey::generate(attest::Scheme::Ed25519).unwrap().public().clone();
    let log = attest::note::NoteKey { name: "log.example".to_owned(), key }.to_vkey();
    let error = root("builds", &format!("logs:\n  public-good: {{ key: \"{log}\" }}\n")).unwrap_err();
    assert!(error.contains("both called `public-good`"), "{error}");
}
