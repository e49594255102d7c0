//! Steps one and two of the chapter: is the evidence authentic, and is it about this artifact?
//!
//! [`Attestation`] and [`Evidence`] have private constructors: whoever holds one knows that the step was taken.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::artifact::Artifact;
use crate::buildinfo::Buildinfo;
use crate::bundle::{Content, LogEntry};
use crate::digest::{Agreement, Digest};
use crate::dsse::{self, Dsse, Signature};
use crate::envelope::{Envelope, Form};
use crate::key::Scheme;
use crate::openpgp::ClearSigned;
use crate::provenance::Source;
use crate::sigstore::{Certificate, SigstoreError};
use crate::statement::{Predicate, Statement, StatementError};
use crate::trust::{Principal, Revocation, Role, Signs, TrustRoot, TrustedKey};

mod certified;
mod disowned;
mod logged;
mod simple_signing;
mod verified;

pub use certified::UnknownIdentity;
pub use disowned::Disowned;
pub use logged::{LogFact, LogProofError, leaf_body};
use verified::Credential;
pub use verified::{Directly, Opener, SignedGrant, Unopened, Verified};

/// A statement proven authentic under a trust root, and by whom.
#[derive(Clone, Debug)]
pub struct Attestation {
    proven: Arc<Proven>,
}

/// Shared, because one attestation may become evidence for several artifacts, and statements are large.
#[derive(Debug)]
struct Proven {
    statement: Arc<Statement>,
    signers: Vec<SignedBy>,
    time: Option<Timestamp>,
    logged: Vec<LogFact>,
    certificate: Option<Arc<Certificate>>,
    envelope: Digest,
}

/// One principal that signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// Its name in the trust root.
    pub name: String,
    /// What it may say.
    pub roles: BTreeSet<Role>,
    /// Who runs it, for rebuilders.
    pub operator: Option<String>,
}

/// An attestation proven to be about one artifact.
#[derive(Clone, Debug)]
pub struct Evidence {
    attestation: Attestation,
}

/// Why an envelope does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is signed under a certificate, and the trust root knows no Sigstore instance.
    NoInstance,
    /// It does not hold under any Sigstore instance of the trust root.
    Sigstore(SigstoreError),
    /// It is signed under a good certificate of somebody whom the trust root does not know.
    UnknownIdentity(Box<UnknownIdentity>),
    /// One certificate is two names' in the trust root: none of them is believed.
    TwoNames(String, String),
    /// No signature verifies under any key of the trust root.
    UnknownSigner,
    /// The key signed outside its validity window.
    OutsideWindow {
        /// Whose key.
        name: String,
        /// The time that counts for the signature.
        time: Timestamp,
        /// The window's first moment.
        from: Option<Timestamp>,
        /// The window's last moment.
        until: Option<Timestamp>,
    },
    /// The key is revoked, and nothing proves that the signature is older.
    Revoked {
        /// Whose key.
        name: String,
        /// From when on.
        from: Timestamp,
        /// Why.
        reason: String,
        /// The trusted time of the signature, if it has one.
        time: Option<Timestamp>,
    },
    /// The payload is of another type.
    PayloadType(String),
    /// The payload is no statement.
    Statement(StatementError),
    /// A proof for a log that the trust root knows does not hold.
    LogProof(LogProofError),
    /// A JWT of another type.
    TokenType,
    /// The signature is over the file itself in a way that needs its bytes.
    NeedsBytes(Scheme),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInstance => {
                f.write_str("signed under a certificate, and the trust root lists no Sigstore instance")
            }
            Self::Sigstore(e) => e.fmt(f),
            Self::UnknownIdentity(unknown) => unknown.fmt(f),
            Self::TwoNames(a, b) => write!(f, "its certificate is both {a}'s and {b}'s in the trust root"),
            Self::UnknownSigner => f.write_str("no signature on it verifies under a key of the trust root"),
            Self::OutsideWindow { name, time, from, until } => {
                let from = from.map_or("always".to_owned(), |t| t.to_string());
                let until = until.map_or("further notice".to_owned(), |t| t.to_string());
                write!(f, "signed by {name} at {time}; the key counts from {from} until {until}")
            }
            Self::Revoked { name, from, reason, time } => {
                let when = time
                    .map_or("nothing proves that it signed before".to_owned(), |t| format!("signed at {t}"));
                write!(f, "signed by {name} with a key revoked from {from} ({reason}); {when}")
            }
            Self::PayloadType(found) => write!(f, "the payload is of type {found}, wanted {}", dsse::IN_TOTO),
            Self::Statement(e) => write!(f, "its statement is malformed: {e}"),
            Self::LogProof(e) => write!(f, "its proof of being logged does not hold: {e}"),
            Self::TokenType => write!(f, "a JWT of another type, wanted typ {}", crate::jwt::TYPE),
            Self::NeedsBytes(scheme) => {
                write!(f, "a {} signature over a file, which needs an attestation instead", scheme.name())
            }
        }
    }
}
impl std::error::Error for OpenError {}

