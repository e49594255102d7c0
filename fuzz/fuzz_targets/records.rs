//! What the signer reads from a socket: no panic, and what it took it writes as the same.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(json) = attest::json::parse(data) else { return };
    if let Ok(record) = builder::BuildRecord::read(&json) {
        assert_eq!(builder::BuildRecord::read(&record.to_json()).ok(), Some(record));
    }
    if let Ok(record) = builder::TestRecord::read(&json) {
        assert_eq!(builder::TestRecord::read(&record.to_json()).ok(), Some(record));
    }
    let _ = builder::FailureRecord::read(&json);
});
