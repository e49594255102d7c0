//! JWTs: no panic, and nothing verifies under a key that signed nothing.
#![no_main]
use std::sync::LazyLock;
static KEY: LazyLock<attest::SecretKey> = LazyLock::new(|| attest::SecretKey::generate(attest::Scheme::P256).unwrap());
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(jws) = attest::jwt::Jws::parse(text)
    {
        assert!(jws.verify(attest::Signer::public(&*KEY)).is_none());
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(digest) = attest::ni::parse(text)
    {
        let name = attest::ni::write(&digest).unwrap();
        assert_eq!(attest::ni::parse(&name), Some(digest));
    }
});
