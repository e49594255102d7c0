//! minisign's form (<https://jedisct1.github.io/minisign/#signature-format>), written: prehashed signatures, whose comment is
//! signed too, and the file with the public key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};

use crate::digest::Digest;
use crate::key::{PublicKey, Scheme};
use crate::secret::{SignError, Signer};

/// The longest comment that minisign reads, in bytes.
const MAX_COMMENT: usize = 1024;

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSigned {
    /// A kind of key that minisign does not have.
    Scheme(Scheme),
    /// A comment that is too long, or not on one line.
    Comment,
    /// The key cannot sign.
    Key(SignError),
}

impl fmt::Display for NotSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme(found) => {
                write!(f, "a key for {} is none of minisign's (wanted ed25519)", found.name())
            }
            Self::Comment => write!(f, "the trusted comment is no line of {MAX_COMMENT} bytes at most"),
            Self::Key(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for NotSigned {}
impl From<SignError> for NotSigned {
    fn from(e: SignError) -> Self {
        Self::Key(e)
    }
}

/// The file with the public key.
///
/// # Errors
/// [`NotSigned::Scheme`].
pub fn public_key(key: &PublicKey) -> Result<String, NotSigned> {
    let id = key_id(key)?;
    let shown = u64::from_le_bytes(id);
    let bytes = [b"Ed", &id[..], key.raw()].concat();
    Ok(format!("untrusted comment: minisign public key {shown:016X}\n{}\n", STANDARD.encode(bytes)))
}

/// The file with the signature over some bytes, and over a comment that says what they are.
///
/// # Errors
/// [`NotSigned`].
pub fn sign(signer: &dyn Signer, message: &[u8], comment: &str) -> Result<String, NotSigned> {
    let id = key_id(signer.public())?;
    if comment.len() > MAX_COMMENT || comment.contains(|c: char| c.is_control() && c != '\t') {
        return Err(NotSigned::Comment);
    }
    let signature = signer.sign(&Blake2b512::digest(message))?;
    let whole = signer.sign(&[&signature, comment.as_bytes()].concat())?;
    let bytes = [b"ED", &id[..], &signature].concat();
    Ok(format!(
        "untrusted comment: verify with the public key {:016X}\n{}\ntrusted comment: {comment}\n{}\n",
        u64::from_le_bytes(id),
        STANDARD.encode(bytes),
        STANDARD.encode(whole)
    ))
}

/// minisign draws a key's name by lot; ours follows from the key, so that its public file can be written again.
fn key_id(key: &PublicKey) -> Result<[u8; 8], NotSigned> {
    if key.scheme() != Scheme::Ed25519 {
        return Err(NotSigned::Scheme(key.scheme()));
    }
    let digest = Digest::sha256(key.raw());
    let (id, _) = digest.bytes().split_first_chunk().ok_or(NotSigned::Scheme(key.scheme()))?;
    Ok(*id)
}
