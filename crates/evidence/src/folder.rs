//! The folder: bounded reads, durable writes in turns, and the errors of both.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use attest::{Digest, EnvelopeError};

/// For somebody who finds the folder.
const README: &str =
    "Portcullis keeps evidence here, named by its digest. Nothing in here is believed without proof.\n";

/// An evidence store in a folder. Any number of readers and writers may use it at once, in any number of processes.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// Why nobody knows what is stored. Never to be read as "there is none".
#[derive(Debug)]
pub enum ReadError {
    /// The disk, or the permission to read it.
    Io(PathBuf, io::Error),
    /// The bytes are not those that the name promises.
    Changed(PathBuf),
    /// A list or a tag of ours that does not read.
    Malformed(PathBuf),
}

/// Why something was not stored.
#[derive(Debug)]
pub enum WriteError {
    /// The disk, or the permission to write to it.
    Io(PathBuf, io::Error),
    /// More bytes than a bundle may have; the field is how many.
    TooLarge(usize),
    /// No envelope.
    NoEnvelope(EnvelopeError),
    /// More bundles than a set may have; the field is how many.
    TooMany(usize),
    /// A set names a bundle that is not stored.
    NotStored(Digest),
    /// What is stored cannot be read.
    Unknown(ReadError),
    /// No name of a repository or a tag.
    Name(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, e) => write!(f, "cannot read {} in the evidence store: {e}", path.display()),
            Self::Changed(path) => write!(
                f,
                "{} in the evidence store was changed: its bytes have another digest; attach the bundle again",
                path.display()
            ),
            Self::Malformed(path) => write!(
                f,
                "{} in the evidence store does not read; attach the artifact's bundles again",
                path.display()
            ),
        }
    }
}
impl std::error::Error for ReadError {}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, e) => write!(f, "cannot write {} in the evidence store: {e}", path.display()),
            Self::TooLarge(bytes) => {
                write!(f, "a bundle may have {} bytes, and this one has {bytes}", Store::MAX_BYTES)
            }
            Self::NoEnvelope(e) => e.fmt(f),
            Self::TooMany(count) => {
                write!(f, "at most {} bundles can be attached to an artifact, not {count}", Store::MAX_SET)
            }
            Self::NotStored(digest) => {
                write!(f, "the bundle {digest} is not in the evidence store; put it there first")
            }
            Self::Unknown(e) => e.fmt(f),
            Self::Name(name) => {
                write!(
                    f,
                    "{name:?} names no repository and tag; wanted one as in registry.example/shop and 1.4"
                )
            }
        }
    }
}
impl std::error::Error for WriteError {}

impl From<ReadError> for WriteError {
    fn from(e: ReadError) -> Self {
        Self::Unknown(e)
    }
}

impl Store {
    /// The largest bundle or grant, in bytes.
    pub const MAX_BYTES: usize = 4 << 20;
    /// The largest set that can be attached to an artifact, and that a request may name.
    pub const MAX_SET: usize = 64;

    /// A store in a folder; nothing is made until something is put in.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The bytes of a file, at most `limit`; nothing where there is none.
    pub(crate) fn read(&self, path: &Path, limit: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let failed = |e| ReadError::Io(path.to_owned(), e);
        let file = match File::open(self.root.join(path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > limit {
            return Err(ReadError::Malformed(path.to_owned()));
        }
        Ok(Some(bytes))
    }

    /// Writes a file durably. Writers take turns: two that write the same name at once would share the name of a
    /// temporary file, and processes in two containers may even have the same process id.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
        let failed = |e| WriteError::Io(path.to_owned(), e);
        let turn = self.turn().map_err(failed)?;
        let written = tlog::write_durably(&self.root.join(path), bytes).map_err(failed);
        drop(turn);
        written
    }

    /// Makes the name of a file that is there survive a power cut: its writer may have died right before that.
    pub(crate) fn keep(&self, path: &Path) -> Result<(), WriteError> {
        let path = self.root.join(path);
        let parent = path.parent().unwrap_or(&self.root);
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(|e| WriteError::Io(parent.to_owned(), e))
    }

    fn turn(&self) -> io::Result<File> {
        if !self.root.is_dir() {
            // makes the folder, too, and each new name in its path durable
            tlog::write_durably(&self.root.join("README"), README.as_bytes())?;
        }
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(self.root.join("lock"))?;
        file.lock()?;
        Ok(file)
    }
}

/// `FOLDER/aa/HEX`, with the first two digits of the value, so that no folder grows without end.
pub(crate) fn place(folder: &str, hex: &str) -> PathBuf {
    Path::new(folder).join(hex.get(..2).unwrap_or_default()).join(hex)
}
