//! Signatures under certificates, and key signatures in Sigstore's logs: proven by an instance, believed for the names
//! whose identities they are.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::verified::{Credential, Verified, signer};
use super::{LogFact, LogProofError, OpenError, credential_counts, read_statement, signed};
use crate::digest::Digest;
use crate::envelope::{Envelope, Form};
use crate::sigstore::{Certificate, Certified, Foreign, Instance, Mismatch, SigstoreError, TrustedIdentity};
use crate::statement::Statement;
use crate::trust::{Principal, TrustRoot, TrustedKey};

/// Somebody with a good certificate whom the trust root does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownIdentity {
    /// Under which instance the certificate is good.
    pub instance: String,
    /// Who it is.
    pub identity: String,
    /// Who says so.
    pub issuer: String,
    /// The name whose identity comes nearest, and the first part in which this is another.
    pub nearest: Option<(String, Mismatch)>,
}

impl fmt::Display for UnknownIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, identity, issuer, nearest } = self;
        write!(
            f,
            "signed as {identity}, by the word of {issuer} under {instance}, which is nobody's in the trust root"
        )?;
        match nearest {
            // the other identity stands before it
            Some((name, Mismatch { what: "identity", wanted, .. })) => write!(f, "; {name} is {wanted}"),
            Some((name, mismatch)) => write!(f, "; for {name}: {mismatch}"),
            None => Ok(()),
        }
    }
}

impl TrustRoot {
    /// What holds of an envelope that is signed under a certificate; nothing where a key signed it.
    pub(super) fn verify_certified(&self, envelope: &Envelope) -> Result<Option<Verified>, OpenError> {
        let Form::Bundle(bundle) = envelope.form() else { return Ok(None) };
        let Some(foreign) = bundle.foreign.as_ref().filter(|_| bundle.has_certificate) else {
            return Ok(None);
        };
        // the payload's type, before anything else is read of it
        signed(envelope)?;
        let statement = read_statement(envelope)?;
        let (certificate, fact) = self.certificate_of(foreign, &subject(&statement)?)?;
        let statement = statement.under(&certificate);
        let (principal, identity) = self.whose(&certificate)?;
        let credential = Credential::Certificate(identity.clone(), fact.key.clone());
        Ok(Some(Verified {
            envelope: envelope.digest().clone(),
            root: self.digest().clone(),
            signed_with: vec![(signer(principal), credential)],
            logged: vec![fact],
            certificate: Some(Arc::new(certificate)),
            statement: Ok(Arc::new(statement)),
        }))
    }

    /// Whose certificate signed what has this digest, as a bundle's text says, and counts at the time of its log.
    pub(crate) fn who_certified(
        &self,
        bundle: &str,
        subject: &Digest,
        at: Timestamp,
    ) -> Result<String, OpenError> {
        let foreign = Foreign::parse(bundle.as_bytes());
        let foreign = foreign.map_err(|why| OpenError::Sigstore(SigstoreError::Malformed(why)))?;
        let (certificate, fact) = self.certificate_of(&foreign, subject)?;
        let (principal, identity) = self.whose(&certificate)?;
        let credential = Credential::Certificate(identity.clone(), fact.key.clone());
        credential_counts(&principal.name, &credential, &[fact], at)?;
        Ok(principal.name.clone())
    }

    /// The certificate under which something is signed, and what the instance proves of the time.
    fn certificate_of(
        &self,
        foreign: &Foreign,
        subject: &Digest,
    ) -> Result<(Certificate, LogFact), OpenError> {
        let certified = self.certify(foreign, subject)?;
        let Certified { certificate: Some(certificate), time, index } = certified else {
            return Err(OpenError::NoInstance);
        };
        let fact = LogFact {
            log: certificate.instance().to_owned(),
            index: index.unwrap_or_default(),
            key: certificate.fingerprint().to_owned(),
            witnesses: Vec::new(),
            time,
        };
        Ok((certificate, fact))
    }

