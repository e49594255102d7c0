//! Public keys: which algorithm, which bytes, and whether they verify a signature.
//!
//! The key decides the algorithm; nothing a signature or header says ever does (CVE class "alg confusion").

use std::fmt;

use aws_lc_rs::digest as hash;
use aws_lc_rs::signature::{self as sig, ParsedPublicKey, VerificationAlgorithm};

use crate::der::{self, Reader};
use crate::digest::{Algorithm, Digest, to_hex};
use crate::dsse::base64;
use crate::openpgp::OpenPgpError;
use crate::pem;
use crate::sshsig::SshError;

mod listed;

pub use listed::KeyForm;

const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_ML_DSA_65: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12];

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// ECDSA over P-256 with SHA-256.
    P256,
    /// ECDSA over P-384 with SHA-384.
    P384,
    /// Pure Ed25519.
    Ed25519,
    /// RSA-PSS with SHA-256 and a salt of 32 bytes.
    RsaPss,
    /// RSA PKCS#1 v1.5 with SHA-256; chosen by the trust root, never guessed.
    RsaPkcs1,
    /// Pure ML-DSA-65 with an empty context.
    MlDsa65,
}

impl Scheme {
    /// The name in files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
            Self::RsaPss => "rsa-pss",
            Self::RsaPkcs1 => "rsa-pkcs1",
            Self::MlDsa65 => "ml-dsa-65",
        }
    }

    fn verifier(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &sig::ECDSA_P256_SHA256_ASN1,
            Self::P384 => &sig::ECDSA_P384_SHA384_ASN1,
            Self::Ed25519 => &sig::ED25519,
            Self::RsaPss => &sig::RSA_PSS_2048_8192_SHA256,
            Self::RsaPkcs1 => &sig::RSA_PKCS1_2048_8192_SHA256,
            Self::MlDsa65 => &sig::ML_DSA_65,
        }
    }

    /// The verifier of the `r || s` form that JOSE and the DSSE vectors use.
    fn fixed_width(self) -> Option<(&'static dyn VerificationAlgorithm, usize)> {
        match self {
            Self::P256 => Some((&sig::ECDSA_P256_SHA256_FIXED, 64)),
            Self::P384 => Some((&sig::ECDSA_P384_SHA384_FIXED, 96)),
            Self::Ed25519 | Self::RsaPss | Self::RsaPkcs1 | Self::MlDsa65 => None,
        }
    }
}

/// A public key that may verify signatures.
#[derive(Clone)]
pub struct PublicKey {
    scheme: Scheme,
    id: String,
    spki: Vec<u8>,
    parsed: ParsedPublicKey,
    form: KeyForm,
}

