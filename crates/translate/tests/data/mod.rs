//! The shared test data: `PORTCULLIS_DATA`, or `../shared/data` beside the clone. In CI it must be there.
#![allow(dead_code, reason = "not every test uses every function")]

use std::path::PathBuf;

use attest::Json;

/// A folder of the shared data; nothing, said loudly, where it is absent outside CI.
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
pub fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "the shared data must be there in CI: {}", path.display());
    eprintln!("\n*** SKIPPED: no shared data at {}; this test checked NOTHING ***\n", path.display());
    None
}

pub fn json(path: &std::path::Path) -> Json {
    let bytes = std::fs::read(path).unwrap();
    attest::json::parse(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