/// What was signed, independent of the form it came in.
enum Signed<'a> {
    Message { message: Vec<u8>, payload: Option<&'a [u8]>, signatures: Vec<(&'a Signature, Option<&'a str>)> },
    Token(&'a crate::jwt::Jws),
    Text(&'a ClearSigned),
    Digest { digest: &'a Digest, signature: &'a [u8], hint: Option<&'a str> },
}

impl TrustRoot {
    /// Opens an envelope: step one.
    ///
    /// 1. Some signature verifies under a key of the trust root, over the exact bytes (forgery).
    /// 2. Proofs of being logged are about this signature and hold (CVE-2022-36056: an entry for something else).
    /// 3. The key counted at the signature's trusted time, or at `at` without one, and was not revoked (theft).
    /// 4. Only then the payload is parsed, strictly (parser differentials).
    ///
    /// # Errors
    /// [`OpenError`] with the first reason; a revoked or expired key is named before an unknown one.
    pub fn open(&self, envelope: &Envelope, at: Timestamp) -> Result<Attestation, OpenError> {
        self.verify(envelope)?.at(at)
    }

    /// The trusted keys that really signed. A hinted key is tried first, then all others.
    fn verified_keys(&self, signed: &Signed<'_>) -> Vec<(&Principal, &TrustedKey)> {
        let mut found: Vec<(&Principal, &TrustedKey)> = Vec::new();
        match signed {
            Signed::Message { message, payload, signatures } => {
                for (signature, hint) in signatures {
                    let hint = signature.hint.as_deref().or(*hint);
                    found.extend(self.first_key(hint, |trusted| {
                        let is_named = |wanted: &String| signature.hint.as_ref() == Some(wanted);
                        let signed = match trusted.signs {
                            Signs::Envelope => Some(message.as_slice()),
                            Signs::Payload => *payload,
                        };
                        let verifies = |signed| trusted.key.verify(signed, &signature.bytes).is_ok();
                        trusted.key_id.as_ref().is_none_or(is_named) && signed.is_some_and(verifies)
                    }));
                }
            }
            Signed::Token(jws) => {
                found.extend(self.first_key(None, |k| k.is_plain() && jws.verify(&k.key).is_some()))
            }
            Signed::Text(text) => {
                found.extend(self.first_key(None, |k| k.is_plain() && text.verify(&k.key).is_ok()));
            }
            Signed::Digest { digest, signature, hint } => {
                let verifies =
                    |k: &TrustedKey| k.is_plain() && k.key.verify_digest(digest, signature).is_ok();
                found.extend(self.first_key(*hint, verifies));
            }
        }
        found
    }

    pub(crate) fn first_key(
        &self,
        hint: Option<&str>,
        verifies: impl Fn(&TrustedKey) -> bool,
    ) -> Option<(&Principal, &TrustedKey)> {
        let all = || self.principals().flat_map(|p| p.keys.iter().map(move |k| (p, k)));
        let hinted = |key: &TrustedKey| hint.is_some_and(|h| key.key.is_hinted_by(h));
        let first = all().find(|(_, k)| hinted(k) && verifies(k));
        first.or_else(|| all().find(|(_, k)| !hinted(k) && verifies(k)))
    }

    /// A bare Ed25519 signature over a file cannot be checked from a digest; that is not an unknown signer.
    fn unknown_or_unusable(&self, signed: &Signed<'_>) -> OpenError {
        let Signed::Digest { hint, .. } = signed else { return OpenError::UnknownSigner };
        let hashing = |k: &&TrustedKey| {
            matches!(k.key.scheme(), Scheme::Ed25519 | Scheme::MlDsa65)
                && hint.is_some_and(|h| k.key.is_hinted_by(h))
        };
        let key = self.principals().flat_map(|p| &p.keys).find(hashing);
        key.map_or(OpenError::UnknownSigner, |k| OpenError::NeedsBytes(k.key.scheme()))
    }
}

fn signed(envelope: &Envelope) -> Result<(Signed<'_>, &[LogEntry]), OpenError> {
    let message = |dsse: &'_ Dsse| {
        if dsse.payload_type == dsse::IN_TOTO {
            Ok(dsse.pae())
        } else {
            Err(OpenError::PayloadType(dsse.payload_type.clone()))
        }
    };
    Ok(match envelope.form() {
        Form::Dsse(dsse) => {
            let signatures = dsse.signatures.iter().map(|s| (s, None)).collect();
            (Signed::Message { message: message(dsse)?, payload: Some(&dsse.payload), signatures }, &[])
        }
        Form::Jwt(jws) => (Signed::Token(jws), &[]),
        Form::Buildinfo(text) => (Signed::Text(text), &[]),
        Form::Bundle(bundle) => {
            let hint = bundle.hint.as_deref();
            let signed = match &bundle.content {
                Content::Dsse(dsse) => {
                    let signatures = dsse.signatures.iter().map(|s| (s, hint)).collect();
                    Signed::Message { message: message(dsse)?, payload: Some(&dsse.payload), signatures }
                }
                Content::Message { digest, signature } => Signed::Digest { digest, signature, hint },
            };
            (signed, &bundle.log_entries)
        }
    })
}

fn read_statement(envelope: &Envelope) -> Result<Statement, OpenError> {
    let parsed = match envelope.form() {
        Form::Dsse(dsse) => Statement::parse(&dsse.payload),
        Form::Bundle(bundle) => match &bundle.content {
            Content::Dsse(dsse) => Statement::parse(&dsse.payload),
            Content::Message { digest, .. } => Ok(Statement::of_signature(digest.clone())),
        },
        Form::Jwt(jws) if jws.kind() != Some(crate::jwt::TYPE) => return Err(OpenError::TokenType),
        Form::Jwt(jws) => crate::jwt::read_statement(jws.unproven_payload()),
        Form::Buildinfo(text) => Buildinfo::statement_of(text.text()),
    };
    parsed.map_err(OpenError::Statement)
}

/// Whether a key counts for something that it signed and that no log lists.
pub(crate) fn key_counts(name: &str, key: &TrustedKey, at: Timestamp) -> Result<(), OpenError> {
    credential_counts(name, &Credential::Key(key.clone()), &[], at)
}

fn credential_counts(
    name: &str,
    key: &Credential,
    logged: &[LogFact],
    at: Timestamp,
) -> Result<(), OpenError> {
    let (from, until, revoked) = key.window();
    let time = logged.iter().filter_map(|fact| fact.time).min();
    let counted = time.unwrap_or(at);
    if from.is_some_and(|from| counted < from) || until.is_some_and(|until| counted > until) {
        let name = name.to_owned();
        return Err(OpenError::OutsideWindow { name, time: counted, from, until });
    }
    match revoked {
        Some(revocation) if !was_before(revocation, time, logged) => Err(OpenError::Revoked {
            name: name.to_owned(),
            from: revocation.from,
            reason: revocation.reason.clone(),
            time,
        }),
        _ => Ok(()),
    }
}

/// Whether something other than the signer proves that the signature is older than the revocation.
fn was_before(revocation: &Revocation, time: Option<Timestamp>, logged: &[LogFact]) -> bool {
    let by_position = revocation
        .position
        .as_ref()
        .is_some_and(|(log, size)| logged.iter().any(|fact| fact.log == *log && fact.index < *size));
    by_position || time.is_some_and(|time| time < revocation.from)
}

/// Why evidence is not about an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAbout {
    /// The artifact in question.
    pub wanted: Option<Digest>,
    /// What the attestation is about.
    pub found: Option<Digest>,
    /// How many subjects it has.
    pub subjects: usize,
}

impl Attestation {
    /// Step two: proves that the attestation is about `artifact`. Names decide nothing; all digests that both
    /// sides have must agree.
    ///
    /// # Errors
    /// [`NotAbout`] with what it is about instead.
    pub fn about(&self, artifact: &Artifact) -> Result<Evidence, NotAbout> {
        let subjects = &self.proven.statement.subjects;
        if subjects.iter().any(|s| s.digests.agrees(artifact.digests()) == Agreement::Same) {
            return Ok(Evidence { attestation: self.clone() });
        }
        // people compare the two: in the same algorithm, where the artifact has it
        let found = subjects.first().and_then(|s| s.digests.first());
        let alike = found.as_ref().and_then(|found| artifact.digests().get(found.algorithm()));
        Err(NotAbout { wanted: alike.or_else(|| artifact.digest()), found, subjects: subjects.len() })
    }

    /// The statement.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.proven.statement
    }

    /// Who signed, each principal once.
    #[must_use]
    pub fn signers(&self) -> &[SignedBy] {
        &self.proven.signers
    }

    /// The earliest moment at which somebody else saw the signature.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        self.proven.time
    }

    /// Where it is logged.
    #[must_use]
    pub fn logged(&self) -> &[LogFact] {
        &self.proven.logged
    }

    /// The certificate under which it was signed; nothing where a key signed.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.proven.certificate.as_deref()
    }

    /// SHA-256 of the envelope as submitted.
    #[must_use]
    pub fn envelope(&self) -> &Digest {
        &self.proven.envelope
    }
}

