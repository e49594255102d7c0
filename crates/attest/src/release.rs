//! The forms in which a release key signs, each as its own tools read it.

use std::fmt;

use jiff::Timestamp;

use crate::bundle::{BlobError, Bundle};
use crate::digest::Digest;
use crate::key::Scheme;
use crate::minisign;
use crate::openpgp::{self, SigningKey};
use crate::secret::{SignError, Signer};

/// How a release is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// A detached OpenPGP signature: `Release.gpg`.
    OpenPgp,
    /// Clear-signed text: `InRelease`.
    OpenPgpClear,
    /// A file for `minisign -V`.
    Minisign,
    /// A bundle for `cosign verify-blob`.
    Cosign,
    /// A bundle for `cosign verify`, over the manifest of an image.
    CosignImage,
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSigned {
    /// The form needs the published OpenPGP block.
    NoBlock,
    /// As OpenPGP.
    OpenPgp(openpgp::NotSigned),
    /// As minisign.
    Minisign(minisign::NotSigned),
    /// As cosign.
    Blob(BlobError),
    /// The key cannot sign.
    Key(SignError),
}

impl fmt::Display for NotSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBlock => f.write_str("nothing says which published OpenPGP key this is"),
            Self::OpenPgp(e) => e.fmt(f),
            Self::Minisign(e) => e.fmt(f),
            Self::Blob(e) => e.fmt(f),
            Self::Key(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for NotSigned {}
impl From<openpgp::NotSigned> for NotSigned {
    fn from(e: openpgp::NotSigned) -> Self {
        Self::OpenPgp(e)
    }
}

impl Form {
    /// All forms.
    pub const ALL: [Self; 5] =
        [Self::OpenPgp, Self::OpenPgpClear, Self::Minisign, Self::Cosign, Self::CosignImage];

    /// The word in files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenPgp => "openpgp",
            Self::OpenPgpClear => "openpgp-clear",
            Self::Minisign => "minisign",
            Self::Cosign => "cosign",
            Self::CosignImage => "cosign-image",
        }
    }

    /// The protocol: a key signs in one alone, or else somebody who chooses what is signed in the one gets a word in the other.
    #[must_use]
    pub fn family(self) -> &'static str {
        match self {
            Self::OpenPgp | Self::OpenPgpClear => "openpgp",
            Self::Minisign => "minisign",
            Self::Cosign | Self::CosignImage => "cosign",
        }
    }

    /// The form of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }

    /// Whether the published block must be given, which says when the key was made.
    #[must_use]
    pub fn needs_block(self) -> bool {
        matches!(self, Self::OpenPgp | Self::OpenPgpClear)
    }
}

/// Whether a key can sign in a protocol, by its kind and, for OpenPGP, its published block. Nothing is signed.
///
/// # Errors
/// [`NotSigned`].
pub fn fits(family: &str, signer: &dyn Signer, block: Option<&[u8]>) -> Result<(), NotSigned> {
    let scheme = signer.public().scheme();
    match family {
        "openpgp" => {
            SigningKey::published(signer, block.ok_or(NotSigned::NoBlock)?).map_err(NotSigned::OpenPgp)?;
            Ok(())
        }
        "minisign" if scheme != Scheme::Ed25519 => {
            Err(NotSigned::Minisign(minisign::NotSigned::Scheme(scheme)))
        }
        "cosign" if scheme != Scheme::P256 => Err(NotSigned::Blob(BlobError::Scheme(scheme))),
        _ => Ok(()),
    }
}

/// Signs a file in a form. `block` is the published OpenPGP key, `name` what the file is called where the form says so.
///
/// # Errors
/// [`NotSigned`].
pub fn sign(
    form: Form,
    signer: &dyn Signer,
    block: Option<&[u8]>,
    bytes: &[u8],
    name: &str,
    at: Timestamp,
) -> Result<String, NotSigned> {
    let openpgp =
        || SigningKey::published(signer, block.ok_or(NotSigned::NoBlock)?).map_err(NotSigned::OpenPgp);
    match form {
        Form::OpenPgp => Ok(openpgp()?.sign_detached(bytes, at)?),
        Form::OpenPgpClear => Ok(openpgp()?.sign_clear(bytes, at)?),
        Form::Minisign => {
            // a tab would begin another field of what is signed
            if name.contains(char::is_control) {
                return Err(NotSigned::Minisign(minisign::NotSigned::Comment));
            }
            let comment = format!("timestamp:{}\tfile:{name}\thashed", at.as_second());
            minisign::sign(signer, bytes, &comment).map_err(NotSigned::Minisign)
        }
        Form::Cosign => {
            let bundle = Bundle::sign_blob(signer, bytes).map_err(NotSigned::Blob)?;
            Ok(format!("{bundle}\n"))
        }
        Form::CosignImage => {
            let bundle = Bundle::sign_image(signer, &Digest::sha256(bytes)).map_err(NotSigned::Key)?;
            Ok(format!("{bundle}\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn a_name_adds_no_field_to_the_comment_that_is_signed() {
        let key = SecretKey::from_ed25519_seed(&[7; 32]).unwrap();
        let named = |name| sign(Form::Minisign, &key, None, b"x", name, Timestamp::UNIX_EPOCH);
        assert!(named("a file").unwrap().contains("\tfile:a file\thashed\n"));
        for name in ["a\tfile:b", "a\nb", "a\rb"] {
            assert_eq!(named(name), Err(NotSigned::Minisign(minisign::NotSigned::Comment)), "{name:?}");
        }
    }
}
