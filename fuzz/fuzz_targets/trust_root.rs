//! Trust roots: no panic, and never one that trusts nobody.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(root) = attest::TrustRoot::parse("r.yaml", text) {
        assert!(root.principals().next().is_some() && root.version() > 0);
    }
});
