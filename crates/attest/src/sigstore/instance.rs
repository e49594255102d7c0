//! One Sigstore instance: its authorities, logs and timestamp services, and verification under them.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use sigstore_verify::trust_root::{
    SIGSTORE_GITHUB_TRUSTED_ROOT, SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT,
    TrustedRoot,
};
use sigstore_verify::types::{self, Artifact, ArtifactDigest, DerPublicKey, HashAlgorithm};
use sigstore_verify::{CertificateError, Error, PublicKeyVerificationPolicy, VerificationPolicy, Verifier};

use super::certificate::Certificate;
use super::promise::Promise;
use crate::digest::{Algorithm, Digest, to_hex};
use crate::json;

/// The instances whose trusted roots come with Portcullis, by name.
pub const EMBEDDED: [&str; 3] = ["public-good", "staging", "github"];
/// A trusted root has some kilobytes.
const MAX_BYTES: usize = 1 << 20;

/// A Sigstore instance: whoever it certifies is who it says, at the times that its logs or timestamp services saw.
#[derive(Clone)]
pub struct Instance {
    name: String,
    text: Arc<str>,
    digest: Digest,
    read: Arc<OnceLock<Result<Read, InstanceError>>>,
}

/// What its trusted root says. To read one takes longer than to check a signature, so those that come with Portcullis
/// are read where something first asks them; all others at once.
struct Read {
    verifier: Arc<Verifier>,
    has_log: bool,
    has_certificate_log: bool,
    logs: Vec<Vec<u8>>,
}

/// Two instances are the same where their texts are: the verifier is made from the text.
impl PartialEq for Instance {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.digest) == (&other.name, &other.digest)
    }
}
impl Eq for Instance {}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Why a text is no trusted root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceError(String);

impl fmt::Display for InstanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no Sigstore trusted root: {}", self.0)
    }
}
impl std::error::Error for InstanceError {}

/// Why a signature under a certificate, or a log entry, does not hold under an instance. Ordered by how far it came: of
/// several instances' reasons the last one says most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SigstoreError {
    /// The certificate is another instance's.
    Authority(String),
    /// The log is another instance's.
    UnknownLog(String),
    /// It uses something that is not read.
    Unsupported(String),
    /// It is malformed, or its parts contradict one another.
    Malformed(String),
    /// The certificate does not count: expired when it signed, or not in a certificate log.
    Certificate(String),
    /// No trusted time, or one outside of what it must be in.
    Time(String),
    /// The log entry or its proof does not hold, or is about something else.
    Log(String),
    /// The signature itself does not verify.
    Signature(String),
}

impl fmt::Display for SigstoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why) = match self {
            Self::Authority(why) => {
                ("its certificate was issued by no authority that the trust root knows", why)
            }
            Self::UnknownLog(why) => ("its log entry is of no log that the trust root knows", why),
            Self::Unsupported(why) => ("it uses something that is not supported", why),
            Self::Malformed(why) => ("it is malformed", why),
            Self::Certificate(why) => ("its certificate does not count", why),
            Self::Time(why) => ("nothing trusted says when it was signed", why),
            Self::Log(why) => ("its log entry does not hold", why),
            Self::Signature(why) => ("its signature does not verify", why),
        };
        write!(f, "{what}: {why}")
    }
}
impl std::error::Error for SigstoreError {}

/// A bundle as `sigstore-verify` reads it, from the very bytes that were submitted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Foreign(Reading);
impl Eq for Foreign {}

#[derive(Clone, Debug, PartialEq)]
enum Reading {
    Bundle(Box<types::Bundle>),
    /// With a log entry of a kind that the library does not read.
    Promise(Box<Promise>),
}

/// What verifying under an instance proved.
pub(crate) struct Certified {
    /// Who signed; nothing for a key's signature.
    pub(crate) certificate: Option<Certificate>,
    /// The earliest time at which somebody else saw the signature, if anybody did.
    pub(crate) time: Option<Timestamp>,
    /// The log entry's place, where there is one.
    pub(crate) index: Option<u64>,
}

impl Foreign {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        match types::Bundle::from_json(text) {
            Ok(bundle) => Ok(Self(Reading::Bundle(Box::new(bundle)))),
            Err(why) => match Promise::read(bytes).map_err(|e| e.to_string())? {
                Some(promise) => Ok(Self(Reading::Promise(Box::new(promise)))),
                None => Err(why.to_string()),
            },
        }
    }

    fn logs(&self) -> Vec<&[u8]> {
        match &self.0 {
            Reading::Promise(promise) => vec![promise.log()],
            Reading::Bundle(bundle) => {
                let entries = bundle.verification_material.tlog_entries.iter();
                entries.map(|entry| entry.log_id.key_id.as_bytes()).collect()
            }
        }
    }

    fn index(&self) -> Option<u64> {
        match &self.0 {
            Reading::Promise(promise) => promise.index(),
            Reading::Bundle(bundle) => {
                let entry = bundle.verification_material.tlog_entries.first()?;
                entry.log_index.to_string().parse().ok()
            }
        }
    }
}

