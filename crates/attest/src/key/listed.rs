//! The forms in which a key may be listed: a SubjectPublicKeyInfo, an OpenPGP block, a line of OpenSSH.
//!
//! A key verifies signatures in the form in which it is listed, and no others: whoever asks for a signature in one
//! protocol chooses some of the signed bytes, and must not get a word in another protocol that way.

use aws_lc_rs::digest as hash;
use aws_lc_rs::signature::{self as sig, ParsedPublicKey, VerificationAlgorithm};

use super::{BadSignature, KeyError, PublicKey, Scheme};
use crate::der::{self, Reader};
use crate::openpgp::{self, KeyName};
use crate::sshsig;

/// The form in which a key is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// `-----BEGIN PUBLIC KEY-----`: DSSE, bundles, JWT, notes.
    Spki,
    /// Part of an OpenPGP public key block: OpenPGP signatures.
    OpenPgp(KeyName),
    /// A line of OpenSSH: SSH signatures.
    Ssh,
}

impl PublicKey {
    /// Reads a listed key in any form: one key, but of an OpenPGP block the primary key and every subkey that signs.
    ///
    /// # Errors
    /// [`KeyError`] saying what the text is instead.
    pub fn from_listed(text: &str) -> Result<Vec<Self>, KeyError> {
        let text = text.trim();
        if text.starts_with("-----BEGIN PGP ") {
            return openpgp::read_keys(text.as_bytes());
        }
        if text.starts_with("-----") {
            return Self::from_pem(text).map(|key| vec![key]);
        }
        sshsig::read_key(text).map(|key| vec![key])
    }

    /// The form in which it is listed.
    #[must_use]
    pub fn form(&self) -> &KeyForm {
        &self.form
    }

    pub(crate) fn listed_as(self, form: KeyForm) -> Self {
        Self { form, ..self }
    }

    /// How many bytes an RSA signature has.
    pub(crate) fn signature_length(&self) -> usize {
        let modulus = || Reader::new(self.raw()).sequence()?.take(der::INTEGER);
        let modulus = modulus().unwrap_or_default();
        modulus.strip_prefix(&[0]).unwrap_or(modulus).len()
    }

    /// Verifies a signature over a digest in a form other than our own: RSA PKCS#1 v1.5, ECDSA in DER, and Ed25519 with
    /// the digest for a message.
    pub(crate) fn verify_hashed(&self, digest: &hash::Digest, signature: &[u8]) -> Result<(), BadSignature> {
        if self.scheme == Scheme::Ed25519 {
            return self.verify_whole(digest.as_ref(), signature);
        }
        let algorithm = hashed(self.scheme, digest.algorithm()).ok_or(BadSignature)?;
        let key = ParsedPublicKey::new(algorithm, &self.spki).or(Err(BadSignature))?;
        key.verify_digest_sig(digest, signature).or(Err(BadSignature))
    }

    /// Verifies an Ed25519 signature over a message in a form other than our own.
    pub(crate) fn verify_whole(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        if self.scheme != Scheme::Ed25519 {
            return Err(BadSignature);
        }
        self.parsed.verify_sig(message, signature).or(Err(BadSignature))
    }

    /// Refuses our own forms of signatures to keys that are listed for others.
    pub(super) fn only_spki(&self) -> Result<(), BadSignature> {
        if self.form == KeyForm::Spki { Ok(()) } else { Err(BadSignature) }
    }
}

fn hashed(scheme: Scheme, digest: &hash::Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    let is = |algorithm: &hash::Algorithm| digest == algorithm;
    let pick = |sha256, sha384, sha512| match () {
        () if is(&hash::SHA256) => Some(sha256),
        () if is(&hash::SHA384) => Some(sha384),
        () if is(&hash::SHA512) => Some(sha512),
        () => None,
    };
    match scheme {
        Scheme::RsaPkcs1 => pick(
            &sig::RSA_PKCS1_2048_8192_SHA256 as &'static dyn VerificationAlgorithm,
            &sig::RSA_PKCS1_2048_8192_SHA384,
            &sig::RSA_PKCS1_2048_8192_SHA512,
        ),
        Scheme::P256 => {
            pick(&sig::ECDSA_P256_SHA256_ASN1, &sig::ECDSA_P256_SHA384_ASN1, &sig::ECDSA_P256_SHA512_ASN1)
        }
        Scheme::P384 => {
            pick(&sig::ECDSA_P384_SHA256_ASN1, &sig::ECDSA_P384_SHA384_ASN1, &sig::ECDSA_P384_SHA512_ASN1)
        }
        Scheme::Ed25519 | Scheme::RsaPss | Scheme::MlDsa65 => None,
    }
}
