//! The newest verification summary of an artifact in an environment: what a choke point signed of its own decision, apart
//! from what others attached.

use std::path::PathBuf;

use attest::{Digest, Envelope};

use crate::about::{About, about};
use crate::folder::{ReadError, Store, WriteError, place};

impl Store {
    /// Keeps a summary durably, in place of the one before.
    ///
    /// # Errors
    /// [`WriteError`] where it is too large, no envelope, or the folder cannot be written.
    pub fn keep_summary(&self, artifact: &Digest, environment: &str, bytes: &[u8]) -> Result<(), WriteError> {
        self.put_at(&path(artifact, environment), bytes)
    }

    /// The newest summary; nothing where there is none. It proves nothing until it is opened.
    ///
    /// # Errors
    /// [`ReadError`] where nobody knows, and where what lies there is about something else.
    pub fn summary(&self, artifact: &Digest, environment: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let path = path(artifact, environment);
        let Some(bytes) = self.read(&path, Self::MAX_BYTES)? else { return Ok(None) };
        let is_about = |envelope| about(&envelope, &artifact.clone().into()) == About::Artifact;
        match Envelope::parse(&bytes).is_ok_and(is_about) {
            true => Ok(Some(bytes)),
            false => Err(ReadError::Malformed(path)),
        }
    }
}

/// No character of an environment reaches the path. A digest holds no blank, so two pairs never read as one.
fn path(artifact: &Digest, environment: &str) -> PathBuf {
    place("summary", &Digest::sha256(format!("{artifact} {environment}").as_bytes()).hex())
}
