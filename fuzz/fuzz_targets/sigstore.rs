//! Trusted roots, bundles under certificates, and the pieces they were before: no panic, and nothing that opens without
//! the certificate of the one identity that counts.
#![no_main]
use std::sync::OnceLock;

use attest::sigstore::{Instance, contents, legacy};
use attest::{Envelope, Json, TrustRoot};

const IDENTITY: &str = "https://git.acme.example/acme/shop/.github/workflows/release.yml@refs/heads/main";
static ROOT: OnceLock<TrustRoot> = OnceLock::new();

/// The instance that made the seed, and the one identity in it.
fn root() -> &'static TrustRoot {
    ROOT.get_or_init(|| {
        let trusted = include_str!("../corpus/sigstore/trusted_root.json");
        let text = format!(
            "version: 1\nsigstore: {{ acme: {{ trusted-root: {} }} }}\nsigners:\n  it:\n    certificate-identities: \
             [{{ issuer: \"https://git.acme.example\", identity: \"{IDENTITY}\" }}]\n",
            Json::from(trusted)
        );
        TrustRoot::parse("fuzz", &text).expect("the seed's trusted root")
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Instance::parse("it", text);
        let _ = contents(text);
    }
    if let Ok(Json::Object(object)) = attest::json::parse(data)
        && let Ok(bundle) = legacy::from_legacy(&object, None, Some(&attest::Digest::sha256(b"x")))
    {
        let _ = Envelope::parse(&bundle);
    }
    let Ok(envelope) = Envelope::parse(data) else { return };
    if let Ok(opened) = root().open(&envelope, jiff::Timestamp::UNIX_EPOCH) {
        assert_eq!(opened.certificate().map(|c| c.identity()), Some(IDENTITY));
    }
});
