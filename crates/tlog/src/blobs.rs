//! Large values beside a log, named by their SHA-256: a leaf commits to them by digest.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use attest::Digest;

use crate::storage::Storage;

/// A content-addressed store.
#[derive(Clone, Debug)]
pub struct Blobs<S> {
    storage: S,
}

/// Why a blob cannot be had.
#[derive(Debug)]
pub enum BlobError {
    /// The store failed.
    Io(Digest, io::Error),
    /// It is not there.
    Missing(Digest),
    /// The bytes are not the ones that the digest names.
    Changed(Digest),
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(digest, e) => write!(f, "cannot read or write {digest}: {e}"),
            Self::Missing(digest) => write!(f, "{digest} is missing"),
            Self::Changed(digest) => write!(f, "{digest} was changed: its bytes have another digest"),
        }
    }
}
impl std::error::Error for BlobError {}

impl<S: Storage> Blobs<S> {
    /// Blobs in a store.
    #[must_use]
    pub fn new(storage: S) -> Self {
        Self { storage }
    }

    /// Stores bytes durably, once, and gives their digest.
    ///
    /// # Errors
    /// [`BlobError::Io`] where the store fails.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::sha256(bytes);
        let path = path(&digest);
        let known = self.storage.read(&path).map_err(|e| BlobError::Io(digest.clone(), e))?;
        if known.is_none_or(|known| known != bytes) {
            self.storage.write(&path, bytes).map_err(|e| BlobError::Io(digest.clone(), e))?;
        }
        Ok(digest)
    }

    /// Stores many byte strings durably; those that are there already are not written again.
    ///
    /// # Errors
    /// Any I/O error of the store.
    pub(crate) fn put_many<'b>(&self, all: impl Iterator<Item = &'b [u8]>) -> io::Result<()> {
        let mut files = BTreeMap::new();
        for bytes in all {
            let path = path(&Digest::sha256(bytes));
            if self.storage.read(&path)?.is_none_or(|known| known != bytes) {
                files.insert(path, bytes.to_vec());
            }
        }
        self.storage.write_many(&files.into_iter().collect::<Vec<_>>())
    }

    /// The bytes of a digest, checked.
    ///
    /// # Errors
    /// [`BlobError`] where they are not there, or not the ones.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        let bytes = self.storage.read(&path(digest)).map_err(|e| BlobError::Io(digest.clone(), e))?;
        let bytes = bytes.ok_or_else(|| BlobError::Missing(digest.clone()))?;
        if Digest::sha256(&bytes) == *digest { Ok(bytes) } else { Err(BlobError::Changed(digest.clone())) }
    }
}

fn path(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/sha256/{}/{hex}", hex.get(..2).unwrap_or_default())
}
