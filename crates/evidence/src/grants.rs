//! Breakglass grants by digest: few, and apart from bundles, so that they can be listed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use attest::{Algorithm, Digest};

use crate::folder::{ReadError, Store, WriteError};

const FOLDER: &str = "grants";

impl Store {
    /// Stores a signed grant durably, and gives the digest by which requests name it.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_grant(&self, bytes: &[u8]) -> Result<Digest, WriteError> {
        let digest = Digest::sha256(bytes);
        self.put_at(&path(&digest), bytes)?;
        Ok(digest)
    }

    /// The grant of a digest, or nothing where there is none.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn grant(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
        self.get_at(&path(digest), digest)
    }

    /// The digests of all grants, in the order of their values.
    ///
    /// # Errors
    /// [`ReadError`] where the folder cannot be read.
    pub fn grants(&self) -> Result<Vec<Digest>, ReadError> {
        let failed = |e| ReadError::Io(PathBuf::from(FOLDER), e);
        let entries = match fs::read_dir(self.root().join(FOLDER)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut digests = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            // what a killed writer left behind has another name
            digests.extend(name.to_str().and_then(|hex| Digest::from_hex(Algorithm::Sha256, hex).ok()));
        }
        digests.sort();
        Ok(digests)
    }
}

fn path(digest: &Digest) -> PathBuf {
    Path::new(FOLDER).join(digest.hex())
}
