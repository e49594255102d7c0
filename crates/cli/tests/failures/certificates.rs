//! Rows 3, 19, 22, 34, 45 and 68: real signatures under Sigstore's certificates, changed in one thing.

use std::fs;

use attest::{Digest, Json, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::rows;
use super::world::{Ask, MET, ask_everywhere, trust_root};
use crate::sigstore::{BEACON, Case, GITHUB, releases};
use crate::tools::data;

const BY_THEM: &str = "  signed-by: [them]\n";
const REPOSITORY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon";

/// The trust root of the other cases, and one signer who has these certificates.
fn root(identity: &str) -> String {
    format!("{}signers:\n  them:\n    certificate-identities:\n      - {{ {identity} }}\n", trust_root())
}

fn ask(name: &str, bundle: Vec<u8>, digest: &Digest, rule: &'static str, says: &'static str) -> Ask {
    Ask { digest: digest.clone(), ..rows::ask(name, BY_THEM, vec![bundle], rule, says) }
}

fn read(case: &Case) -> Object {
    let json = attest::json::parse(&fs::read(&case.bundle).unwrap()).unwrap();
    json.as_object().unwrap().clone()
}

/// The bundle with a part of its verification material set.
fn with(bundle: &Object, part: &str, value: Json) -> Vec<u8> {
    let mut material = bundle.object("verificationMaterial").unwrap().clone();
    assert!(material.get(part).is_some(), "{part}");
    material.set(part, value);
    bundle.clone().with("verificationMaterial", material).to_string().into_bytes()
}

fn chain(certificate: &[u8]) -> Json {
    let one = Object::new().with("rawBytes", STANDARD.encode(certificate));
    Object::new().with("certificates", Json::Array(vec![one.into()])).into()
}

#[test]
fn rows_3_19_and_34_a_release_under_another_entry_or_without_its_certificate() {
    let Some(cases) = releases() else { return };
    let is_whole = |case: &&Case| {
        let bundle = read(case);
        let material = bundle.object("verificationMaterial").unwrap();
        material.get("x509CertificateChain").is_some() && material.get("tlogEntries").is_some()
    };
    let mut cases = cases.iter().filter(is_whole);
    // the other entry is younger, so that the certificate's own time is no reason
    let (other, first) = (cases.next().unwrap(), cases.next().unwrap());
    assert!(other.identity == first.identity && other.digest != first.digest);
    let (good, other) = (read(first), read(other));
    let entries =
        |bundle: &Object| bundle.object("verificationMaterial").unwrap().get("tlogEntries").unwrap().clone();
    let mut mixed = entries(&good).as_array().unwrap()[0].as_object().unwrap().clone();
    let body =
        entries(&other).as_array().unwrap()[0].as_object().unwrap().get("canonicalizedBody").unwrap().clone();
    mixed.set("canonicalizedBody", body);
    let digest = Digest::parse(&first.digest).unwrap();
    let refused = |name, bundle, says| ask(name, bundle, &digest, "evidence-authentic", says);
    let certificate = "its certificate does not count";
    let asks = [
        ask("row-03-good", good.to_string().into_bytes(), &digest, MET, ""),
        refused(
            "row-03-entry-of-another-release",
            with(&good, "tlogEntries", entries(&other)),
            "artifact hash mismatch",
        ),
        refused(
            "row-03-body-of-another-release",
            with(&good, "tlogEntries", Json::Array(vec![mixed.into()])),
            "its log entry does not hold",
        ),
        refused(
            "row-03-no-entry",
            with(&good, "tlogEntries", Json::Array(Vec::new())),
            "must have an inclusion promise",
        ),
        refused("row-19-no-certificate", with(&good, "x509CertificateChain", chain(b"")), certificate),
        refused(
            "row-34-no-certificate-of-size",
            with(&good, "x509CertificateChain", chain(&b"=#".repeat(50_000))),
            certificate,
        ),
    ];
    let identity =
        format!("instance: public-good, issuer: \"{}\", identity: \"{}\"", first.issuer, first.identity);
    ask_everywhere(&root(&identity), &asks);
}

/// A real bundle of a workflow, whose certificate says all that one can say.
fn workflow(name: &str, rule: &'static str, says: &'static str) -> Option<Ask> {
    let dir = data("sigstore-conformance")?.join("bundle-verify");
    let bundle = fs::read(dir.join("happy-path-v0.2/bundle.sigstore.json")).unwrap();
    let digest = Digest::sha256(&fs::read(dir.join("a.txt")).unwrap());
    Some(ask(name, bundle, &digest, rule, says))
}

/// All parts of the identity, with one of them another.
fn identity(part: &str, value: &str) -> String {
    let parts = [
        ("instance", "public-good"),
        ("issuer", GITHUB),
        ("identity", BEACON),
        ("source-repository", REPOSITORY),
        ("source-ref", "refs/heads/main"),
        ("workflow", BEACON),
        ("runner", "github-hosted"),
        ("trigger", "[workflow_dispatch]"),
    ];
    let write = |(name, usual): &(&str, &str)| {
        let value = if *name == part { value } else { usual };
        if value.starts_with('[') { format!("{name}: {value}") } else { format!("{name}: \"{value}\"") }
    };
    parts.iter().map(write).collect::<Vec<_>>().join(", ")
}

fn refused(name: &str, part: &str, value: &str, says: &'static str) {
    let Some(ask) = workflow(name, "evidence-authentic", says) else { return };
    let trust_root = root(&identity(part, value))
        .replace("sigstore: {", "sigstore: { staging: { trusted-root: embedded },");
    ask_everywhere(&trust_root, &[ask]);
}

#[test]
fn row_45_each_part_of_an_identity_alone_refuses() {
    let Some(good) = workflow("row-45-all", MET, "") else { return };
    ask_everywhere(&root(&identity("", "")), &[good]);
    refused("row-45-instance", "instance", "staging", "under public-good, which is nobody's");
    refused(
        "row-45-identity",
        "identity",
        "https://github.com/acme/x/.github/workflows/x.yml@refs/heads/main",
        "; them is ",
    );
    refused(
        "row-45-repository",
        "source-repository",
        "https://github.com/acme/x",
        "wanted source-repository",
    );
    refused("row-45-ref", "source-ref", "refs/tags/*", "wanted source-ref");
    refused("row-45-workflow", "workflow", "https://github.com/acme/**", "wanted workflow");
    refused("row-45-runner", "runner", "self-hosted", "wanted runner");
    refused("row-45-trigger", "trigger", "[push, release]", "wanted trigger");
}

#[test]
fn row_22_an_issuer_that_looks_alike_is_another() {
    for (number, issuer) in [
        "https://token.actions.githubusercontent.com.evil.example",
        "https://token.actions.githubusercontent.com@evil.example",
        "https://token.actions.githubusercontent.com:8443",
        "https://token.actions.githubusercontent.com/",
    ]
    .into_iter()
    .enumerate()
    {
        refused(
            &format!("row-22-{number}"),
            "issuer",
            issuer,
            "by the word of https://token.actions.githubusercontent.com under public-good",
        );
    }
}

#[test]
fn row_68_a_pattern_is_for_the_whole_identity() {
    let Some(good) = workflow("row-68-whole", MET, "") else { return };
    let matching = |pattern: &str| {
        root(&format!("instance: public-good, issuer: \"{GITHUB}\", identity-matching: \"{pattern}\""))
    };
    ask_everywhere(&matching(&format!("{REPOSITORY}/**")), &[good]);
    for pattern in
        ["https://github.com/sigstore-conformance/", "sigstore-conformance/**", "https://github.com/*"]
    {
        let ask = workflow("row-68-part", "evidence-authentic", "; them is ").unwrap();
        ask_everywhere(&matching(pattern), &[ask]);
    }
}
