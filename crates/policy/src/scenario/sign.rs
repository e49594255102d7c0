//! Signs the claims of a policy test with throw-away keys.

use attest::bundle::{Bundle, LogEntry};
use attest::dsse::{Dsse, IN_TOTO};
use attest::merkle::leaf_hash;
use attest::note::{self, Checkpoint};
use attest::statement::STATEMENT_V1;
use attest::{Digest, DigestSet, Object, SecretKey, Signer, Statement, TrustRoot};

use super::{Claim, Logged, Scenario};

/// The key that stands in for a name's. Everybody can compute it: it proves nothing outside a test.
///
/// # Panics
/// Never: every seed of 32 bytes is an Ed25519 key.
#[must_use]
pub fn test_key(name: &str) -> SecretKey {
    let seed = Digest::sha256(format!("portcullis policy test key of {name}").as_bytes());
    #[expect(clippy::expect_used, reason = "every seed of 32 bytes is an Ed25519 key")]
    SecretKey::from_ed25519_seed(seed.bytes()).expect("32 bytes are a seed")
}

/// The signed bytes of a claim: a bundle.
#[must_use]
pub fn sign_claim(claim: &Claim, scenario: &Scenario, root: &TrustRoot) -> Vec<u8> {
    let digests = claim.about.digests(&scenario.digest());
    let statement = match claim.refs.as_slice() {
        [] => Statement::write("subject", &digests, &claim.said.predicate_type, claim.said.predicate.clone()),
        refs => at_refs(claim, &digests, refs),
    };
    let keys: Vec<SecretKey> = claim.signed_by.iter().map(|name| test_key(name)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|k| -> &dyn Signer { k }).collect();
    let Ok(dsse) = Dsse::sign(IN_TOTO, statement.as_bytes(), &signers) else { return Vec::new() };
    let hint = keys.first().map(|k| k.public().id()).unwrap_or_default();
    let entries: Vec<LogEntry> = match (&claim.logged, keys.first()) {
        (Some(logged), Some(key)) => entry(logged, &dsse, key, root).into_iter().collect(),
        _ => Vec::new(),
    };
    Bundle::write(&dsse, &hint, &entries).to_string().into_bytes()
}

/// The statement of a verifier of sources: it says at its subject at which refs the commit was.
fn at_refs(claim: &Claim, digests: &DigestSet, refs: &[String]) -> String {
    let subject = Object::new()
        .with("digest", digests.to_json())
        .with("annotations", Object::new().with("sourceRefs", refs.to_vec()));
    Object::new()
        .with("_type", STATEMENT_V1)
        .with("subject", vec![subject])
        .with("predicateType", claim.said.predicate_type.as_str())
        .with("predicate", claim.said.predicate.clone())
        .to_string()
}

/// A log of one leaf, signed and cosigned.
fn entry(logged: &Logged, dsse: &Dsse, key: &SecretKey, root: &TrustRoot) -> Option<LogEntry> {
    let envelope = Digest::sha256(dsse.to_json().to_string().as_bytes());
    let body = attest::open::leaf_body(dsse, &envelope, key.public());
    let origin = root.log(&logged.log).map_or(logged.log.as_str(), |log| log.name.as_str());
    let checkpoint = Checkpoint { origin: origin.to_owned(), size: 1, root: leaf_hash(&body) };
    let text = checkpoint.to_text();
    let mut signed = note::sign(&text, origin, &test_key(&logged.log)).ok()?;
    for (name, time) in &logged.seen {
        let (_, witness) = root.witnesses().find(|(n, _)| n == name)?;
        signed.push_str(&note::cosign(&text, &witness.name, *time, &test_key(name)).ok()?);
    }
    Some(LogEntry { index: 0, size: 1, proof: Vec::new(), checkpoint: signed, body })
}
