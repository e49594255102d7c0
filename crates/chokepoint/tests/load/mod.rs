//! A choke point in a folder, and requests for it with real signatures. Shared by tests and benchmark.
#![allow(dead_code, missing_docs, reason = "each test uses a part of it")]

use std::path::Path;

use attest::note::NoteKey;
use attest::{Artifact, Digest, Object, SecretKey, Signer as _, TrustRoot};
use chokepoint::Chokepoint;
use policy::{Book, DeploymentRequest, Guardrails, SourceFile, Submitted};
use tlog::{Files, Log};

pub const ORIGIN: &str = "load.example/log";

fn log_key() -> SecretKey {
    SecretKey::from_ed25519_seed(&[9; 32]).unwrap()
}

pub fn key() -> NoteKey {
    NoteKey { name: ORIGIN.to_owned(), key: log_key().public().clone() }
}

/// The signers `vendor` and `tester`; each signs.
pub fn root(version: u64) -> TrustRoot {
    let listed = |seed: u8, name: &str| {
        let key = SecretKey::from_ed25519_seed(&[seed; 32]).unwrap();
        let pem: String = key.public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
        format!("  {name}:\n    keys:\n      - key: |\n{pem}")
    };
    let text = format!("version: {version}\nsigners:\n{}{}", listed(1, "vendor"), listed(2, "tester"));
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

pub fn book() -> Book {
    let text =
        "environment: prod/shop\nartifact: shop\nrequire: { signed-by: [vendor, tester] }\n".to_owned();
    Book::load(vec![SourceFile { name: "book/shop.yaml".to_owned(), text }], &Guardrails::none()).unwrap()
}

/// A deployment of artifact `number`, with two envelopes about it.
pub fn request(number: u64) -> DeploymentRequest {
    let digest = Digest::sha256(&number.to_be_bytes());
    let envelope = |seed: u8| {
        let key = SecretKey::from_ed25519_seed(&[seed; 32]).unwrap();
        let subject = digest.clone().into();
        let statement = attest::Statement::write("shop", &subject, "https://example.com/x", Object::new());
        let dsse = attest::dsse::Dsse::sign(attest::dsse::IN_TOTO, statement.as_bytes(), &[&key]).unwrap();
        Submitted { name: format!("shop-{seed}.json"), bytes: dsse.to_json().to_string().into_bytes() }
    };
    let mut request =
        DeploymentRequest::new(Artifact::new("shop", digest.clone().into()), "prod/shop", "load");
    request.requester = Some(format!("requester-{number}@example.com"));
    request.envelopes = vec![envelope(1), envelope(2)];
    request
}

pub fn at(milliseconds: u64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(1_800_000_000_000 + i64::try_from(milliseconds).unwrap()).unwrap()
}

pub fn open_log(dir: &Path) -> Log<Files> {
    let files = Files::new(dir);
    match Log::open(files.clone(), ORIGIN, Box::new(log_key())) {
        Err(tlog::OpenLogError::None) => Log::create(files, ORIGIN, Box::new(log_key())).unwrap(),
        other => other.unwrap(),
    }
}

pub fn open(dir: &Path) -> Chokepoint<Files> {
    Chokepoint::open(book(), root(4), open_log(dir)).unwrap()
}
