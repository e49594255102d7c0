//! Which digest a tag stands for: for pinning, where the one who may attach says so.

use std::path::PathBuf;

use attest::time::parse_time;
use attest::{Digest, Json, Object, json};
use jiff::Timestamp;

use crate::folder::{ReadError, Store, WriteError, place};

/// The OCI distribution specification's bounds, and room for a registry's host.
const MAX_REPOSITORY: usize = 512;
const MAX_TAG: usize = 128;
/// What is written for one tag fits.
const MAX_BYTES: usize = 8 << 10;

/// What a tag stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The artifact.
    pub digest: Digest,
    /// Since when.
    pub at: Timestamp,
}

impl Store {
    /// Says which digest a tag stands for from now on. The last writer wins.
    ///
    /// # Errors
    /// [`WriteError`] where the names are none, or the folder cannot be written.
    pub fn tag(&self, repository: &str, tag: &str, to: &Tagged) -> Result<(), WriteError> {
        if !is_name(repository, MAX_REPOSITORY) || !is_name(tag, MAX_TAG) {
            return Err(WriteError::Name(format!("{repository}:{tag}")));
        }
        let object = Object::new()
            .with("repository", repository)
            .with("tag", tag)
            .with("digest", to.digest.to_string())
            .with("at", to.at.to_string());
        self.write(&path(repository, tag), format!("{}\n", Json::from(object)).as_bytes())
    }

    /// What a tag stands for; nothing where nobody said.
    ///
    /// # Errors
    /// [`ReadError`] where nobody knows.
    pub fn tagged(&self, repository: &str, tag: &str) -> Result<Option<Tagged>, ReadError> {
        let path = path(repository, tag);
        let Some(bytes) = self.read(&path, MAX_BYTES)? else { return Ok(None) };
        let tagged = json::parse(&bytes).ok().and_then(|value| {
            let object = value.as_object().ok()?;
            // the file says whose it is: one that was moved here by hand speaks for another tag
            let is_it = object.string("repository").ok()? == repository && object.string("tag").ok()? == tag;
            let digest = Digest::parse(object.string("digest").ok()?).ok()?;
            let at = parse_time(object.string("at").ok()?)?;
            is_it.then_some(Tagged { digest, at })
        });
        tagged.map(Some).ok_or(ReadError::Malformed(path))
    }
}

fn is_name(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_graphic())
}

/// No character of a name reaches the path. A blank stands in no name, so two pairs never read as one.
fn path(repository: &str, tag: &str) -> PathBuf {
    place("tag", &Digest::sha256(format!("{repository} {tag}").as_bytes()).hex())
}
