//! Content-addressed files: what a digest names, and nothing else.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use attest::Digest;
use attest::digest::Hasher;

use crate::definition::Input;

/// A directory of files by SHA-256.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// Why an input cannot be had.
#[derive(Debug)]
pub enum StoreError {
    /// A file could not be read or written.
    Io(PathBuf, io::Error),
    /// What was fetched is not what was declared.
    Digest {
        /// The input.
        uri: String,
        /// What was declared.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// Nobody has put it there.
    Missing(String, Digest),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, e) => write!(f, "{}: {e}", path.display()),
            Self::Digest { uri, wanted, found } => {
                write!(f, "the input {uri} is not the one declared: wanted {wanted}, found {found}")
            }
            Self::Missing(uri, digest) => {
                write!(
                    f,
                    "the input {uri} ({digest}) is not in the store; put it there with `portcullis builder put FILE`, or name its store with --store DIR"
                )
            }
        }
    }
}
impl std::error::Error for StoreError {}

impl Store {
    /// A store below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("sha256").join(digest.hex())
    }

    /// Copies a file in, and gives its digest.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put(&self, file: &Path) -> Result<Digest, StoreError> {
        let digest = hash_file(file)?;
        let path = self.path(&digest);
        if path.exists() {
            return Ok(digest);
        }
        let failed = |e| StoreError::Io(path.clone(), e);
        fs::create_dir_all(path.parent().unwrap_or(&self.root)).map_err(failed)?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let copied = (|| {
            fs::copy(file, &temporary)?;
            File::open(&temporary)?.sync_all()?;
            fs::rename(&temporary, &path)
        })();
        if copied.is_err() {
            fs::remove_file(&temporary).ok();
        }
        copied.map_err(failed)?;
        Ok(digest)
    }

    /// The file of an input, from the store alone. The bytes are hashed each time; what has another digest never
    /// reaches a build. A `file:` URI is not followed: a build definition could name the orchestrator's own files.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn fetch(&self, input: &Input) -> Result<PathBuf, StoreError> {
        let path = self.path(&input.digest);
        if !path.is_file() {
            return Err(StoreError::Missing(input.uri.clone(), input.digest.clone()));
        }
        let found = hash_file(&path)?;
        if found != input.digest {
            return Err(StoreError::Digest { uri: input.uri.clone(), wanted: input.digest.clone(), found });
        }
        Ok(path)
    }
}

/// SHA-256 of a file, in pieces.
pub(crate) fn hash_file(path: &Path) -> Result<Digest, StoreError> {
    let failed = |e| StoreError::Io(path.to_owned(), e);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Hasher::new(&[]);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    let digests = hasher.finish();
    digests.first().ok_or_else(|| failed(io::Error::from(io::ErrorKind::InvalidData)))
}
