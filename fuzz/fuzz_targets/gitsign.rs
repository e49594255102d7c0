//! Commits that are signed with CMS under a certificate: no panic, and whatever has a signer is what she signed.
#![no_main]
use std::sync::OnceLock;

use attest::commit::Commit;
use attest::{Json, TrustRoot, pem};

const SEED: &[u8] = include_bytes!("../corpus/gitsign/commit");
static STATE: OnceLock<(TrustRoot, Vec<u8>)> = OnceLock::new();

/// The instance that made the seed with the one identity in it, and what is signed there.
fn state() -> &'static (TrustRoot, Vec<u8>) {
    STATE.get_or_init(|| {
        let trusted = Json::from(include_str!("../corpus/gitsign/trusted_root.json"));
        let text = format!(
            "version: 1\nsigstore: {{ acme: {{ trusted-root: {trusted} }} }}\npeople:\n  alice:\n    identities: \
             [alice@a.example]\n    certificate-identities: [{{ issuer: \"https://accounts.acme.example\", identity: alice@a.example }}]\n"
        );
        let root = TrustRoot::parse("fuzz", &text).expect("the seed's trusted root");
        let seed = Commit::parse(SEED).expect("the seed");
        assert!(root.who_signed(&seed, jiff::Timestamp::UNIX_EPOCH).is_ok());
        (root, seed.signature().expect("its signature").signed_bytes().to_vec())
    })
}

/// The bytes as the DER of the seed's signature.
fn on_seed(content: &[u8], der: &[u8]) -> Option<Vec<u8>> {
    let (head, message) = std::str::from_utf8(content).ok()?.split_once("\n\n")?;
    let armored = pem::encode("SIGNED MESSAGE", der).trim_end().replace('\n', "\n ");
    Some(format!("{head}\ngpgsig {armored}\n\n{message}").into_bytes())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (root, content) = state();
    for object in [Some(data.to_vec()), on_seed(content, data)].into_iter().flatten() {
        let Ok(commit) = Commit::parse(&object) else { continue };
        if let Ok(signer) = root.who_signed(&commit, jiff::Timestamp::UNIX_EPOCH) {
            assert_eq!(signer.name, "alice");
            assert_eq!(commit.signature().map(|s| s.signed_bytes()), Some(content.as_slice()));
        }
    }
});
