//! Root file systems, unpacked once and used read-only by every build that declares the same inputs.
//!
//! Packages are unpacked and never configured: no maintainer script runs, so that nothing but the declared bytes
//! decides what the root holds.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use attest::Digest;

use crate::store::{Store, StoreError};

mod archive;
mod kept;
mod meter;
#[cfg(test)]
mod tests;
mod unpack;
mod whiteout;

pub(crate) use archive::decompress;
pub(crate) use kept::{Root, sweep};
pub(crate) use meter::{Meter, PATIENCE};
use unpack::Unpacker;
pub(crate) use whiteout::{Whiteout, whiteout};

/// Raised whenever the same inputs would be unpacked differently.
const FORMAT: &str = "root-4";
/// Where every root has a folder for what the sandbox mounts.
const MOUNTS: [&str; 4] = ["proc", "dev", "tmp", "build"];
/// Merged `/usr`, as every current distribution has it; packages still name both.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// Why there is no root file system.
#[derive(Debug)]
pub enum RootError {
    /// An input is not an archive that can be unpacked.
    Archive {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// A file could not be read or written.
    Io(PathBuf, io::Error),
    /// The store failed.
    Store(StoreError),
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive { file, why } => {
                write!(f, "the root's {} cannot be unpacked: {why}", file.display())
            }
            Self::Io(path, e) => write!(f, "{}: {e}", path.display()),
            Self::Store(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for RootError {}

/// The root made of these archives, in order, and links. It is kept below the store's `roots`, under a name that
/// stands for everything that decides its content.
pub(crate) fn prepare(
    store: &Store,
    archives: &[(Digest, PathBuf)],
    links: &[(String, String)],
) -> Result<Root, RootError> {
    let failed = |e| RootError::Io(store.roots(), e);
    Root::open(store, &name(archives, links), failed, |folder| {
        fill(folder, archives, links, Instant::now() + PATIENCE)
    })
}

fn name(archives: &[(Digest, PathBuf)], links: &[(String, String)]) -> String {
    let mut text = format!("{FORMAT}\n");
    archives.iter().for_each(|(digest, _)| text.push_str(&format!("{digest}\n")));
    links.iter().for_each(|(path, to)| text.push_str(&format!("{path}\0{to}\n")));
    Digest::sha256(text.as_bytes()).hex()
}

fn fill(
    root: &Path,
    archives: &[(Digest, PathBuf)],
    links: &[(String, String)],
    deadline: Instant,
) -> Result<(), RootError> {
    let failed = |e| RootError::Io(root.to_owned(), e);
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    // one archive is a root as somebody made it; packages are put together here
    let is_packages = archives.iter().any(|(_, path)| archive::is_package(path).unwrap_or(false));
    if is_packages {
        for name in MERGED {
            fs::create_dir_all(root.join("usr").join(name)).map_err(failed)?;
            symlink(format!("usr/{name}"), root.join(name)).map_err(failed)?;
        }
    }
    let mut unpacker = Unpacker::new(root, deadline).map_err(failed)?;
    for (_, path) in archives {
        archive::unpack(path, &mut unpacker)?;
    }
    for (path, to) in links {
        unpacker.link(path, to).map_err(|why| RootError::Archive { file: path.into(), why })?;
    }
    for mount in MOUNTS {
        let place = root.join(mount);
        // a link would be followed on this machine, and not in the root
        if place.is_symlink() || place.is_file() {
            let why = format!("its /{mount} is no folder, and the sandbox needs one");
            return Err(RootError::Archive { file: place, why });
        }
        fs::create_dir_all(place).map_err(failed)?;
    }
    Ok(())
}

/// The first bytes of a file, from its beginning.
fn beginning<const N: usize>(file: &mut File) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|r| !r.is_empty()) {
        match file.read(rest)? {
            0 => break,
            n => filled += n,
        }
    }
    file.rewind()?;
    Ok(bytes)
}
