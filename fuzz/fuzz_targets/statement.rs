//! Statements: no panic; provenance survives being written.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(statement) = attest::Statement::parse(data)
        && let attest::Predicate::Provenance(provenance) = statement.predicate
        && provenance.format == "1.0"
        && let Ok(again) = attest::Provenance::from_slsa_v1(&provenance.to_slsa_v1())
    {
        assert_eq!(again.builder_id, provenance.builder_id);
        assert_eq!(again.parameters.len(), provenance.parameters.len());
    }
});