    /// The one instance under which it holds; else the reason of the one under which it came farthest.
    fn certify(&self, foreign: &Foreign, subject: &Digest) -> Result<Certified, OpenError> {
        let mut farthest: Option<SigstoreError> = None;
        for instance in self.instances() {
            match instance.verify(foreign, subject) {
                Ok(certified) => return Ok(certified),
                Err(error) => farthest = farthest.max(Some(error)),
            }
        }
        Err(farthest.map_or(OpenError::NoInstance, OpenError::Sigstore))
    }

    /// The one principal whose certificate it is.
    fn whose(&self, certificate: &Certificate) -> Result<(&Principal, &TrustedIdentity), OpenError> {
        let all = || self.principals().flat_map(|p| p.identities.iter().map(move |i| (p, i)));
        let mut own = all().filter(|(_, trusted)| trusted.identity.check(certificate).is_ok());
        let Some(first) = own.next() else {
            let same = |(principal, trusted): (&Principal, &TrustedIdentity)| {
                let mismatch = trusted.identity.check(certificate).err()?;
                let is_near = !matches!(mismatch.what, "instance" | "issuer");
                is_near.then(|| (principal.name.clone(), mismatch))
            };
            return Err(OpenError::UnknownIdentity(Box::new(UnknownIdentity {
                instance: certificate.instance().to_owned(),
                identity: certificate.identity().to_owned(),
                issuer: certificate.issuer().to_owned(),
                nearest: all().filter_map(same).max_by_key(|(_, mismatch)| nearness(mismatch)),
            })));
        };
        // one secret must not speak as two, least of all in a quorum
        match own.find(|(principal, _)| principal.name != first.0.name) {
            Some((other, _)) => Err(OpenError::TwoNames(first.0.name.clone(), other.name.clone())),
            None => Ok(first),
        }
    }

    /// What Sigstore's logs and timestamp services prove of a key's signature. An entry of a log that no instance knows proves nothing
    /// and harms nothing; one of a known log must hold.
    pub(super) fn check_sigstore_logs(
        &self,
        envelope: &Envelope,
        candidates: &[(&Principal, &TrustedKey)],
    ) -> Result<Vec<LogFact>, OpenError> {
        let Form::Bundle(bundle) = envelope.form() else { return Ok(Vec::new()) };
        let Some(foreign) = &bundle.foreign else { return Ok(Vec::new()) };
        let mut facts = Vec::new();
        for instance in self.instances().filter(|instance| instance.logs_any_of(foreign)) {
            let subject = subject(&read_statement(envelope)?)?;
            for (_, trusted) in candidates {
                facts.push(logged_fact(instance, foreign, &subject, trusted)?);
            }
        }
        Ok(facts)
    }
}

fn logged_fact(
    instance: &Instance,
    foreign: &Foreign,
    subject: &Digest,
    trusted: &TrustedKey,
) -> Result<LogFact, OpenError> {
    let failed = |e| OpenError::LogProof(LogProofError::Sigstore(e));
    let certified = instance.verify_logged(foreign, subject, trusted.key.spki()).map_err(failed)?;
    Ok(LogFact {
        log: instance.name().to_owned(),
        index: certified.index.unwrap_or_default(),
        key: trusted.key.id(),
        witnesses: Vec::new(),
        time: certified.time,
    })
}

/// How much of an identity is the wanted one: all of it, or as many characters as it begins with.
fn nearness(mismatch: &Mismatch) -> (bool, usize) {
    let found = mismatch.found.as_deref().unwrap_or_default();
    let alike = mismatch.wanted.chars().zip(found.chars()).take_while(|(wanted, found)| wanted == found);
    (mismatch.what != "identity", alike.count())
}

/// A digest of the statement's own subject: step two, whether that is the artifact, comes later and for all of them.
fn subject(statement: &Statement) -> Result<Digest, OpenError> {
    let none =
        || SigstoreError::Unsupported("a statement without a subject named by sha256 or sha512".to_owned());
    statement.subjects.iter().find_map(|s| s.digests.first()).ok_or_else(|| OpenError::Sigstore(none()))
}