impl Evidence {
    /// The attestation.
    #[must_use]
    pub fn attestation(&self) -> &Attestation {
        &self.attestation
    }

    /// What is said.
    #[must_use]
    pub fn predicate(&self) -> &Predicate {
        &self.attestation.proven.statement.predicate
    }

    /// Whether this principal signed.
    #[must_use]
    pub fn is_signed_by(&self, name: &str) -> bool {
        self.attestation.proven.signers.iter().any(|s| s.name == name)
    }

    /// The signers that hold a role.
    pub fn signers_with(&self, role: Role) -> impl Iterator<Item = &SignedBy> {
        self.attestation.proven.signers.iter().filter(move |s| s.roles.contains(&role))
    }

    /// The signers' names, for a message.
    #[must_use]
    pub fn signer_names(&self) -> String {
        let names: Vec<&str> = self.attestation.proven.signers.iter().map(|s| s.name.as_str()).collect();
        names.join(", ")
    }

    /// The source as an artifact, so that what is said of a commit can be matched with the build of that commit.
    #[must_use]
    pub fn source_artifact(&self) -> Option<Artifact> {
        let Predicate::Provenance(provenance) = self.predicate() else { return None };
        let source: &Source = provenance.source.as_ref()?;
        (!source.digests.is_empty()).then(|| Artifact::new(&source.repository, source.digests.clone()))
    }
}
