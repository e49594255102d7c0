//! Strict JSON: no panic, and what is written is read back the same.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(value) = attest::json::parse(data) {
        assert_eq!(attest::json::parse(value.to_string().as_bytes()), Ok(value.clone()));
        assert_eq!(attest::json::parse(value.pretty().as_bytes()), Ok(value));
    }
});
