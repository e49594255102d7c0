//! Who signed a commit or a tag.

use jiff::Timestamp;

use super::{Commit, CommitError, CommitScheme, CommitSignature, CommitSigner, Tag};
use crate::cms::CmsSignature;
use crate::key::PublicKey;
use crate::open::{OpenError, key_counts};
use crate::openpgp;
use crate::sshsig::SshSignature;
use crate::trust::TrustRoot;

/// The namespace in which git has commits and tags signed.
const NAMESPACE: &str = "git";

impl TrustRoot {
    /// Who signed a commit: whose key signed exactly its bytes and counts at `at`. The commit's own times are claims of
    /// its author, so a revoked key signed nothing that counts, whatever they say. A certificate (gitsign) counts at the
    /// time at which a log of its instance saw the signature.
    ///
    /// # Errors
    /// [`CommitError`] with the first reason; a revoked or expired key is named before an unknown one.
    pub fn who_signed(&self, commit: &Commit, at: Timestamp) -> Result<CommitSigner, CommitError> {
        self.who_signed_text(commit.signature().ok_or(CommitError::NotSigned)?, at)
    }

    /// Who signed a tag, as [`TrustRoot::who_signed`] says it of a commit.
    ///
    /// # Errors
    /// [`CommitError`] with the first reason.
    pub fn who_signed_tag(&self, tag: &Tag, at: Timestamp) -> Result<CommitSigner, CommitError> {
        self.who_signed_text(tag.signature().ok_or(CommitError::NotSigned)?, at)
    }

    fn who_signed_text(
        &self,
        signature: &CommitSignature,
        at: Timestamp,
    ) -> Result<CommitSigner, CommitError> {
        let signed = signature.signed_bytes();
        let scheme = signature.scheme();
        match scheme {
            CommitScheme::Cms => {
                let read = CmsSignature::from_armor(signature.armored()).map_err(CommitError::Cms)?;
                let (subject, bundle) = read.bundle(signed).map_err(CommitError::Cms)?;
                let name = self.who_certified(&bundle, &subject, at).map_err(CommitError::Signer)?;
                Ok(CommitSigner { name, scheme })
            }
            CommitScheme::OpenPgp => {
                let read =
                    openpgp::Signature::from_armor(signature.armored()).map_err(CommitError::OpenPgp)?;
                read.check_expiry(at).map_err(CommitError::OpenPgp)?;
                self.signer(scheme, at, |key| read.verify_detached(key, signed).is_ok())
            }
            CommitScheme::Ssh => {
                let read = SshSignature::from_armor(signature.armored()).map_err(CommitError::Ssh)?;
                self.signer(scheme, at, |key| read.verify(key, NAMESPACE, signed).is_ok())
            }
        }
    }

    fn signer(
        &self,
        scheme: CommitScheme,
        at: Timestamp,
        verifies: impl Fn(&PublicKey) -> bool,
    ) -> Result<CommitSigner, CommitError> {
        let by = self.first_key(None, |trusted| trusted.is_plain() && verifies(&trusted.key));
        let (principal, key) = by.ok_or(CommitError::Signer(OpenError::UnknownSigner))?;
        key_counts(&principal.name, key, at).map_err(CommitError::Signer)?;
        Ok(CommitSigner { name: principal.name.clone(), scheme })
    }
}
