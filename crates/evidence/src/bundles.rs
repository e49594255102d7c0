//! Bundles by digest.

use std::path::{Path, PathBuf};

use attest::{Algorithm, Digest, Envelope};

use crate::folder::{ReadError, Store, WriteError, place};

impl Store {
    /// Stores a bundle durably, and gives the digest that names it. Putting it twice is putting it once.
    ///
    /// # Errors
    /// [`WriteError`] where it is too large, no envelope, or the folder cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, WriteError> {
        let digest = Digest::sha256(bytes);
        self.put_at(&path(&digest), bytes)?;
        Ok(digest)
    }

    /// The bundle of a digest: exactly its bytes, or nothing where there is none.
    ///
    /// # Errors
    /// [`ReadError`] where nobody knows, and where the bytes are not the digest's: those are never given away.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
        self.get_at(&path(digest), digest)
    }

    pub(crate) fn put_at(&self, path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(WriteError::TooLarge(bytes.len()));
        }
        Envelope::parse(bytes).map_err(WriteError::NoEnvelope)?;
        // one that was changed, or cannot be read, is written anew: these bytes are the ones that belong there
        match self.read(path, Self::MAX_BYTES) {
            Ok(Some(known)) if known == bytes => self.keep(path),
            _ => self.write(path, bytes),
        }
    }

    pub(crate) fn get_at(&self, path: &Path, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
        // everything here is named by its SHA-256
        if digest.algorithm() != Algorithm::Sha256 {
            return Ok(None);
        }
        match self.read(path, Self::MAX_BYTES)? {
            Some(bytes) if Digest::sha256(&bytes) != *digest => Err(ReadError::Changed(path.to_owned())),
            found => Ok(found),
        }
    }
}

fn path(digest: &Digest) -> PathBuf {
    place("sha256", &digest.hex())
}
