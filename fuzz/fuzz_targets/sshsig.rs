//! SSH signatures and lines of keys: no panic, and nothing verifies under a key that signed nothing.
#![no_main]
use attest::sshsig::SshSignature;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = std::str::from_utf8(data).unwrap_or_default();
    let keys = attest::PublicKey::from_listed(text).unwrap_or_default();
    assert!(keys.iter().all(|key| key.verify(data, data).is_err()));
    for signature in [SshSignature::from_binary(data), SshSignature::from_armor(text)].into_iter().flatten() {
        assert!(!signature.namespace().is_empty());
        assert!(keys.iter().all(|key| signature.verify(key, signature.namespace(), data).is_err()));
    }
});
