//! OpenPGP: no panic, no signature of a key that signed nothing, and what is given out of a text is canonical.
#![no_main]
use attest::openpgp::{ClearSigned, Signature, read_keys};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let keys = read_keys(data).unwrap_or_default();
    let text = std::str::from_utf8(data).unwrap_or_default();
    for signature in [Signature::from_binary(data), Signature::from_armor(text)].into_iter().flatten() {
        let _ = (signature.claimed_at(), signature.expires());
        assert!(keys.iter().all(|key| signature.verify_detached(key, data).is_err()));
    }
    if let Ok(signed) = ClearSigned::parse(data) {
        assert!(signed.text().lines().all(|line| !line.ends_with([' ', '\t', '\r'])));
    }
});
