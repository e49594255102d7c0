//! What was signed by a key that counts no more.

use jiff::Timestamp;

use super::{OpenError, read_statement};
use crate::envelope::Envelope;
use crate::statement::Statement;
use crate::trust::TrustRoot;

/// A statement that a key of the trust root did sign, and that proves nothing: the key is revoked, or was outside of its
/// window. It is no [`super::Attestation`] and can never become evidence; it only tells what must be looked at again.
#[derive(Clone, Debug)]
pub struct Disowned {
    /// Whose key it was.
    pub signer: String,
    /// What was signed.
    pub statement: Statement,
    /// Why it does not count.
    pub reason: OpenError,
}

impl TrustRoot {
    /// What an envelope says that [`TrustRoot::open`] refuses for its key alone; nothing where it opens, or where
    /// something else is wrong with it.
    #[must_use]
    pub fn disowned(&self, envelope: &Envelope, at: Timestamp) -> Option<Disowned> {
        let reason = self.open(envelope, at).err()?;
        let (OpenError::Revoked { name, .. } | OpenError::OutsideWindow { name, .. }) = &reason else {
            return None;
        };
        Some(Disowned { signer: name.clone(), statement: read_statement(envelope).ok()?, reason })
    }
}