/// Why a text is not a key we accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Not one PEM block.
    NotPem,
    /// In none of the forms in which a trust root lists keys.
    NotListed,
    /// A PEM block of another kind; the field is its label.
    NotPublic(String),
    /// Not a SubjectPublicKeyInfo.
    NotSpki,
    /// A kind of key that is not accepted.
    UnknownAlgorithm,
    /// An Ed25519 point of small order: one signature would verify for every message.
    SmallOrder,
    /// The key's own structure is wrong, or it is too small.
    Rejected,
    /// The scheme named does not fit the key.
    SchemeMismatch(Scheme),
    /// An OpenPGP block that is not accepted.
    OpenPgp(OpenPgpError),
    /// A line of OpenSSH that is not accepted.
    Ssh(SshError),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => f.write_str("not a PEM block (-----BEGIN PUBLIC KEY-----)"),
            Self::NotListed => f.write_str(
                "no key (wanted -----BEGIN PUBLIC KEY-----, an OpenPGP public key block, or a line of OpenSSH as in \
                 ssh-ed25519 AAAA…)",
            ),
            Self::NotPublic(label) => write!(f, "a PEM block of another kind: {label}, wanted PUBLIC KEY"),
            Self::NotSpki => f.write_str("not a public key in SubjectPublicKeyInfo form"),
            Self::UnknownAlgorithm => f.write_str(
                "a kind of key that is not accepted (wanted P-256, P-384, Ed25519, RSA or ML-DSA-65)",
            ),
            Self::SmallOrder => f.write_str("an Ed25519 key of small order, under which anything verifies"),
            Self::Rejected => f.write_str("the key is malformed or too small"),
            Self::SchemeMismatch(scheme) => write!(f, "the key cannot sign with {}", scheme.name()),
            Self::OpenPgp(e) => e.fmt(f),
            Self::Ssh(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for KeyError {}
impl From<OpenPgpError> for KeyError {
    fn from(e: OpenPgpError) -> Self {
        Self::OpenPgp(e)
    }
}
impl From<SshError> for KeyError {
    fn from(e: SshError) -> Self {
        Self::Ssh(e)
    }
}

/// A signature does not verify under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature;

impl PublicKey {
    /// Parses `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// [`KeyError`] saying what the text is instead.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        match pem::decode(text) {
            None => Err(KeyError::NotPem),
            Some(("PUBLIC KEY", der)) => Self::from_spki(&der),
            Some((label, _)) => Err(KeyError::NotPublic(label.to_owned())),
        }
    }

    /// Parses a SubjectPublicKeyInfo in DER. RSA keys verify RSA-PSS unless [`Self::with_scheme`] says otherwise.
    ///
    /// # Errors
    /// [`KeyError`] for other structures, other algorithms and weak keys.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let (scheme, raw) = read_spki(spki)?;
        if scheme == Scheme::Ed25519 && is_small_order(raw) {
            return Err(KeyError::SmallOrder);
        }
        let parsed = ParsedPublicKey::new(scheme.verifier(), spki).or(Err(KeyError::Rejected))?;
        let id = to_hex(Digest::sha256(spki).bytes());
        let key = Self { scheme, id, spki: spki.to_vec(), parsed, form: KeyForm::Spki };
        // it would never verify anything: that is said when it is listed
        if scheme == Scheme::RsaPss && !(256..=1024).contains(&key.signature_length()) {
            return Err(KeyError::Rejected);
        }
        Ok(key)
    }

    /// An uncompressed P-256 or P-384 point, or a raw Ed25519 key, as JOSE and signed notes carry them.
    ///
    /// # Errors
    /// [`KeyError`] for weak or malformed keys.
    pub fn from_raw(scheme: Scheme, raw: &[u8]) -> Result<Self, KeyError> {
        let algorithm = match scheme {
            Scheme::P256 => der::sequence(&[der::encode(der::OID, OID_EC), der::encode(der::OID, OID_P256)]),
            Scheme::P384 => der::sequence(&[der::encode(der::OID, OID_EC), der::encode(der::OID, OID_P384)]),
            Scheme::Ed25519 => der::sequence(&[der::encode(der::OID, OID_ED25519)]),
            Scheme::MlDsa65 => der::sequence(&[der::encode(der::OID, OID_ML_DSA_65)]),
            Scheme::RsaPss | Scheme::RsaPkcs1 => {
                der::sequence(&[der::encode(der::OID, OID_RSA), der::encode(der::NULL, &[])])
            }
        };
        let bits = [&[0], raw].concat();
        Self::from_spki(&der::sequence(&[algorithm, der::encode(der::BIT_STRING, &bits)]))?
            .with_scheme(scheme)
    }

    /// The same key for another scheme of its kind.
    ///
    /// # Errors
    /// [`KeyError::SchemeMismatch`] where the kind of key differs.
    pub fn with_scheme(self, scheme: Scheme) -> Result<Self, KeyError> {
        let is_rsa = |s| matches!(s, Scheme::RsaPss | Scheme::RsaPkcs1);
        if scheme == self.scheme {
            return Ok(self);
        }
        if !(is_rsa(scheme) && is_rsa(self.scheme)) || self.form != KeyForm::Spki {
            return Err(KeyError::SchemeMismatch(scheme));
        }
        let parsed = ParsedPublicKey::new(scheme.verifier(), &self.spki).or(Err(KeyError::Rejected))?;
        Ok(Self { scheme, parsed, ..self })
    }

    /// How this key signs.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The key's own bytes, without the algorithm in front: a point, or a raw key.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        read_spki(&self.spki).map(|(_, raw)| raw).unwrap_or_default()
    }

    /// The PEM text.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.spki)
    }

    /// SHA-256 of the SubjectPublicKeyInfo in hex: the name under which a key is known and counted.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// Whether a hint names this key: our id, or cosign's (base64 of the same hash).
    #[must_use]
    pub fn is_hinted_by(&self, hint: &str) -> bool {
        // 32 bytes have so many signs, with `=` or without
        let may_be = || matches!(hint.len(), 43 | 44);
        hint == self.id || (may_be() && base64(hint).is_some_and(|bytes| to_hex(&bytes) == self.id))
    }

    /// Verifies a signature over `message`: DER for ECDSA, or `r || s` where the length says so.
    ///
    /// # Errors
    /// [`BadSignature`], with no further reason: the reason would only help a forger.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.only_spki()?;
        match self.scheme.fixed_width() {
            Some((_, width)) if signature.len() == width => self.verify_fixed(message, signature),
            _ => self.parsed.verify_sig(message, signature).or(Err(BadSignature)),
        }
    }

    /// Verifies a signature in JOSE's form only: `r || s` for ECDSA (RFC 7518, section 3.4).
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify_jose(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.only_spki()?;
        match self.scheme.fixed_width() {
            Some((_, width)) if signature.len() != width => Err(BadSignature),
            Some(_) => self.verify_fixed(message, signature),
            None => self.parsed.verify_sig(message, signature).or(Err(BadSignature)),
        }
    }

    /// Verifies a signature in the key's own form only: DER for ECDSA.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify_der(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.only_spki()?;
        self.parsed.verify_sig(message, signature).or(Err(BadSignature))
    }

    fn verify_fixed(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let (algorithm, _) = self.scheme.fixed_width().ok_or(BadSignature)?;
        let key = ParsedPublicKey::new(algorithm, &self.spki).or(Err(BadSignature))?;
        key.verify_sig(message, signature).or(Err(BadSignature))
    }

    /// Verifies a signature over a message of which only the digest is known. Ed25519 and ML-DSA hash in their
    /// own way and cannot.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify_digest(&self, digest: &Digest, signature: &[u8]) -> Result<(), BadSignature> {
        self.only_spki()?;
        let algorithm = match (self.scheme, digest.algorithm()) {
            (Scheme::P256 | Scheme::RsaPss | Scheme::RsaPkcs1, Algorithm::Sha256) => &hash::SHA256,
            (Scheme::P384, Algorithm::Sha384) => &hash::SHA384,
            _ => return Err(BadSignature),
        };
        let digest = hash::Digest::import_less_safe(digest.bytes(), algorithm).or(Err(BadSignature))?;
        self.parsed.verify_digest_sig(&digest, signature).or(Err(BadSignature))
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki && self.scheme == other.scheme && self.form == other.form
    }
}
impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.scheme.name(), self.id())
    }
}

