//! What an ecosystem's lock file asks for, before anything is fetched.

use std::fmt;

use attest::digest::Hasher;
use attest::yaml::{LoadError, Place};
use attest::{Algorithm, Digest};

use super::go_hash;

/// A file that an ecosystem's lock file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where the build finds it, below `/build/inputs`.
    pub name: String,
    /// Where it is fetched.
    pub uri: String,
    /// What the lock file says of its content.
    pub check: Check,
    /// Where the lock file asks for it.
    pub place: Place,
}

/// How a lock file says which bytes it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The digest of the bytes.
    Digest(Digest),
    /// go.sum's hash of a module's zip archive.
    GoZip(String),
    /// go.sum's hash of a module's go.mod file.
    GoMod(String),
}

impl Check {
    /// Why these bytes are not the ones meant; nothing where they are.
    pub(crate) fn refuse(&self, bytes: &[u8]) -> Option<String> {
        let found = match self {
            Self::Digest(wanted) if wanted.algorithm() == Algorithm::Sha256 => {
                Digest::sha256(bytes).to_string()
            }
            Self::Digest(wanted) => {
                let mut hasher = Hasher::new(&[wanted.algorithm()]);
                hasher.update(bytes);
                hasher.finish().get(wanted.algorithm()).map(|d| d.to_string()).unwrap_or_default()
            }
            Self::GoMod(_) => go_hash::of_mod(bytes),
            Self::GoZip(_) => match go_hash::of_zip(bytes) {
                Ok(hash) => hash,
                Err(why) => return Some(format!("it is no archive of a Go module: {why}")),
            },
        };
        let wanted = self.to_string();
        (found != wanted).then(|| format!("wanted {wanted}, found {found}"))
    }

    /// The SHA-256 of the bytes, where the lock file says it.
    pub(crate) fn sha256(&self) -> Option<&Digest> {
        match self {
            Self::Digest(digest) if digest.algorithm() == Algorithm::Sha256 => Some(digest),
            Self::Digest(_) | Self::GoZip(_) | Self::GoMod(_) => None,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::GoZip(hash) | Self::GoMod(hash) => f.write_str(hash),
        }
    }
}

/// A line of a file.
pub(crate) fn line(file: &str, number: usize) -> Place {
    Place { file: file.into(), line: number, column: 1 }
}

/// The files in the order of their names, each once. The same file asked for twice is one; two different files under
/// one name are an error.
pub(crate) fn once(mut wanted: Vec<Wanted>) -> Result<Vec<Wanted>, Vec<LoadError>> {
    wanted.sort_by(|a, b| (&a.name, &a.place).cmp(&(&b.name, &b.place)));
    let mut errors = Vec::new();
    let mut kept: Vec<Wanted> = Vec::new();
    for next in wanted {
        match kept.last() {
            Some(last) if last.name == next.name => {
                if (&last.uri, &last.check) != (&next.uri, &next.check) {
                    let message = format!("`{}` stands in the file twice, with different content", next.name);
                    errors.push(
                        LoadError::new(&next.place, &message)
                            .wanted(&format!("{} {}, as on line {}", last.uri, last.check, last.place.line))
                            .found(&format!("{} {}", next.uri, next.check))
                            .fix("let the ecosystem's own tool write the file anew"),
                    );
                }
            }
            _ => kept.push(next),
        }
    }
    if errors.is_empty() { Ok(kept) } else { Err(errors) }
}
