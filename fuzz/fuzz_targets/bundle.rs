//! Bundles: no panic.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(attest::Json::Object(object)) = attest::json::parse(data) {
        let _ = attest::bundle::Bundle::read(&object, data);
    }
});
