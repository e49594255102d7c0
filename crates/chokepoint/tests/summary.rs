//! Verification summaries: of what they are made, what they say, and that nothing else makes one.

use std::path::Path;

use attest::claims::VSA;
use attest::dsse::{Dsse, IN_TOTO};
use attest::time::Span;
use attest::{
    Algorithm, Artifact, Digest, DigestSet, Envelope, Object, SecretKey, Signer as _, Statement, TrustRoot,
};
use chokepoint::{Chokepoint, Passed, Record, Replay, Replayer, Verifier};
use policy::{Book, DeploymentRequest, Guardrails, SourceFile, Submitted};
use tlog::{Blobs, Files, Log, Reader};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

fn root(level: &str) -> TrustRoot {
    let pem = |seed| -> String {
        key(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
    };
    let text = format!(
        "version: 1\nbuilders:\n  ci:\n    ids: [https://ci.example/1]\n{level}    keys:\n      - key: |\n{}  lesser:\n    ids: [https://lesser.example/1]\n    keys:\n      - key: |\n{}verifiers:\n  gate:\n    ids: [https://gate.example/eu]\n    keys:\n      - key: |\n{}",
        pem(1),
        pem(2),
        pem(3)
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"))
}

fn book(require: &str) -> Book {
    let text = format!("environment: prod/shop\nartifact: r.example/shop\nrequire: {{ {require} }}\n");
    Book::load(vec![SourceFile { name: "book/the shop.yaml".to_owned(), text }], &Guardrails::none())
        .unwrap_or_else(|e| panic!("{e:?}"))
}

fn shop() -> DigestSet {
    Digest::sha256(b"shop").into()
}

fn signed(seed: u8, kind: &str, predicate: Object) -> Submitted {
    let statement = Statement::write("shop", &shop(), kind, predicate);
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key(seed)]).unwrap();
    Submitted { name: format!("{seed}.json"), bytes: dsse.to_json().to_string().into_bytes() }
}

fn provenance() -> Submitted {
    let text = r#"{"buildDefinition":{"buildType":"https://ci.example/t","externalParameters":{}},
        "runDetails":{"builder":{"id":"https://ci.example/1"}}}"#;
    let predicate = attest::json::parse(text.as_bytes()).unwrap().as_object().unwrap().clone();
    signed(1, "https://slsa.dev/provenance/v1", predicate)
}

fn request(digests: DigestSet, envelopes: Vec<Submitted>) -> DeploymentRequest {
    let mut request =
        DeploymentRequest::new(Artifact::new("r.example/shop:1.4", digests), "prod/shop", "test");
    request.envelopes = envelopes;
    request
}

fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn point(dir: &Path, require: &str, root: TrustRoot) -> Chokepoint<Files> {
    let log = Log::create(Files::new(dir), "test.example", Box::new(key(9))).unwrap();
    Chokepoint::open(book(require), root, log).unwrap()
}

fn verifier() -> Verifier {
    Verifier { id: "https://gate.example/eu".to_owned(), expires: Span::seconds(3600) }
}

/// The newest record of a log.
fn last_leaf(dir: &Path) -> Vec<u8> {
    let files = Files::new(dir);
    let size = Log::open(files.clone(), "test.example", Box::new(key(9))).unwrap().size();
    Reader::new(&files, size).entry(size - 1).unwrap()
}

fn payload(passed: &Passed) -> Object {
    let bundle = passed.sign(&verifier(), &key(3)).unwrap();
    assert!(root("").open(&Envelope::parse(&bundle).unwrap(), at(0)).is_ok());
    let bundle = attest::json::parse(&bundle).unwrap();
    let envelope = bundle.as_object().unwrap().object("dsseEnvelope").unwrap();
    let payload = attest::dsse::base64(envelope.string("payload").unwrap()).unwrap();
    attest::json::parse(&payload).unwrap().as_object().unwrap().clone()
}

fn levels(require: &str, root: TrustRoot) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let admission =
        point(dir.path(), require, root).decide(request(shop(), vec![provenance()]), at(0)).unwrap();
    assert!(admission.is_admitted(), "{}", admission.decision().to_json().pretty());
    let statement = payload(&admission.passed().unwrap());
    let levels = statement.object("predicate").unwrap().array("verifiedLevels").unwrap();
    levels.iter().map(|level| level.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_summary_says_what_was_verified_and_of_which_record() {
    let dir = tempfile::tempdir().unwrap();
    let point = point(dir.path(), "built-by: [ci]", root("    slsa-build-level: 3\n"));
    let other = signed(1, "https://example.com/x", Object::new());
    let envelopes = vec![provenance(), other.clone(), other.clone()];
    let admission = point.decide(request(shop(), envelopes), at(0)).unwrap();
    let passed = admission.passed().unwrap();
    point.settle().unwrap();
    let leaf = last_leaf(dir.path());
    let hash = Digest::from_bytes(Algorithm::Sha256, attest::merkle::leaf_hash(&leaf).to_vec()).unwrap();
    let mut inputs = [Digest::sha256(&provenance().bytes), Digest::sha256(&other.bytes)];
    inputs.sort();
    let expected = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"r.example/shop","digest":{{"sha256":"{}"}}}}],
        "predicateType":"{VSA}","predicate":{{
        "verifier":{{"id":"https://gate.example/eu","version":{{"portcullis":"{}"}}}},
        "timeVerified":"2027-01-15T08:00:00Z",
        "resourceUri":"r.example/shop#environment=prod/shop",
        "policy":{{"uri":"https://gate.example/eu#policy=book/the%20shop.yaml","digest":{{"sha256":"{}"}}}},
        "inputAttestations":[{{"digest":{{"sha256":"{}"}}}},{{"digest":{{"sha256":"{}"}}}}],
        "verificationResult":"PASSED",
        "verifiedLevels":["SLSA_BUILD_LEVEL_3","PORTCULLIS_BUILT_BY","PORTCULLIS_PARAMETERS"],
        "slsaVersion":"1.2",
        "portcullis_environment":"prod/shop",
        "portcullis_expires":"2027-01-15T09:00:00Z",
        "portcullis_book":"{}",
        "portcullis_record":"{hash}"}}}}"#,
        Digest::sha256(b"shop").hex(),
        env!("CARGO_PKG_VERSION"),
        point.book().policies()[0].digest().hex(),
        inputs[0].hex(),
        inputs[1].hex(),
        point.book().digest(),
    );
    let expected = attest::json::parse(expected.as_bytes()).unwrap();
    assert_eq!(attest::Json::from(payload(&passed)).pretty(), expected.pretty());

    // and again, from the record alone
    let (replay, again) = Replayer::default().passed(&leaf, &Blobs::new(Files::new(dir.path()))).unwrap();
    assert_eq!((replay, again), (Replay::Same, Some(passed)));
}

