//! Private keys. The bytes are wiped on drop, and `Debug` does not show them.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self as sig, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, PqdsaKeyPair,
};
use zeroize::Zeroizing;

use crate::key::{PublicKey, Scheme};
use crate::{pem, pkcs8};

/// Something that signs with a key it does not show: a key file, an HSM, a signer process.
pub trait Signer {
    /// The key under which [`Self::sign`]'s signatures verify.
    fn public(&self) -> &PublicKey;

    /// Signs exactly `message`: DER for ECDSA, raw for the others.
    ///
    /// # Errors
    /// [`SignError`] where the key cannot be used; nothing was signed then.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A key could not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignError;

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key could not sign")
    }
}
impl std::error::Error for SignError {}

/// A private key in memory.
pub struct SecretKey {
    public: PublicKey,
    pkcs8: Zeroizing<Vec<u8>>,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
}

/// Why a private key cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretKeyError {
    /// Not one PEM block.
    NotPem,
    /// A PEM block of another kind; the field is its label.
    OtherLabel(String),
    /// The key is encrypted and no passphrase was given.
    PassphraseMissing,
    /// The key does not decrypt under the passphrase.
    PassphraseWrong,
    /// The encryption is not PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC.
    UnknownEncryption,
    /// Not a P-256, P-384, Ed25519 or ML-DSA-65 private key.
    UnknownAlgorithm,
    /// The system has no randomness to give.
    NoRandomness,
}

impl fmt::Display for SecretKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => f.write_str("not a PEM block (wanted -----BEGIN PRIVATE KEY-----)"),
            Self::OtherLabel(label) => {
                write!(f, "a PEM block of another kind: {label}, wanted PRIVATE KEY or ENCRYPTED PRIVATE KEY")
            }
            Self::PassphraseMissing => f.write_str("the key is encrypted and no passphrase was given"),
            Self::PassphraseWrong => f.write_str("the passphrase does not open the key"),
            Self::UnknownEncryption => {
                f.write_str("the key's encryption is unknown (wanted PBES2, PBKDF2-HMAC-SHA256, AES-256-CBC)")
            }
            Self::UnknownAlgorithm => f.write_str("not a P-256, P-384, Ed25519 or ML-DSA-65 private key"),
            Self::NoRandomness => f.write_str("the system has no randomness to give"),
        }
    }
}
impl std::error::Error for SecretKeyError {}

impl SecretKey {
    /// Makes a new key. Randomness comes from the crypto provider.
    ///
    /// # Errors
    /// [`SecretKeyError::UnknownAlgorithm`] for RSA, which we verify and never make.
    pub fn generate(scheme: Scheme) -> Result<Self, SecretKeyError> {
        let unknown = SecretKeyError::UnknownAlgorithm;
        let rng = SystemRandom::new();
        let document = match scheme {
            Scheme::P256 => EcdsaKeyPair::generate_pkcs8(&sig::ECDSA_P256_SHA256_ASN1_SIGNING, &rng),
            Scheme::P384 => EcdsaKeyPair::generate_pkcs8(&sig::ECDSA_P384_SHA384_ASN1_SIGNING, &rng),
            Scheme::Ed25519 => Ed25519KeyPair::generate_pkcs8v1(&rng),
            Scheme::MlDsa65 => PqdsaKeyPair::generate(&sig::ML_DSA_65_SIGNING).and_then(|k| k.to_pkcs8v1()),
            Scheme::RsaPss | Scheme::RsaPkcs1 => return Err(unknown),
        };
        Self::from_pkcs8(document.or(Err(unknown))?.as_ref())
    }

