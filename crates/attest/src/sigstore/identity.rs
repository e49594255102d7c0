//! Whose identities count: what the trust root says of the certificates that a name signs under.

use std::fmt;

use jiff::Timestamp;

use super::certificate::Certificate;
use super::pattern::Pattern;
use crate::trust::Revocation;

/// The certificates that are one name's. Every part that is given must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// The Sigstore instance that issued the certificate, by its name in the trust root.
    pub instance: String,
    /// The OIDC issuer, exactly.
    pub issuer: String,
    /// The subject alternative name: exactly, or an anchored pattern.
    pub subject: Subject,
    /// The repository whose build signs, exactly.
    pub source_repository: Option<String>,
    /// The ref that is built.
    pub source_ref: Option<Pattern>,
    /// The top-level workflow's URI.
    pub workflow: Option<Pattern>,
    /// On whose machine it runs, exactly.
    pub runner: Option<String>,
    /// What may start the build; empty means anything.
    pub triggers: Vec<String>,
}

/// The subject alternative name that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Exactly this.
    Exactly(String),
    /// Whatever the anchored pattern stands for.
    Matching(Pattern),
}

/// A certificate identity, and when it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIdentity {
    /// The certificates.
    pub identity: CertificateIdentity,
    /// First moment at which it counts.
    pub from: Option<Timestamp>,
    /// Last moment at which it counts.
    pub until: Option<Timestamp>,
    /// From when on nothing signed under it counts.
    pub revoked: Option<Revocation>,
}

/// The first part in which a certificate is another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Which part: `issuer`, `identity`, …
    pub what: &'static str,
    /// What the trust root says.
    pub wanted: String,
    /// What the certificate says; nothing where it is silent.
    pub found: Option<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.found.as_deref().unwrap_or("nothing of it");
        write!(f, "wanted {} {}, and the certificate says {found}", self.what, self.wanted)
    }
}

impl CertificateIdentity {
    /// Whether the certificate is this name's.
    ///
    /// # Errors
    /// [`Mismatch`] with the first part that does not hold; a certificate that does not say a part does not have it.
    pub fn check(&self, certificate: &Certificate) -> Result<(), Mismatch> {
        let exactly = |what, wanted: &str, found: Option<&str>| {
            if found == Some(wanted) {
                return Ok(());
            }
            Err(Mismatch { what, wanted: wanted.to_owned(), found: found.map(str::to_owned) })
        };
        let matching = |what, wanted: &Pattern, found: Option<&str>| {
            if found.is_some_and(|found| wanted.matches(found)) {
                return Ok(());
            }
            Err(Mismatch { what, wanted: wanted.as_str().to_owned(), found: found.map(str::to_owned) })
        };
        exactly("instance", &self.instance, Some(certificate.instance()))?;
        exactly("issuer", &self.issuer, Some(certificate.issuer()))?;
        match &self.subject {
            Subject::Exactly(wanted) => exactly("identity", wanted, Some(certificate.identity()))?,
            Subject::Matching(pattern) => matching("identity", pattern, Some(certificate.identity()))?,
        }
        if let Some(wanted) = &self.source_repository {
            exactly("source-repository", wanted, certificate.source_repository())?;
        }
        if let Some(wanted) = &self.source_ref {
            matching("source-ref", wanted, certificate.source_ref())?;
        }
        if let Some(wanted) = &self.workflow {
            matching("workflow", wanted, certificate.workflow())?;
        }
        if let Some(wanted) = &self.runner {
            exactly("runner", wanted, certificate.runner())?;
        }
        let is_allowed = |found: &str| self.triggers.iter().any(|t| t == found);
        if !self.triggers.is_empty() && !certificate.trigger().is_some_and(is_allowed) {
            let found = certificate.trigger().map(str::to_owned);
            return Err(Mismatch { what: "trigger", wanted: self.triggers.join(" or "), found });
        }
        Ok(())
    }
}
