//! Encrypted private keys: PKCS#8 under PBES2 (RFC 8018), with PBKDF2-HMAC-SHA256 and AES-256-CBC.
//! `openssl pkey` reads and writes the same form.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::{iv::FixedLength, pbkdf2, rand};
use zeroize::Zeroizing;

use crate::der::{self, Reader};
use crate::secret::SecretKeyError;

const OID_PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const OID_PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
const OID_HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
const OID_AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

/// OWASP's figure for PBKDF2-HMAC-SHA256.
const ITERATIONS: u32 = 600_000;
/// A file must not be able to ask for an hour of work.
const MAX_ITERATIONS: u32 = 10_000_000;

/// EncryptedPrivateKeyInfo of `plain`.
pub(crate) fn encrypt(plain: &[u8], passphrase: &[u8]) -> Result<Vec<u8>, SecretKeyError> {
    let no_randomness = SecretKeyError::NoRandomness;
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    rand::fill(&mut salt).or(Err(no_randomness.clone()))?;
    rand::fill(&mut iv).or(Err(no_randomness.clone()))?;
    let key = derive(passphrase, &salt, ITERATIONS)?;
    let key = UnboundCipherKey::new(&AES_256, key.as_slice()).or(Err(no_randomness.clone()))?;
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(key).or(Err(no_randomness.clone()))?;
    let mut data = plain.to_vec();
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    cipher.less_safe_encrypt(&mut data, context).or(Err(no_randomness))?;

    let iterations = [&[0], ITERATIONS.to_be_bytes().as_slice()].concat();
    let first = iterations.iter().position(|b| *b != 0).unwrap_or(0);
    let minimal = iterations.get(first..).unwrap_or_default();
    let prf = der::sequence(&[der::encode(der::OID, OID_HMAC_SHA256), der::encode(der::NULL, &[])]);
    let kdf = der::sequence(&[
        der::encode(der::OID, OID_PBKDF2),
        der::sequence(&[der::encode(der::OCTET_STRING, &salt), der::encode(der::INTEGER, minimal), prf]),
    ]);
    let scheme =
        der::sequence(&[der::encode(der::OID, OID_AES_256_CBC), der::encode(der::OCTET_STRING, &iv)]);
    let algorithm = der::sequence(&[der::encode(der::OID, OID_PBES2), der::sequence(&[kdf, scheme])]);
    Ok(der::sequence(&[algorithm, der::encode(der::OCTET_STRING, &data)]))
}

/// The PrivateKeyInfo inside an EncryptedPrivateKeyInfo.
pub(crate) fn decrypt(der: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretKeyError> {
    let parts = read(der).ok_or(SecretKeyError::UnknownEncryption)?;
    let key = derive(passphrase, parts.salt, parts.iterations)?;
    let wrong = SecretKeyError::PassphraseWrong;
    let key = UnboundCipherKey::new(&AES_256, key.as_slice()).or(Err(wrong.clone()))?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(key).or(Err(wrong.clone()))?;
    let mut data = Zeroizing::new(parts.data.to_vec());
    let context = DecryptionContext::Iv128(FixedLength::from(parts.iv));
    let plain = cipher.decrypt(&mut data, context).or(Err(wrong))?;
    Ok(Zeroizing::new(plain.to_vec()))
}

struct Parts<'a> {
    salt: &'a [u8],
    iterations: u32,
    iv: [u8; 16],
    data: &'a [u8],
}

fn read(der: &[u8]) -> Option<Parts<'_>> {
    let mut body = Reader::new(der).sequence()?;
    let mut algorithm = body.sequence()?;
    let data = body.take(der::OCTET_STRING)?;
    (algorithm.take(der::OID)? == OID_PBES2).then_some(())?;
    let mut schemes = algorithm.sequence()?;
    let mut kdf = schemes.sequence()?;
    (kdf.take(der::OID)? == OID_PBKDF2).then_some(())?;
    let mut parameters = kdf.sequence()?;
    let salt = parameters.take(der::OCTET_STRING)?;
    let iterations = parameters
        .take(der::INTEGER)?
        .iter()
        .try_fold(0_u32, |n, b| n.checked_mul(256)?.checked_add((*b).into()))?;
    if iterations == 0 || iterations > MAX_ITERATIONS {
        return None;
    }
    // keyLength is optional; where it stands it must be that of AES-256
    let mut after = parameters;
    if let Some(length) = after.take(der::INTEGER) {
        (length == [32]).then_some(())?;
        parameters = after;
    }
    (parameters.sequence()?.take(der::OID)? == OID_HMAC_SHA256).then_some(())?;
    let mut scheme = schemes.sequence()?;
    (scheme.take(der::OID)? == OID_AES_256_CBC).then_some(())?;
    let iv = scheme.take(der::OCTET_STRING)?.try_into().ok()?;
    Some(Parts { salt, iterations, iv, data })
}

fn derive(passphrase: &[u8], salt: &[u8], iterations: u32) -> Result<Zeroizing<[u8; 32]>, SecretKeyError> {
    let iterations = NonZeroU32::new(iterations).ok_or(SecretKeyError::UnknownEncryption)?;
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, passphrase, key.as_mut_slice());
    Ok(key)
}
