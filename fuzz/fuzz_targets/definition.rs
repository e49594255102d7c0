//! Build definitions and lock files: no panic, and what was written is read as the same.
#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = builder::BuildDefinition::parse("portcullis.build.yaml", text);
    if let Ok(locked) = builder::Locked::parse("portcullis.build.lock", text) {
        let again = builder::Locked::parse("portcullis.build.lock", &locked.to_text());
        assert_eq!(again.ok(), Some(locked));
    }
});
