//! One Sigstore bundle and one key-signed bundle: opened in process beside the bare library and the bare signature checks, then as
//! whole processes beside cosign (bench/verify.py). In turns, in one run. Prints medians and ratios; asserts nothing but
//! that all of them verify.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark")]
#![allow(clippy::indexing_slicing, clippy::panic, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use attest::dsse::{Dsse, IN_TOTO};
use attest::{Artifact, Digest, Envelope, Scheme, SecretKey, Signer, TrustRoot};
use sigstore_verify::types::{ArtifactDigest, Bundle, HashAlgorithm};
use sigstore_verify::{VerificationPolicy, Verifier, trust_root};

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const IDENTITY: &str =
    "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main";
const TURNS: usize = 400;

fn main() {
    key_signed();
    match data() {
        Some(data) => certified(&data),
        None => println!("*** the Sigstore bundle is NOT measured: no shared data ***"),
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/verify.py");
    let mut command = std::process::Command::new("python3");
    command.arg(script).arg(env!("CARGO_BIN_EXE_portcullis"));
    command.args(data().map(|d| d.join("real-attestations")));
    assert!(command.status().unwrap().success());
}

fn data() -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    root.exists().then_some(root)
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000).unwrap()
}

/// Medians of things done in turns, in microseconds.
fn measure(title: &str, of: &mut [(&str, &mut dyn FnMut())]) {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); of.len()];
    for _ in 0..TURNS {
        for (index, (_, work)) in of.iter_mut().enumerate() {
            let start = Instant::now();
            work();
            times[index].push(start.elapsed());
        }
    }
    let medians: Vec<f64> = times
        .iter_mut()
        .map(|times| {
            times.sort();
            times[TURNS / 2].as_secs_f64() * 1e6
        })
        .collect();
    println!("{title}");
    for ((name, _), median) in of.iter().zip(&medians) {
        println!("  {name:<44} {median:>8.1} µs   {:>5.2} × the first", median / medians[0]);
    }
}

fn key_signed() {
    let key = SecretKey::generate(Scheme::P256).unwrap();
    let digest = Digest::sha256(b"shop");
    let provenance = attest::Provenance { builder_id: "id:ci".into(), ..attest::Provenance::default() };
    let digests = digest.clone().into();
    let slsa = attest::provenance::SLSA_V1;
    let statement = attest::Statement::write("shop", &digests, slsa, provenance.to_slsa_v1());
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key]).unwrap();
    let bytes = attest::bundle::Bundle::write(&dsse, "ci", &[]).to_string().into_bytes();
    let pem: String = key.public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
    let root = format!("version: 1\nsigners:\n  ci:\n    keys:\n      - key: |\n{pem}");
    let root = TrustRoot::parse("r", &root).unwrap_or_else(|e| panic!("{e:?}"));
    let artifact = Artifact::new("shop", digest.into());
    let message = attest::dsse::pae(IN_TOTO, &dsse.payload);
    measure(
        "a bundle signed with a P-256 key",
        &mut [
            ("the bare signature check", &mut || {
                key.public().verify(black_box(&message), &dsse.signatures[0].bytes).unwrap();
            }),
            ("portcullis: parse, open, about", &mut || {
                let envelope = Envelope::parse(black_box(&bytes)).unwrap();
                root.open(&envelope, now()).unwrap().about(&artifact).unwrap();
            }),
        ],
    );
}

fn certified(data: &std::path::Path) {
    let bytes = std::fs::read(data.join("real-attestations/sigstore-js-2.1.0-bundle.json")).unwrap();
    let file = std::fs::read(data.join("real-attestations/sigstore-js-2.1.0.tgz")).unwrap();
    let mut hasher = attest::digest::Hasher::new(&[attest::Algorithm::Sha512]);
    hasher.update(&file);
    let digests = hasher.finish();
    let sha512 = digests.get(attest::Algorithm::Sha512).unwrap();
    let root = format!(
        "version: 1\nsigstore: {{ public-good: {{ trusted-root: embedded }} }}\nsigners:\n  js:\n    certificate-identities:\n      - {{ issuer: \"{ISSUER}\", identity: \"{IDENTITY}\" }}\n"
    );
    let root = TrustRoot::parse("r", &root).unwrap_or_else(|e| panic!("{e:?}"));
    let artifact = Artifact::new("js", digests);
    let trusted = trust_root::TrustedRoot::from_json(trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
    let verifier = Verifier::new(&trusted).unwrap();
    let policy = VerificationPolicy::new(IDENTITY, ISSUER);
    let hash = ArtifactDigest::new(HashAlgorithm::Sha2512, sha512.bytes().to_vec()).unwrap();
    let bare = [bare_key(Scheme::P256), bare_key(Scheme::P384)];
    measure(
        "a Sigstore bundle (GitHub, Rekor v1)",
        &mut [
            ("the crate sigstore-verify: parse, verify", &mut || {
                let bundle = Bundle::from_json(std::str::from_utf8(black_box(&bytes)).unwrap()).unwrap();
                verifier.verify(hash.clone(), &bundle, &policy).unwrap();
            }),
            ("portcullis: parse, open, about", &mut || {
                let envelope = Envelope::parse(black_box(&bytes)).unwrap();
                root.open(&envelope, now()).unwrap().about(&artifact).unwrap();
            }),
            ("the bare signature checks in it (4 P-256, 2 P-384)", &mut || {
                for (key, times) in bare.iter().zip([4, 2]) {
                    for _ in 0..times {
                        key.0.public().verify(black_box(b"message"), &key.1).unwrap();
                    }
                }
            }),
        ],
    );
}

/// The chain's two, and the statement's, the certificate log's, the entry's and the checkpoint's.
fn bare_key(scheme: Scheme) -> (SecretKey, Vec<u8>) {
    let key = SecretKey::generate(scheme).unwrap();
    let signature = key.sign(b"message").unwrap();
    (key, signature)
}
