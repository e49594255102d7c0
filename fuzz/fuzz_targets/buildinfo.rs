//! A .buildinfo: no panic, and its files have one name and one digest each.
#![no_main]
use std::collections::BTreeSet;

use attest::buildinfo::Buildinfo;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(read) = Buildinfo::parse(text) else { return };
    let names: BTreeSet<&str> = read.files.iter().map(|file| file.name.as_str()).collect();
    assert!(!names.is_empty() && names.len() == read.files.len());
    assert!(names.iter().all(|name| !name.contains('/')));
    assert_eq!(read.provenance().dependencies.len(), read.installed.len());
});
