//! Why names cannot be resolved.

use std::fmt;
use std::io;
use std::path::PathBuf;

use attest::yaml::{LoadError, Place};

use crate::fetch::FetchError;
use crate::store::StoreError;

use super::MAX_INPUTS;

/// Why a lock file cannot be written.
#[derive(Debug)]
pub enum LockError {
    /// An ecosystem's lock file has errors.
    Files(Vec<LoadError>),
    /// An ecosystem's lock file is not there.
    NoFile(String),
    /// The suite is no name of one.
    Suite(String),
    /// apt is not installed.
    NoApt,
    /// apt could not do it.
    Apt {
        /// What it was asked.
        what: String,
        /// What it said.
        said: String,
    },
    /// A file could not be fetched.
    Fetch(FetchError),
    /// The store failed, or a file is not the one that was declared.
    Store(StoreError),
    /// What was fetched is not what the ecosystem's lock file means.
    Content {
        /// The file.
        uri: String,
        /// What was wanted and found.
        why: String,
        /// Where the lock file asks for it.
        place: Place,
    },
    /// An input by hand and a resolved one have one name.
    Twice(String),
    /// More files than a lock file may have.
    TooMany(usize),
    /// A file could not be read or written.
    Io(PathBuf, io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(errors) => match errors.first() {
                Some(first) => first.fmt(f),
                None => f.write_str("a lock file has errors"),
            },
            Self::NoFile(name) => {
                write!(f, "the definition locks {name}, and there is no such file")?;
                match tool(name) {
                    Some(tool) => write!(f, "; write it with `{tool}`, and commit it"),
                    None => Ok(()),
                }
            }
            Self::Suite(suite) => {
                write!(f, "`{}` is no suite of Debian, as bookworm is one", suite.escape_debug())
            }
            Self::NoApt => f.write_str(
                "apt-get is not installed, and only apt knows what a Debian package needs; run this on Debian, or in a container of it: the lock file is the same",
            ),
            Self::Apt { what, said } => write!(f, "apt could not {what}: {said}"),
            Self::Fetch(e) => e.fmt(f),
            Self::Store(e) => e.fmt(f),
            Self::Content { uri, why, place } => {
                write!(f, "{uri} is not the file that {place} means: {why}")
            }
            Self::Twice(name) => write!(
                f,
                "the input {name} stands in the definition and is resolved too; give the one in the definition another name"
            ),
            Self::TooMany(count) => write!(f, "{count} files are needed, and a build takes at most {MAX_INPUTS}"),
            Self::Io(path, e) => write!(f, "{}: {e}", path.display()),
        }
    }
}
impl std::error::Error for LockError {}

/// What writes an ecosystem's lock file.
fn tool(name: &str) -> Option<&'static str> {
    match name.rsplit('/').next()? {
        "Cargo.lock" => Some("cargo generate-lockfile"),
        "package-lock.json" => Some("npm install --package-lock-only"),
        "go.sum" => Some("go mod tidy"),
        "requirements.txt" => Some("pip-compile --generate-hashes"),
        _ => None,
    }
}
