//! Running the real binary, and finding the real parts that tests need.
#![allow(dead_code, reason = "not every test uses every function")]

pub mod certificates;
pub mod serving;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs `portcullis` with nothing of the caller's settings.
pub fn portcullis(args: &[&str]) -> Output {
    portcullis_in(Path::new("/"), args)
}

pub fn portcullis_in(dir: &Path, args: &[&str]) -> Output {
    portcullis_command().args(args).current_dir(dir).output().unwrap()
}

/// `portcullis` without arguments and without the caller's settings.
pub fn portcullis_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    for setting in ["PORTCULLIS_PASSPHRASE", "PORTCULLIS_STATE", "PORTCULLIS_STORE"] {
        command.env_remove(setting);
    }
    command.stdin(Stdio::null());
    command
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Runs, and insists on the exit code.
pub fn expect(exit: i32, args: &[&str]) -> String {
    let output = portcullis(args);
    assert_eq!(code(&output), exit, "{args:?}\n{}\n{}", stdout(&output), stderr(&output));
    stdout(&output) + &stderr(&output)
}

/// A real part that `cargo xtask setup` installs; nothing, said loudly, where it is absent outside CI.
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
pub fn part(name: &str, path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{name} must be there in CI: {}", path.display());
    eprintln!(
        "\n*** SKIPPED: no {name} at {}; run cargo xtask setup. This test checked NOTHING ***\n",
        path.display()
    );
    None
}

/// The shared test data: `PORTCULLIS_DATA`, or `../shared/data` beside the clone. In CI it must be there.
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
pub fn data(name: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    part("shared data", std::env::var_os("PORTCULLIS_DATA").map_or_else(beside, PathBuf::from).join(name))
}

pub fn cache(below: &str) -> PathBuf {
    std::env::home_dir().unwrap().join(".cache/portcullis").join(below)
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
