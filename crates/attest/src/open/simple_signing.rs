//! Step one for simple signing: a detached payload and the signatures over it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Attestation, OpenError, Proven, Signed, SignedBy, key_counts};
use crate::digest::Digest;
use crate::dsse::Signature;
use crate::simple_signing::SimpleSigning;
use crate::trust::TrustRoot;

impl TrustRoot {
    /// Opens a payload of simple signing under signatures that came beside it. As [`TrustRoot::open`]: a signature
    /// verifies over the exact bytes, under a key that counts at `at`, and only then the payload is parsed. A signature's
    /// hint decides nothing.
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
        let candidates = self.verified_keys(&Signed::Message { message: payload.to_vec(), signatures });
        let mut signers: Vec<SignedBy> = Vec::new();
        let mut refused = OpenError::UnknownSigner;
        for (principal, key) in candidates {
            match key_counts(&principal.name, key, &[], at) {
                Ok(()) if signers.iter().all(|s| s.name != principal.name) => signers.push(SignedBy {
                    name: principal.name.clone(),
                    roles: principal.roles.clone(),
                    operator: principal.operator.clone(),
                }),
                Ok(()) => {}
                Err(e) => refused = e,
            }
        }
        if signers.is_empty() {
            return Err(refused);
        }
        let statement = SimpleSigning::parse(payload).map_err(OpenError::Statement)?.statement();
        let envelope = Digest::sha256(payload);
        let statement = Arc::new(statement);
        Ok(Attestation {
            proven: Arc::new(Proven { statement, signers, time: None, logged: Vec::new(), envelope }),
        })
    }
}
