//! A choke point that has verified evidence before: nothing that was decided then is taken for granted now.

use attest::dsse::{Dsse, IN_TOTO};
use attest::{Artifact, Digest, DigestSet, Object, SecretKey, Signer as _, Statement, TrustRoot};
use chokepoint::EvidenceCache;
use policy::{
    Book, Case, DeploymentRequest, Frame, Guardrails, Outcome, SourceFile, Submitted, evaluate, evaluate_with,
};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

fn root(version: u32, more: &str) -> TrustRoot {
    let pem = |seed| -> String {
        key(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
    };
    let text = format!(
        "version: {version}\nsigners:\n  other:\n    keys:\n      - key: |\n{}  vendor:\n    keys:\n      - key: |\n{}{more}",
        pem(2),
        pem(1)
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

fn book(signer: &str) -> Book {
    let text = format!("environment: prod/shop\nartifact: shop\nrequire: {{ signed-by: [{signer}] }}\n");
    Book::load(vec![SourceFile { name: "book/shop.yaml".to_owned(), text }], &Guardrails::none()).unwrap()
}

fn envelope(number: usize) -> Submitted {
    let subject = DigestSet::from(Digest::sha256(b"shop"));
    let said = Object::new().with("number", i64::try_from(number).unwrap());
    let statement = Statement::write("shop", &subject, "https://example.com/x", said);
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key(1)]).unwrap();
    Submitted { name: format!("{number}.json"), bytes: dsse.to_json().to_string().into_bytes() }
}

fn case(envelopes: Vec<Submitted>, book: &Book, root: &TrustRoot) -> Case {
    let artifact = Artifact::new("shop", Digest::sha256(b"shop").into());
    let mut request = DeploymentRequest::new(artifact, "prod/shop", "test");
    request.envelopes = envelopes;
    let frame = Frame {
        at: "2026-11-22T09:00:00Z".parse().unwrap(),
        last_seen: None,
        book: book.digest().clone(),
        trust_root: root.digest().clone(),
        trust_root_version: root.version(),
        beside: policy::Beside::default(),
        engine: "test".to_owned(),
    };
    Case::open(request, frame)
}

/// Judges with the cache, which must never make a difference.
fn outcome(cache: &EvidenceCache, book: &Book, root: &TrustRoot, envelopes: Vec<Submitted>) -> Outcome {
    let case = case(envelopes, book, root);
    let verdict = evaluate_with(&case, book, root, cache);
    assert_eq!(verdict, evaluate(&case, book, root));
    verdict.outcome().clone()
}

#[test]
fn one_artifact_in_eight_containers_with_five_attestations_is_verified_once() {
    let (cache, book, root) = (EvidenceCache::default(), book("vendor"), root(1, ""));
    for _ in 0..8 {
        let five = (0..5).map(envelope).collect();
        assert_eq!(outcome(&cache, &book, &root, five), Outcome::Met);
    }
    assert_eq!((cache.counts().misses, cache.counts().hits), (5, 35));
}

#[test]
fn another_policy_gives_another_verdict_on_the_same_evidence() {
    let (cache, root) = (EvidenceCache::default(), root(1, ""));
    assert_eq!(outcome(&cache, &book("vendor"), &root, vec![envelope(0)]), Outcome::Met);
    assert_eq!(outcome(&cache, &book("other"), &root, vec![envelope(0)]), Outcome::Unmet);
    assert_eq!((cache.counts().misses, cache.counts().hits), (1, 1));
}

#[test]
fn a_revocation_between_two_requests_flips_the_verdict() {
    let (cache, book) = (EvidenceCache::default(), book("vendor"));
    assert_eq!(outcome(&cache, &book, &root(1, ""), vec![envelope(0)]), Outcome::Met);
    let revoked = root(2, "        revoked: { from: 2026-01-01T00:00:00Z, reason: \"stolen\" }\n");
    assert_eq!(outcome(&cache, &book, &revoked, vec![envelope(0)]), Outcome::Unmet);
    assert_eq!(outcome(&cache, &book, &root(3, ""), vec![envelope(0)]), Outcome::Met);
    assert_eq!((cache.counts().misses, cache.counts().hits), (3, 0), "each trust root is asked by itself");
}

#[test]
fn a_store_that_gives_other_bytes_after_the_first_time_gives_another_verdict() {
    let (cache, book, root) = (EvidenceCache::default(), book("vendor"), root(1, ""));
    let good = envelope(0);
    assert_eq!(outcome(&cache, &book, &root, vec![good.clone()]), Outcome::Met);
    for at in (0..good.bytes.len()).step_by(7) {
        let mut swapped = good.clone();
        swapped.bytes[at] ^= 1;
        let case = case(vec![swapped], &book, &root);
        assert_eq!(evaluate_with(&case, &book, &root, &cache), evaluate(&case, &book, &root), "byte {at}");
    }
    assert_eq!(outcome(&cache, &book, &root, vec![good]), Outcome::Met);
}
