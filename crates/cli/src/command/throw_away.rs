//! What the demo and the drill do alike in what they make and throw away.

use std::path::Path;
use std::process::{Command, Stdio};

use attest::dsse::base64;

use crate::failure::Failure;
use crate::input;

/// Who commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author {
    pub(crate) name: &'static str,
    pub(crate) address: &'static str,
}

/// Runs git there, with nothing of the caller's configuration, and gives what it said.
pub(crate) fn git(dir: &Path, author: Author, words: &[&str]) -> Result<String, Failure> {
    let output = Command::new("git")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .arg("-c")
        .arg(format!("user.name={}", author.name))
        .arg("-c")
        .arg(format!("user.email={}", author.address))
        .args(["-c", "safe.directory=*", "-C"])
        .arg(dir)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| {
            Failure::new("git cannot be started").line("found", &e.to_string()).line("fix", "install git")
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(Failure::new("git failed").line("found", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The statement in a bundle of ours, word for word.
pub(crate) fn payload(bundle: &Path) -> Result<String, Failure> {
    let text = input::text("bundle", bundle)?;
    let read = || {
        let json = attest::json::parse(text.as_bytes()).ok()?;
        let envelope = json.as_object().ok()?.object("dsseEnvelope").ok()?;
        String::from_utf8(base64(envelope.string("payload").ok()?)?).ok()
    };
    read().ok_or_else(|| Failure::new(&format!("{} is no bundle of ours", bundle.display())))
}
