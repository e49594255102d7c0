//! The one door: `cargo xtask ci` on a laptop and in CI.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for developers")]
#![allow(clippy::disallowed_methods, reason = "a tool for developers reads its environment")]

mod docs;
mod floors;
mod setup;
mod soak;
mod threats;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What goes wrong is text for a developer.
type Outcome = Result<(), String>;

const HELP: &str = "\
cargo xtask COMMAND

  setup     install what demo and tests need: system packages, upstream source, real parts, cargo-deny
  demo      set up, and run `portcullis demo`; arguments go to it
  ci        set up, and every check and test there is
  floors    crates import downwards only, and files keep their sizes
  docs      write the generated reference; --check only compares
  threats   THREATS.md names tests that exist
  soak      the long counts: differential, kills of builds and of both logs, fuzz, or the one named; see docs/measurements
  bench     the benchmarks, with floors measured in the same run";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let outcome = match args.first().map(String::as_str) {
        Some("setup") => setup::all(),
        Some("demo") => demo(rest),
        Some("ci") => ci(),
        Some("floors") => floors::check(&root()),
        Some("docs") => docs::run(&root(), rest.iter().any(|a| a == "--check")),
        Some("threats") => threats::check(&root()),
        Some("soak") => soak::run(&root(), rest.first().map(String::as_str)),
        Some("bench") => run("cargo", &["bench", "--workspace", "--benches"]),
        _ => {
            println!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e}");
            ExitCode::FAILURE
        }
    }
}

fn demo(args: &[String]) -> Outcome {
    setup::for_demo()?;
    // without optimisation: it is compiled in half the time, and waits for a compiler in a sandbox anyway
    let mut all = vec!["run", "--quiet", "--package", "portcullis", "--", "demo"];
    all.extend(args.iter().map(String::as_str));
    run("cargo", &all)
}

fn ci() -> Outcome {
    step("setup", setup::all)?;
    step("format", || run("cargo", &["fmt", "--all", "--check"]))?;
    step("floors and sizes", || floors::check(&root()))?;
    step("threats", || threats::check(&root()))?;
    step("lints", || {
        run("cargo", &["clippy", "--workspace", "--lib", "--bins", "--", "-D", "warnings"])?;
        let tests = ["clippy", "--workspace", "--tests", "--benches", "--", "-D", "warnings"];
        let relaxed = [
            "unwrap_used",
            "expect_used",
            "panic",
            "indexing_slicing",
            "string_slice",
            "print_stdout",
            "print_stderr",
            "too_many_lines",
            "type_complexity",
        ];
        let relaxed: Vec<String> = relaxed.iter().map(|l| format!("-Aclippy::{l}")).collect();
        let all: Vec<&str> = tests.into_iter().chain(relaxed.iter().map(String::as_str)).collect();
        run("cargo", &all)
    })?;
    step("licences, bans and sources", || {
        // also what other platforms would need: it is looked at as a whole, without a network
        run("cargo", &["fetch", "--locked"])?;
        run(
            &setup::tool("cargo-deny").display().to_string(),
            &["--offline", "check", "bans", "licenses", "sources"],
        )
    })?;
    step("generated docs", || docs::run(&root(), true))?;
    step("rustdoc", || run("cargo", &["doc", "--workspace", "--no-deps", "--quiet"]))?;
    step("fuzz targets build and run their corpora", || run("bash", &["fuzz/smoke.sh"]))?;
    step("tests", || run("cargo", &["test", "--workspace"]))
}

fn step(name: &str, run: impl FnOnce() -> Outcome) -> Outcome {
    let start = std::time::Instant::now();
    println!("\n=== {name}");
    run().map_err(|e| format!("{name}: {e}"))?;
    println!("=== {name}: done in {} s", start.elapsed().as_secs());
    Ok(())
}

/// The workspace's folder.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

fn run(program: &str, args: &[&str]) -> Outcome {
    let status = Command::new(program).args(args).current_dir(root()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {} ended with {status}", args.join(" "))),
        Err(e) => Err(format!("{program} cannot be started: {e}")),
    }
}
