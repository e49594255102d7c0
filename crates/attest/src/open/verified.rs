//! Step one in two halves. What a signature proves does not change with time and may be kept; whether its key counts
//! does, and is asked again for every case.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Attestation, LogFact, OpenError, Proven, SignedBy, key_counts, read_statement, signed};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeError};
use crate::statement::Statement;
use crate::trust::{TrustRoot, TrustedKey};

/// What holds of an envelope under one trust root at any time: which keys signed it, which logs list it, what it says.
/// It is no [`Attestation`]: whether those keys count is for [`Verified::at`] to say.
#[derive(Clone, Debug)]
pub struct Verified {
    envelope: Digest,
    root: Digest,
    keys: Vec<(SignedBy, TrustedKey)>,
    logged: Vec<LogFact>,
    /// A revoked key is named before a malformed statement, so the error waits until the keys were asked.
    statement: Result<Arc<Statement>, OpenError>,
}

impl TrustRoot {
    /// The half of [`TrustRoot::open`] that knows no time: signatures, proofs of being logged, the statement.
    ///
    /// # Errors
    /// [`OpenError`] with the first reason that holds at any time.
    pub fn verify(&self, envelope: &Envelope) -> Result<Verified, OpenError> {
        let (signed, logs) = signed(envelope)?;
        let candidates = self.verified_keys(&signed);
        if candidates.is_empty() {
            return Err(self.unknown_or_unusable(&signed));
        }
        let logged = self.check_logs(envelope, logs).map_err(OpenError::LogProof)?;
        let signer = |name: &str, principal: &crate::trust::Principal| SignedBy {
            name: name.to_owned(),
            roles: principal.roles.clone(),
            operator: principal.operator.clone(),
        };
        Ok(Verified {
            envelope: envelope.digest().clone(),
            root: self.digest().clone(),
            keys: candidates.into_iter().map(|(p, key)| (signer(&p.name, p), key.clone())).collect(),
            logged,
            statement: read_statement(envelope).map(Arc::new),
        })
    }
}

impl Verified {
    /// The half that knows the time: some key that signed counted at the signature's trusted time, or at `at` without
    /// one, and was not revoked.
    ///
    /// # Errors
    /// [`OpenError`] with the last key's reason, or what is wrong with the statement.
    pub fn at(&self, at: Timestamp) -> Result<Attestation, OpenError> {
        let mut signers: Vec<SignedBy> = Vec::new();
        let (mut refused, mut counted) = (None, Vec::new());
        for (signer, key) in &self.keys {
            // a proof about one signature says nothing of another: a stolen key must not borrow a time
            let id = key.key.id();
            let own: Vec<LogFact> = self.logged.iter().filter(|fact| fact.key == id).cloned().collect();
            match key_counts(&signer.name, key, &own, at) {
                Ok(()) => {
                    counted.extend(own);
                    if signers.iter().all(|s| s.name != signer.name) {
                        signers.push(signer.clone());
                    }
                }
                Err(e) => refused = Some(e),
            }
        }
        if signers.is_empty() {
            return Err(refused.unwrap_or(OpenError::UnknownSigner));
        }
        let statement = self.statement.clone()?;
        let time = counted.iter().filter_map(|fact| fact.time).min();
        let envelope = self.envelope.clone();
        Ok(Attestation { proven: Arc::new(Proven { statement, signers, time, logged: counted, envelope }) })
    }

    /// The keys that signed, each with the name in the trust root whose it is, whether or not it counts at some time.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &crate::key::PublicKey)> {
        self.keys.iter().map(|(signer, trusted)| (signer.name.as_str(), &trusted.key))
    }

    /// SHA-256 of the envelope as submitted.
    #[must_use]
    pub fn envelope(&self) -> &Digest {
        &self.envelope
    }

    /// The trust root under which it holds; under another one it proves nothing.
    #[must_use]
    pub fn root(&self) -> &Digest {
        &self.root
    }

    /// Whether the statement could be read: what could not is a failure, and worth no keeping.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.statement.is_ok()
    }
}

/// Why submitted bytes are no attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// They are no envelope.
    Unreadable(EnvelopeError),
    /// The envelope does not open.
    Refused(OpenError),
}

impl std::fmt::Display for Unopened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(e) => e.fmt(f),
            Self::Refused(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for Unopened {}

/// Something that takes the half of step one that knows no time: always with the same result as [`Directly`], however it
/// comes by it.
pub trait Opener {
    /// Verifies bytes under a trust root. `digest` is the bytes' SHA-256, so that nobody computes it twice.
    ///
    /// # Errors
    /// [`Unopened`] as [`Envelope::parse`] and [`TrustRoot::verify`] say.
    fn verify(&self, root: &TrustRoot, bytes: &[u8], digest: &Digest) -> Result<Arc<Verified>, Unopened>;
}

impl dyn Opener + '_ {
    /// Opens bytes under a trust root at a time: as [`TrustRoot::open`] does, whoever verifies. The half that knows the time
    /// is never left out, and what was verified of other bytes or under another trust root is never taken.
    ///
    /// # Errors
    /// [`Unopened`] with the first reason.
    pub fn open(&self, root: &TrustRoot, bytes: &[u8], at: Timestamp) -> Result<Attestation, Unopened> {
        let digest = Digest::sha256(bytes);
        let verified = self.verify(root, bytes, &digest)?;
        if verified.root() != root.digest() || *verified.envelope() != digest {
            return Err(Unopened::Refused(OpenError::UnknownSigner));
        }
        verified.at(at).map_err(Unopened::Refused)
    }
}

/// Opens every envelope anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Directly;

impl Opener for Directly {
    fn verify(&self, root: &TrustRoot, bytes: &[u8], _: &Digest) -> Result<Arc<Verified>, Unopened> {
        let envelope = Envelope::parse(bytes).map_err(Unopened::Unreadable)?;
        root.verify(&envelope).map(Arc::new).map_err(Unopened::Refused)
    }
}