    /// An Ed25519 key from its 32-byte seed (RFC 8032). Tests and vectors use it; keys for use are generated.
    ///
    /// # Errors
    /// [`SecretKeyError::UnknownAlgorithm`] for another length.
    pub fn from_ed25519_seed(seed: &[u8]) -> Result<Self, SecretKeyError> {
        let unknown = SecretKeyError::UnknownAlgorithm;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).or(Err(unknown.clone()))?;
        Self::from_pkcs8(pair.to_pkcs8v1().or(Err(unknown))?.as_ref())
    }

    /// Reads a PKCS#8 PrivateKeyInfo in DER.
    ///
    /// # Errors
    /// [`SecretKeyError::UnknownAlgorithm`] for anything but the algorithms we sign with.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SecretKeyError> {
        let ecdsa = |scheme, algorithm: &'static EcdsaSigningAlgorithm| {
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, der).ok()?;
            let public = PublicKey::from_raw(scheme, pair.public_key().as_ref()).ok()?;
            Some((public, Pair::Ecdsa(pair)))
        };
        let ed25519 = || {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
            let public = PublicKey::from_raw(Scheme::Ed25519, pair.public_key().as_ref()).ok()?;
            Some((public, Pair::Ed25519(pair)))
        };
        let ml_dsa = || {
            let pair = PqdsaKeyPair::from_pkcs8(&sig::ML_DSA_65_SIGNING, der).ok()?;
            let public = PublicKey::from_raw(Scheme::MlDsa65, pair.public_key().as_ref()).ok()?;
            Some((public, Pair::MlDsa(pair)))
        };
        let (public, pair) = ecdsa(Scheme::P256, &sig::ECDSA_P256_SHA256_ASN1_SIGNING)
            .or_else(|| ecdsa(Scheme::P384, &sig::ECDSA_P384_SHA384_ASN1_SIGNING))
            .or_else(ed25519)
            .or_else(ml_dsa)
            .ok_or(SecretKeyError::UnknownAlgorithm)?;
        Ok(Self { public, pkcs8: Zeroizing::new(der.to_vec()), pair })
    }

    /// Reads a PEM private key, encrypted or not.
    ///
    /// # Errors
    /// [`SecretKeyError`] saying what is missing or wrong.
    pub fn from_pem(text: &str, passphrase: Option<&[u8]>) -> Result<Self, SecretKeyError> {
        let (label, der) = pem::decode(text).ok_or(SecretKeyError::NotPem)?;
        let der = Zeroizing::new(der);
        match label {
            "PRIVATE KEY" => Self::from_pkcs8(&der),
            "ENCRYPTED PRIVATE KEY" => {
                let passphrase = passphrase.ok_or(SecretKeyError::PassphraseMissing)?;
                Self::from_pkcs8(&pkcs8::decrypt(&der, passphrase)?).or(Err(SecretKeyError::PassphraseWrong))
            }
            label => Err(SecretKeyError::OtherLabel(label.to_owned())),
        }
    }

    /// The PEM text, encrypted where there is a passphrase.
    ///
    /// # Errors
    /// [`SecretKeyError::NoRandomness`] where no salt can be had.
    pub fn to_pem(&self, passphrase: Option<&[u8]>) -> Result<Zeroizing<String>, SecretKeyError> {
        let text = match passphrase {
            None => pem::encode("PRIVATE KEY", &self.pkcs8),
            Some(passphrase) => {
                pem::encode("ENCRYPTED PRIVATE KEY", &pkcs8::encrypt(&self.pkcs8, passphrase)?)
            }
        };
        Ok(Zeroizing::new(text))
    }

    /// Signs in JOSE's form: `r || s` for ECDSA.
    ///
    /// # Errors
    /// [`SignError`] where the key cannot be used.
    pub fn sign_jose(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let fixed: &'static EcdsaSigningAlgorithm = match self.public.scheme() {
            Scheme::P256 => &sig::ECDSA_P256_SHA256_FIXED_SIGNING,
            Scheme::P384 => &sig::ECDSA_P384_SHA384_FIXED_SIGNING,
            Scheme::Ed25519 | Scheme::RsaPss | Scheme::RsaPkcs1 | Scheme::MlDsa65 => {
                return self.sign(message);
            }
        };
        let pair = EcdsaKeyPair::from_pkcs8(fixed, &self.pkcs8).or(Err(SignError))?;
        Ok(pair.sign(&SystemRandom::new(), message).or(Err(SignError))?.as_ref().to_vec())
    }
}

impl Signer for SecretKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.pair {
            Pair::Ecdsa(pair) => {
                Ok(pair.sign(&SystemRandom::new(), message).or(Err(SignError))?.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.try_sign(message).or(Err(SignError))?.as_ref().to_vec()),
            Pair::MlDsa(pair) => {
                let mut out = vec![0; sig::ML_DSA_65_SIGNING.signature_len()];
                pair.sign(message, &mut out).or(Err(SignError))?;
                Ok(out)
            }
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({:?})", self.public)
    }
}