/// The scheme and the raw key of a SubjectPublicKeyInfo.
fn read_spki(spki: &[u8]) -> Result<(Scheme, &[u8]), KeyError> {
    let parts = || {
        let mut outer = Reader::new(spki);
        let mut body = outer.sequence()?;
        let mut algorithm = body.sequence()?;
        let oid = algorithm.take(der::OID)?;
        let raw = body.take(der::BIT_STRING)?.strip_prefix(&[0])?;
        (outer.is_done() && body.is_done()).then_some((oid, algorithm, raw))
    };
    let (oid, mut parameters, raw) = parts().ok_or(KeyError::NotSpki)?;
    let scheme = match oid {
        OID_EC => match parameters.take(der::OID) {
            Some(OID_P256) => Scheme::P256,
            Some(OID_P384) => Scheme::P384,
            _ => return Err(KeyError::UnknownAlgorithm),
        },
        OID_ED25519 => Scheme::Ed25519,
        OID_RSA => Scheme::RsaPss,
        OID_ML_DSA_65 => Scheme::MlDsa65,
        _ => return Err(KeyError::UnknownAlgorithm),
    };
    Ok((scheme, raw))
}

/// Whether an Ed25519 public key is one of the points of small order, in any encoding. With such a key, one
/// signature verifies for every message in aws-lc, ring and others (research/deps.md, section 1).
fn is_small_order(raw: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(raw) else { return false };
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    let near = |low: u8| {
        // p, p - 1 and p + 1 for p = 2^255 - 19, little-endian
        let mut bytes = [0xff; 32];
        bytes[0] = low;
        bytes[31] = 0x7f;
        bytes
    };
    let small = |low: u8| {
        let mut bytes = [0; 32];
        bytes[0] = low;
        bytes
    };
    const ORDER_8_A: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    const ORDER_8_B: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ];
    [small(0), small(1), near(0xec), near(0xed), near(0xee), ORDER_8_A, ORDER_8_B].contains(&y)
}
