//! PKCS#11 URIs: no panic.
#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = pkcs11::Uri::parse(text);
});
