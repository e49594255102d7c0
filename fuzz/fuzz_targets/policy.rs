//! Policies: no panic, every error has a place, and laying out keeps the meaning.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match policy::Policy::parse("p.yaml", text) {
        Ok(policy) => {
            if let Ok(laid_out) = policy::language::format("p.yaml", text) {
                let again = policy::Policy::parse("p.yaml", &laid_out).unwrap();
                assert_eq!(again.require().len(), policy.require().len());
                assert_eq!(policy::language::format("p.yaml", &laid_out).unwrap(), laid_out);
            }
        }
        Err(errors) => assert!(!errors.is_empty() && errors.iter().all(|e| e.place.line > 0 || text.is_empty())),
    }
    let _ = policy::scenario::TestFile::parse("t.yaml", text);
    let _ = policy::Guardrails::parse("g.yaml", text);
});
