//! Step one for simple signing: a detached payload and the signatures over it.

use std::sync::Arc;

use jiff::Timestamp;

use super::verified::{Credential, signer};
use super::{Attestation, OpenError, Signed, Verified};
use crate::digest::Digest;
use crate::dsse::Signature;
use crate::simple_signing::SimpleSigning;
use crate::trust::TrustRoot;

impl TrustRoot {
    /// Opens a payload of simple signing under signatures that came beside it. As [`TrustRoot::open`]: a signature
    /// verifies over the exact bytes, under a key that counts at `at`. A signature's hint decides nothing.
    ///
    /// # Errors
    /// [`OpenError`] with the first reason.
    pub fn open_simple_signing(
        &self,
        payload: &[u8],
        signatures: &[Signature],
        at: Timestamp,
    ) -> Result<Attestation, OpenError> {
        let signatures = signatures.iter().map(|s| (s, None)).collect();
        let keys =
            self.verified_keys(&Signed::Message { message: payload.to_vec(), payload: None, signatures });
        if keys.is_empty() {
            return Err(OpenError::UnknownSigner);
        }
        let read = SimpleSigning::parse(payload).map_err(OpenError::Statement);
        Verified {
            envelope: Digest::sha256(payload),
            root: self.digest().clone(),
            signed_with: keys.into_iter().map(|(p, key)| (signer(p), Credential::Key(key.clone()))).collect(),
            logged: Vec::new(),
            certificate: None,
            statement: read.map(|payload| Arc::new(payload.statement())),
        }
        .at(at)
    }
}