impl Instance {
    /// Reads a trusted root (`application/vnd.dev.sigstore.trustedroot+json`).
    ///
    /// # Errors
    /// [`InstanceError`] for text that is no strict JSON, or no trusted root with usable keys and windows.
    pub fn parse(name: &str, text: &str) -> Result<Self, InstanceError> {
        let instance = Self::unread(name, text);
        instance.read()?;
        Ok(instance)
    }

    fn unread(name: &str, text: &str) -> Self {
        let digest = Digest::sha256(text.as_bytes());
        Self { name: name.to_owned(), text: text.into(), digest, read: Arc::default() }
    }

    fn read(&self) -> Result<&Read, InstanceError> {
        self.read.get_or_init(|| Read::of(&self.text)).as_ref().map_err(Clone::clone)
    }

    /// One of [`EMBEDDED`].
    ///
    /// # Errors
    /// [`InstanceError`] for another name.
    pub fn embedded(name: &str) -> Result<Self, InstanceError> {
        let text = match name {
            "public-good" => SIGSTORE_PRODUCTION_TRUSTED_ROOT,
            "staging" => SIGSTORE_STAGING_TRUSTED_ROOT,
            "github" => SIGSTORE_GITHUB_TRUSTED_ROOT,
            _ => return Err(InstanceError(format!("none called `{name}` comes with Portcullis"))),
        };
        Ok(Self::unread(name, text))
    }

    /// Its name in the trust root.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its trusted root, as it was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of its trusted root's text.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Verifies a certificate's signature over something with this digest. An instance that has a log demands an entry in it; one that
    /// has none (GitHub's for private repositories) demands a timestamp.
    pub(crate) fn verify(&self, bundle: &Foreign, subject: &Digest) -> Result<Certified, SigstoreError> {
        let own = self.read().map_err(unreadable)?;
        let mut policy = VerificationPolicy::any_identity();
        if !own.has_log {
            policy = policy.skip_tlog_unsafe();
        }
        if !own.has_certificate_log {
            policy = policy.skip_sct();
        }
        let (verifier, read) = self.prepare(bundle)?;
        let result = verifier.verify(artifact(subject)?, &read, &policy).map_err(reason)?;
        if !result.certificate_verified() || (own.has_log && !result.tlog_verified()) {
            return Err(SigstoreError::Certificate("it was not verified".to_owned()));
        }
        let time = result.verified_timestamps().iter().min().copied();
        let time =
            time.ok_or_else(|| SigstoreError::Time("no log and no timestamp service saw it".to_owned()))?;
        let fingerprint = read.signing_certificate().map(|der| Digest::sha256(der.as_bytes()));
        let fingerprint = fingerprint.map(|digest| to_hex(digest.bytes())).unwrap_or_default();
        let certificate =
            result.certificate().and_then(|info| Certificate::read(&self.name, fingerprint, info));
        let nobody = || SigstoreError::Certificate("it names no identity, or no issuer".to_owned());
        let index = bundle.index().filter(|_| own.has_log);
        Ok(Certified { certificate: Some(certificate.ok_or_else(nobody)?), time: Some(time), index })
    }

    /// The verifier for a bundle, and the bundle in a form that it reads.
    fn prepare<'a>(
        &self,
        bundle: &'a Foreign,
    ) -> Result<(Arc<Verifier>, Cow<'a, types::Bundle>), SigstoreError> {
        let promise = match &bundle.0 {
            Reading::Bundle(bundle) => {
                let own = self.read().map_err(unreadable)?;
                return Ok((Arc::clone(&own.verifier), Cow::Borrowed(bundle)));
            }
            Reading::Promise(promise) => promise,
        };
        let restated = promise.restate(&self.text)?;
        let malformed = |e: String| SigstoreError::Malformed(e);
        let root = TrustedRoot::from_json(&restated.root).map_err(|e| malformed(e.to_string()))?;
        let verifier = Verifier::new(&root).map_err(|e| malformed(e.to_string()))?;
        let bundle = types::Bundle::from_json(&restated.bundle).map_err(|e| malformed(e.to_string()))?;
        Ok((Arc::new(verifier), Cow::Owned(bundle)))
    }

    /// Whether one of the bundle's log entries is of this instance's logs.
    pub(crate) fn logs_any_of(&self, bundle: &Foreign) -> bool {
        // one that cannot be read would know none; asked, it says why, and nothing is let through
        let Ok(own) = self.read() else { return true };
        bundle.logs().iter().any(|id| own.logs.iter().any(|log| log == id))
    }

    /// Verifies the log entries and timestamps beside a key's signature.
    pub(crate) fn verify_logged(
        &self,
        bundle: &Foreign,
        subject: &Digest,
        key: &[u8],
    ) -> Result<Certified, SigstoreError> {
        let policy = PublicKeyVerificationPolicy::new(DerPublicKey::from(key.to_vec()));
        let (verifier, read) = self.prepare(bundle)?;
        let result = verifier.verify(artifact(subject)?, &read, &policy).map_err(reason)?;
        if !result.tlog_verified() {
            return Err(SigstoreError::Log("it was not verified".to_owned()));
        }
        let time = result.verified_timestamps().iter().min().copied();
        Ok(Certified { certificate: None, time, index: bundle.index() })
    }
}

