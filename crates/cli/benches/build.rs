//! Builds bare and through the orchestrator, in turns: bench/build.py measures.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark")]

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/build.py");
    let status = std::process::Command::new("python3")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_portcullis"))
        .status()
        .unwrap();
    assert!(status.success());
}
