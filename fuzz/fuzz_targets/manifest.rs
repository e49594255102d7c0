//! Manifests and indexes of registries, and the texts beside them: no panic, and no bytes with two meanings.
#![no_main]
use registry::{Credentials, Document, Reference};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let said_by_nobody = Document::parse(data, None);
    let (manifest, index) = (Document::parse(data, Some(MANIFEST)), Document::parse(data, Some(INDEX)));
    assert!(manifest.is_err() || index.is_err(), "two readers, two meanings");
    assert!(!matches!(manifest, Ok(Document::Index { .. })) && !matches!(index, Ok(Document::Manifest { .. })));
    if let Ok(document) = manifest.or(index) {
        assert_eq!(said_by_nobody.as_ref(), Ok(&document), "what nobody says changes nothing");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(reference) = Reference::parse(text) {
        assert_eq!(Reference::parse(&reference.to_string()).as_ref(), Ok(&reference), "one spelling");
        assert!(!reference.name().contains(['?', '#', '%', ' ']) && !reference.name().contains(".."));
    }
    drop(Credentials::parse_docker(text));
});
