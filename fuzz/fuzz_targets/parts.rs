//! Lists of parts, VEX documents and package URLs: no panic.
#![no_main]
use advisory::{Purl, dependencies, vex};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(bom) = dependencies::of_bom(data) {
        for component in bom.components {
            assert!(component.label().contains(&component.name));
        }
    }
    let _ = vex::Statements::parse(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(purl) = Purl::parse(text)
    {
        assert!(purl.means(&purl), "{text}");
    }
});
