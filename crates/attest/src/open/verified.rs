//! Step one in two halves. What a signature proves does not change with time and may be kept; whether its key counts
//! does, and is asked again for every case.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Attestation, LogFact, OpenError, Proven, SignedBy, credential_counts, read_statement, signed};
use crate::breakglass::Grant;
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeError};
use crate::sigstore::{Certificate, TrustedIdentity};
use crate::statement::{Predicate, Statement};
use crate::trust::{Principal, Revocation, TrustRoot, TrustedKey};

/// What holds of an envelope under one trust root at any time: which keys signed it, which logs list it, what it says.
/// It is no [`Attestation`]: whether those keys count is for [`Verified::at`] to say.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(super) envelope: Digest,
    pub(super) root: Digest,
    pub(super) signed_with: Vec<(SignedBy, Credential)>,
    pub(super) logged: Vec<LogFact>,
    pub(super) certificate: Option<Arc<Certificate>>,
    /// A revoked key is named before a malformed statement, so the error waits until the keys were asked.
    pub(super) statement: Result<Arc<Statement>, OpenError>,
}

/// What somebody signed with.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    Key(TrustedKey),
    /// A certificate of this identity, by its fingerprint.
    Certificate(TrustedIdentity, String),
}

impl Credential {
    /// What a proof of being logged calls it.
    fn id(&self) -> String {
        match self {
            Self::Key(trusted) => trusted.key.id(),
            Self::Certificate(_, fingerprint) => fingerprint.clone(),
        }
    }

    /// From when until when it counts, and from when on it does not.
    pub(super) fn window(&self) -> (Option<Timestamp>, Option<Timestamp>, Option<&Revocation>) {
        match self {
            Self::Key(key) => (key.from, key.until, key.revoked.as_ref()),
            Self::Certificate(identity, _) => (identity.from, identity.until, identity.revoked.as_ref()),
        }
    }
}

/// A principal as one that signed.
pub(super) fn signer(principal: &Principal) -> SignedBy {
    SignedBy {
        name: principal.name.clone(),
        roles: principal.roles.clone(),
        operator: principal.operator.clone(),
    }
}

impl TrustRoot {
    /// The half of [`TrustRoot::open`] that knows no time: signatures, proofs of being logged, the statement.
    ///
    /// # Errors
    /// [`OpenError`] with the first reason that holds at any time.
    pub fn verify(&self, envelope: &Envelope) -> Result<Verified, OpenError> {
        if let Some(verified) = self.verify_certified(envelope)? {
            return Ok(verified);
        }
        let (signed, logs) = signed(envelope)?;
        let candidates = self.verified_keys(&signed);
        if candidates.is_empty() {
            return Err(self.unknown_or_unusable(&signed));
        }
        let mut logged = self.check_logs(envelope, logs).map_err(OpenError::LogProof)?;
        logged.extend(self.check_sigstore_logs(envelope, &candidates)?);
        Ok(Verified {
            envelope: envelope.digest().clone(),
            root: self.digest().clone(),
            signed_with: candidates
                .into_iter()
                .map(|(p, key)| (signer(p), Credential::Key(key.clone())))
                .collect(),
            logged,
            certificate: None,
            statement: read_statement(envelope).map(Arc::new),
        })
    }
}

/// A grant that somebody of the trust root signed, whether or not their key counted then. It proves nothing, and lets
/// nothing in: it says whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedGrant {
    /// What it says.
    pub grant: Grant,
    /// Whose signatures are on it, by their names in the trust root.
    pub signers: Vec<String>,
}

impl TrustRoot {
    /// The grant in an envelope, where anybody signed it whom the trust root knows: also with a key that was revoked, or that
    /// does not count any more or yet, and with proofs of being logged that do not hold.
    #[must_use]
    pub fn signed_grant(&self, envelope: &Envelope) -> Option<SignedGrant> {
        let mut signers: Vec<String> = match self.verify(envelope) {
            Ok(verified) => verified.signed_with.iter().map(|(signer, _)| signer.name.clone()).collect(),
            Err(_) => {
                let (signed, _) = signed(envelope).ok()?;
                self.verified_keys(&signed).into_iter().map(|(principal, _)| principal.name.clone()).collect()
            }
        };
        signers.sort();
        signers.dedup();
        match read_statement(envelope).ok()?.predicate {
            Predicate::Breakglass(grant) if !signers.is_empty() => {
                Some(SignedGrant { grant: *grant, signers })
            }
            _ => None,
        }
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
        for (signer, credential) in &self.signed_with {
            // a proof about one signature says nothing of another: a stolen key must not borrow a time
            let id = credential.id();
            let own: Vec<LogFact> = self.logged.iter().filter(|fact| fact.key == id).cloned().collect();
            match credential_counts(&signer.name, credential, &own, at) {
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
        let (envelope, certificate) = (self.envelope.clone(), self.certificate.clone());
        let proven = Proven { statement, signers, time, logged: counted, certificate, envelope };
        Ok(Attestation { proven: Arc::new(proven) })
    }

    /// The keys that signed, each with the name in the trust root whose it is, whether or not it counts at some time.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &crate::key::PublicKey)> {
        self.signed_with.iter().filter_map(|(signer, credential)| match credential {
            Credential::Key(trusted) => Some((signer.name.as_str(), &trusted.key)),
            Credential::Certificate(..) => None,
        })
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
        self.open_as(root, bytes, &Digest::sha256(bytes), at)
    }

    /// As `open`, where the caller has the bytes' SHA-256.
    ///
    /// # Errors
    /// [`Unopened`] with the first reason.
    pub fn open_as(
        &self,
        root: &TrustRoot,
        bytes: &[u8],
        digest: &Digest,
        at: Timestamp,
    ) -> Result<Attestation, Unopened> {
        let verified = self.verify(root, bytes, digest)?;
        if verified.root() != root.digest() || verified.envelope() != digest {
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
