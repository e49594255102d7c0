//! The long counts. Their commands and seeds are in docs/measurements, with what they printed.

use std::path::Path;
use std::process::Command;

use crate::Outcome;

pub(crate) fn run(root: &Path) -> Outcome {
    let cases = std::env::var("PORTCULLIS_CASES").unwrap_or_else(|_| "100000".to_owned());
    let seed = std::env::var("PORTCULLIS_SEED").unwrap_or_else(|_| "1".to_owned());
    println!("differential: {cases} cases, seed {seed}");
    let status = Command::new("cargo")
        .args(["test", "--release", "--package", "policy", "--test", "differential", "--", "--nocapture"])
        .env("PORTCULLIS_CASES", cases)
        .env("PORTCULLIS_SEED", seed)
        .current_dir(root)
        .status()
        .map_err(|e| e.to_string())?;
    if !status.success() {
        return Err("the differential soak failed".to_owned());
    }
    let kills = std::env::var("PORTCULLIS_KILLS").unwrap_or_else(|_| "200".to_owned());
    println!("build service: {kills} kills");
    let status = Command::new("cargo")
        .args(["test", "--release", "--package", "portcullis", "--test", "kill_service", "--", "--nocapture"])
        .env("PORTCULLIS_KILLS", kills)
        .current_dir(root)
        .status()
        .map_err(|e| e.to_string())?;
    if !status.success() {
        return Err("the build service did not survive being killed".to_owned());
    }
    let seconds = std::env::var("PORTCULLIS_FUZZ_SECONDS").unwrap_or_else(|_| "60".to_owned());
    crate::run("bash", &["fuzz/smoke.sh", &seconds])
}
