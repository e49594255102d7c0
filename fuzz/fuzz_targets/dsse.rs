//! DSSE: no panic, and what is written is read back the same.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(attest::Json::Object(object)) = attest::json::parse(data)
        && let Ok(dsse) = attest::dsse::Dsse::read(&object)
    {
        assert_eq!(attest::dsse::Dsse::read(&dsse.to_json()), Ok(dsse));
    }
});
