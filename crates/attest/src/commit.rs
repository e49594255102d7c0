//! A git commit or tag as git keeps it, read strictly, and who signed it.
//!
//! What is read is what the object's id names and what its signature covers: the author, the committer and the times are
//! the words of whoever made the object; only the signature says who vouches for them. Refused: duplicate headers, a
//! NUL, another encoding than UTF-8, more than one signature: each has two readings.

use std::fmt;

use jiff::Timestamp;

pub use crate::cms::CmsError;
use crate::digest::Digest;
use crate::open::OpenError;
use crate::openpgp::OpenPgpError;
use crate::sshsig::SshError;

mod headers;
mod read;
mod signed;
mod tag;

pub use tag::Tag;

/// The largest object that is read, in bytes. Mergetags make commits large; nothing makes them larger than this.
pub const MAX_BYTES: usize = 1 << 20;

/// A commit, parsed. Nothing in it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    id: Digest,
    tree: Digest,
    parents: Vec<Digest>,
    author: Person,
    committer: Person,
    committed: Timestamp,
    co_authors: Vec<Person>,
    signature: Option<CommitSignature>,
}

/// Somebody, as a commit calls them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person {
    /// The name for people; decides nothing.
    pub name: String,
    /// The address, which the trust root may know as an identity.
    pub address: String,
}

/// A signature on a commit or a tag, and the bytes that it is over. It proves nothing yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitSignature {
    scheme: CommitScheme,
    armored: String,
    signed: Vec<u8>,
}

/// How a commit is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitScheme {
    /// `gpg`, RFC 4880.
    OpenPgp,
    /// `ssh-keygen -Y sign` in the namespace `git`.
    Ssh,
    /// CMS, as gitsign signs with a certificate of Sigstore.
    Cms,
}

/// Who signed a commit: a key of theirs signed exactly its bytes, and counted at the time asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitSigner {
    /// The name in the trust root; `TrustRoot::is_person` says whether it is a person.
    pub name: String,
    /// How it signed.
    pub scheme: CommitScheme,
}

/// Why an object is not read, or why nobody is known to have signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// More bytes than [`MAX_BYTES`].
    TooLarge(usize),
    /// Not as git writes it; the field says what was wanted, or what is there that must not be.
    Malformed(String),
    /// There is no signature on it.
    NotSigned,
    /// The CMS signature is malformed, of other bytes, or of a kind that is not read.
    Cms(CmsError),
    /// The OpenPGP signature is malformed or not accepted.
    OpenPgp(OpenPgpError),
    /// The SSH signature is malformed or not accepted.
    Ssh(SshError),
    /// A key or certificate of the trust root signed it, and does not count; or none of it did.
    Signer(OpenError),
}

impl CommitScheme {
    /// The name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenPgp => "openpgp",
            Self::Ssh => "ssh",
            Self::Cms => "cms",
        }
    }
}

impl Commit {
    /// Parses the content of a commit object, as `git cat-file commit ID` prints it.
    ///
    /// # Errors
    /// [`CommitError`] with what was wanted.
    pub fn parse(bytes: &[u8]) -> Result<Self, CommitError> {
        read::commit(bytes)
    }

    /// The id, computed from the bytes.
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// The tree: what the source looks like.
    #[must_use]
    pub fn tree(&self) -> &Digest {
        &self.tree
    }

    /// The parents, in the order of the commit.
    #[must_use]
    pub fn parents(&self) -> &[Digest] {
        &self.parents
    }

    /// The author, as the commit says.
    #[must_use]
    pub fn author(&self) -> &Person {
        &self.author
    }

    /// The committer, as the commit says.
    #[must_use]
    pub fn committer(&self) -> &Person {
        &self.committer
    }

    /// When it was committed, as the committer's clock said: a claim.
    #[must_use]
    pub fn committed(&self) -> Timestamp {
        self.committed
    }

    /// Everybody whom a line `Co-authored-by:` names, wherever in the message it stands: one author too many costs a
    /// review, one too few lets an author review their own work.
    #[must_use]
    pub fn co_authors(&self) -> &[Person] {
        &self.co_authors
    }

    /// The signature, if there is one.
    #[must_use]
    pub fn signature(&self) -> Option<&CommitSignature> {
        self.signature.as_ref()
    }
}

impl CommitSignature {
    /// How it is signed.
    #[must_use]
    pub fn scheme(&self) -> CommitScheme {
        self.scheme
    }

    /// The signature's text.
    #[must_use]
    pub fn armored(&self) -> &str {
        &self.armored
    }

    /// The bytes that are signed: the object without its signature.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(bytes) => write!(f, "{bytes} bytes; a commit or tag has {MAX_BYTES} at most"),
            Self::Malformed(why) => write!(f, "not as git writes it: {why}"),
            Self::NotSigned => f.write_str("not signed: no `gpgsig` is on it; sign with `git commit -S`"),
            Self::Cms(e) => e.fmt(f),
            Self::OpenPgp(e) => e.fmt(f),
            Self::Ssh(e) => e.fmt(f),
            Self::Signer(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for CommitError {}