#[test]
fn a_level_is_what_the_trust_root_says_of_every_builder_that_the_policy_lists() {
    let three = "    slsa-build-level: 3\n";
    assert_eq!(levels("built-by: [ci]", root(three))[0], "SLSA_BUILD_LEVEL_3");
    assert_eq!(levels("built-by: [ci]", root(""))[0], "SLSA_BUILD_LEVEL_1");
    // it does not matter who built it: what met the policy may be of the lesser one
    assert_eq!(levels("built-by: [ci, lesser]", root(three))[0], "SLSA_BUILD_LEVEL_1");
    assert_eq!(levels("signed-by: [ci]", root(three)), ["PORTCULLIS_SIGNED_BY"]);
    for wrong in ["    slsa-build-level: 4\n", "    slsa-build-level: high\n"] {
        let text = root(three).text().replace(three, wrong);
        assert!(TrustRoot::parse("trust-root.yaml", &text).is_err(), "{wrong}");
    }
}

#[test]
fn a_digest_that_no_evidence_names_is_never_vouched_for() {
    let dir = tempfile::tempdir().unwrap();
    let point = point(dir.path(), "signed-by: [ci]", root(""));
    let evil = Digest::from_hex(Algorithm::Sha512, &"ab".repeat(64)).unwrap();
    let object = Object::new().with("sha256", Digest::sha256(b"shop").hex()).with("sha512", evil.hex());
    let both = DigestSet::read(&object).unwrap();
    let admission = point.decide(request(both, vec![provenance()]), at(0)).unwrap();
    assert!(admission.is_admitted(), "the evidence agrees where both have a digest");
    assert_eq!(admission.passed(), None);
}

#[test]
fn what_rests_on_a_summary_is_not_summarised_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = point(dir.path(), "built-by: [ci]", root(""));
    let admission = first.decide(request(shop(), vec![provenance()]), at(0)).unwrap();
    let bytes = admission.passed().unwrap().sign(&verifier(), &key(3)).unwrap();
    let summary = Submitted { name: "summary".to_owned(), bytes };
    for require in [
        "verified-by: { verifiers: [gate], within: 1h, environment: prod/shop }",
        "built-by: [ci], verified-by: { verifiers: [gate], within: 1h, environment: prod/shop }",
        "signed-by: [gate]",
        "built-by: [ci], signed-by: { at-least: 1, of: [ci, gate] }",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let next = point(dir.path(), require, root(""));
        let admission = next.decide(request(shop(), vec![summary.clone(), provenance()]), at(60)).unwrap();
        assert!(admission.is_admitted(), "{}", admission.decision().to_json().pretty());
        assert_eq!(admission.passed(), None, "{require}");
        if !require.contains("verified-by") {
            continue;
        }
        // an hour and a second later neither its age nor its end lets it through
        let late = next.decide(request(shop(), vec![summary.clone(), provenance()]), at(3601)).unwrap();
        let messages: Vec<&str> =
            late.decision().verdict().findings().iter().map(|f| f.message.as_str()).collect();
        assert_eq!(messages, ["the summary is too old", "the summary has expired"]);
    }
}

#[test]
fn a_refusal_and_a_record_that_lies_give_none() {
    let dir = tempfile::tempdir().unwrap();
    let point = point(dir.path(), "built-by: [ci]", root(""));
    let refused = point.decide(request(shop(), Vec::new()), at(0)).unwrap();
    assert_eq!((refused.is_admitted(), refused.passed()), (false, None));
    point.settle().unwrap();
    let (leaf, blobs) = (last_leaf(dir.path()), Blobs::new(Files::new(dir.path())));
    assert_eq!(Replayer::default().passed(&leaf, &blobs).unwrap(), (Replay::Same, None));
    // somebody who can write to the log's folder calls a rejection an admission
    let record = Record::parse(&leaf).unwrap();
    let lie = Record { decision: "admit".to_owned(), outcome: "met".to_owned(), rules: Vec::new(), ..record };
    let leaf = lie.to_json().to_string().into_bytes();
    let (replay, passed) = Replayer::default().passed(&leaf, &blobs).unwrap();
    assert!(matches!(replay, Replay::Differs { .. }) && passed.is_none());
}