impl Read {
    fn of(text: &str) -> Result<Self, InstanceError> {
        let limits = json::Limits { bytes: MAX_BYTES, ..json::Limits::default() };
        json::parse_with(text.as_bytes(), limits).map_err(|e| InstanceError(e.to_string()))?;
        let root = TrustedRoot::from_json(text).map_err(|e| InstanceError(e.to_string()))?;
        let verifier = Verifier::new(&root).map_err(|e| InstanceError(e.to_string()))?;
        if root.certificate_authorities.is_empty() && root.tlogs.is_empty() {
            return Err(InstanceError("it names no certificate authority and no log".to_owned()));
        }
        Ok(Self {
            verifier: Arc::new(verifier),
            has_log: !root.tlogs.is_empty(),
            has_certificate_log: !root.ctlogs.is_empty(),
            logs: root.tlogs.iter().map(|log| log.log_id.key_id.as_bytes().to_vec()).collect(),
        })
    }
}

fn unreadable(e: InstanceError) -> SigstoreError {
    SigstoreError::Malformed(e.to_string())
}

fn artifact(subject: &Digest) -> Result<Artifact<'static>, SigstoreError> {
    let other = || {
        SigstoreError::Unsupported(format!(
            "a subject named by {} alone; a key may sign for it",
            subject.algorithm().name()
        ))
    };
    let algorithm = match subject.algorithm() {
        Algorithm::Sha256 => HashAlgorithm::Sha2256,
        Algorithm::Sha384 => HashAlgorithm::Sha2384,
        Algorithm::Sha512 => HashAlgorithm::Sha2512,
        _ => return Err(other()),
    };
    let digest = ArtifactDigest::new(algorithm, subject.bytes().to_vec()).or(Err(other()))?;
    Ok(Artifact::from_digest(digest))
}

/// Below the library another one verifies chains, whose reasons are names of its code.
fn in_words(why: &str) -> String {
    let Some(name) = why.strip_prefix("certificate chain validation failed: ") else { return why.to_owned() };
    let name = name.split([' ', '(']).next().unwrap_or(name);
    match name {
        "CertNotValidYet" => "it did not count yet when it signed".to_owned(),
        "CertExpired" => "it had ended when it signed".to_owned(),
        "UnknownIssuer" => "its issuer is unknown".to_owned(),
        other => {
            let words = other.chars().flat_map(|c| {
                [c.is_ascii_uppercase().then_some(' '), Some(c.to_ascii_lowercase())].into_iter().flatten()
            });
            words.collect::<String>().trim_start().to_owned()
        }
    }
}

/// The library's reason in our words; its own text follows them.
fn reason(error: Error) -> SigstoreError {
    use sigstore_verify::{TimestampError, TransparencyLogError};
    match error {
        // the chain leads to a known authority, and not at that time
        Error::Certificate(CertificateError::ChainInvalid(why))
            if why.contains("CertExpired") || why.contains("CertNotValidYet") =>
        {
            SigstoreError::Certificate(in_words(&why))
        }
        Error::Certificate(CertificateError::ChainInvalid(why)) => SigstoreError::Authority(in_words(&why)),
        Error::Certificate(CertificateError::NoValidAuthority { time }) => {
            SigstoreError::Authority(format!("none counted at {time}"))
        }
        Error::Certificate(e) => SigstoreError::Certificate(e.to_string()),
        Error::TransparencyLog(TransparencyLogError::UnknownLog { log_id }) => {
            SigstoreError::UnknownLog(log_id)
        }
        Error::TransparencyLog(TransparencyLogError::IntegratedTime(why)) => SigstoreError::Time(why),
        Error::TransparencyLog(e) => SigstoreError::Log(e.to_string()),
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(why)) => SigstoreError::Time(why),
        Error::Timestamp(e) => SigstoreError::Time(e.to_string()),
        Error::SignatureInvalid(why) | Error::ArtifactMismatch(why) => SigstoreError::Signature(why),
        Error::UnsupportedBundle(why) | Error::UnsupportedArtifact(why) => SigstoreError::Unsupported(why),
        other => SigstoreError::Malformed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_with_portcullis_can_be_read_though_it_is_read_late() {
        for name in EMBEDDED {
            let instance = Instance::embedded(name).unwrap();
            assert!(instance.read.get().is_none(), "{name} is read only where something asks it");
            assert!(instance.read().is_ok(), "{name}: {:?}", instance.read().err());
            assert!(Instance::parse(name, instance.text()).unwrap().read.get().is_some());
        }
        assert!(Instance::embedded("acme").is_err());
    }
}
