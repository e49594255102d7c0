//! Two builds' files compared: no panic whatever they claim to be.
#![no_main]
libfuzzer_sys::fuzz_target!(|files: (&[u8], &[u8])| {
    let (wanted, found) = files;
    assert_eq!(builder::explain(wanted, found).is_none(), wanted == found);
});
