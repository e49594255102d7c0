//! An annotated tag.

use super::headers::{malformed, split, text};
use super::read::{digest, object_id, person};
use super::{CommitError, CommitSignature, Person};
use crate::digest::{Algorithm, Digest};

/// How the signatures of tags begin: they stand at the end of the message.
const SIGNATURES: [&str; 3] =
    ["-----BEGIN PGP SIGNATURE-----", "-----BEGIN SSH SIGNATURE-----", "-----BEGIN SIGNED MESSAGE-----"];

/// A tag of a commit, parsed. Nothing in it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    id: Digest,
    commit: Digest,
    name: String,
    tagger: Person,
    signature: Option<CommitSignature>,
}

impl Tag {
    /// Parses the content of a tag object, as `git cat-file tag ID` prints it.
    ///
    /// # Errors
    /// [`CommitError`] with what was wanted; tags of trees, blobs and other tags are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, CommitError> {
        let text = text(bytes)?;
        let (headers, message) = split(text)?;
        let order = ["object", "type", "tag", "tagger"];
        let [commit, kind, name, tagger] = headers.as_slice() else {
            return Err(malformed("wanted the headers object, type, tag and tagger, and no others"));
        };
        if !headers.iter().map(|h| h.name).eq(order) || headers.iter().any(|h| h.value.contains('\n')) {
            return Err(malformed("wanted the headers object, type, tag and tagger, in this order"));
        }
        if kind.value != "commit" {
            return Err(malformed(&format!("it tags a {}, wanted a commit", kind.value)));
        }
        let commit = digest(&commit.value, Algorithm::GitCommit)?;
        let (tagger, _) = person(&tagger.value)?;
        Ok(Self {
            id: object_id("tag", bytes, commit.bytes().len())?,
            commit,
            name: name.value.clone(),
            tagger,
            signature: signature(text, message)?,
        })
    }

    /// The id, computed from the bytes.
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// The commit that it names.
    #[must_use]
    pub fn commit(&self) -> &Digest {
        &self.commit
    }

    /// The name inside the object. A ref of another name may point at it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who made it, as it says.
    #[must_use]
    pub fn tagger(&self) -> &Person {
        &self.tagger
    }

    /// The signature, if there is one.
    #[must_use]
    pub fn signature(&self) -> Option<&CommitSignature> {
        self.signature.as_ref()
    }
}

/// The signature at the end of the message, over everything before it. One that begins twice is refused: git takes
/// the last.
fn signature(text: &str, message: &str) -> Result<Option<CommitSignature>, CommitError> {
    let begins = |line: &str| SIGNATURES.contains(&line.trim_end_matches(['\n', '\r']));
    let mut found = None;
    let mut at = text.len() - message.len();
    for line in message.split_inclusive('\n') {
        if begins(line) {
            if found.is_some() {
                return Err(malformed("two signatures are on it"));
            }
            found = Some(at);
        }
        at += line.len();
    }
    let Some((signed, armored)) = found.and_then(|at| text.split_at_checked(at)) else { return Ok(None) };
    CommitSignature::read(armored, signed.as_bytes().to_vec()).map(Some)
}
