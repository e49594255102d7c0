//! Which bundles were attached to an artifact: one set, the last one. Older sets stay where they are, by digest.

use std::path::PathBuf;

use attest::Digest;

use crate::folder::{ReadError, Store, WriteError, place};

/// The longest line: `sha256:`, 64 digits, an end.
const LINE: usize = 72;

impl Store {
    /// Makes these bundles the artifact's set, in place of the one before. Only where a request names no bundles is
    /// it looked at, and it proves nothing: whoever may write here says with it where to look, and no more.
    ///
    /// # Errors
    /// [`WriteError`] where there are too many, one is not stored, or the folder cannot be written.
    pub fn attach(&self, artifact: &Digest, bundles: &[Digest]) -> Result<(), WriteError> {
        let mut set: Vec<&Digest> = Vec::new();
        for digest in bundles {
            if !set.contains(&digest) {
                set.push(digest);
            }
            if set.len() > Self::MAX_SET {
                return Err(WriteError::TooMany(bundles.len()));
            }
        }
        for digest in &set {
            if self.get(digest)?.is_none() {
                return Err(WriteError::NotStored((*digest).clone()));
            }
        }
        let lines: String = set.iter().map(|digest| format!("{digest}\n")).collect();
        self.write(&path(artifact), lines.as_bytes())
    }

    /// The artifact's set; nothing where none was ever attached. Costs one read, whatever else is stored.
    ///
    /// # Errors
    /// [`ReadError`] where nobody knows.
    pub fn attached(&self, artifact: &Digest) -> Result<Option<Vec<Digest>>, ReadError> {
        let path = path(artifact);
        let Some(bytes) = self.read(&path, Self::MAX_SET * LINE)? else { return Ok(None) };
        let text = String::from_utf8(bytes).or(Err(ReadError::Malformed(path.clone())))?;
        // a last line without its end was cut off; what is left of it may be a digest nonetheless
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(ReadError::Malformed(path));
        }
        let digests: Result<Vec<Digest>, _> = text.lines().map(Digest::parse).collect();
        match digests {
            Ok(digests) if digests.len() <= Self::MAX_SET => Ok(Some(digests)),
            _ => Err(ReadError::Malformed(path)),
        }
    }
}

fn path(artifact: &Digest) -> PathBuf {
    place(&format!("artifact/{}", artifact.algorithm().name()), &artifact.hex())
}
