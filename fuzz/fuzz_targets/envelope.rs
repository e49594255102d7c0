//! Any envelope: no panic, and nothing opens under a trust root whose key is not in the corpus.
#![no_main]
use std::sync::LazyLock;
static ROOT: LazyLock<attest::TrustRoot> = LazyLock::new(|| {
    let key = attest::SecretKey::generate(attest::Scheme::Ed25519).unwrap();
    let pem: String = attest::Signer::public(&key).to_pem().lines().map(|l| format!("          {l}\n")).collect();
    attest::TrustRoot::parse("r", &format!("version: 1\nsigners:\n  a:\n    keys:\n      - key: |\n{pem}")).unwrap()
});
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = attest::Envelope::parse(data) {
        let _ = envelope.mentioned_algorithms();
        assert!(ROOT.open(&envelope, jiff::Timestamp::UNIX_EPOCH).is_err());
    }
});
