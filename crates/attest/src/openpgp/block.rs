//! A block of one public key: the primary key, and those of its subkeys that sign.

use aws_lc_rs::digest as hash;

use super::packet::{PRIMARY_KEY, Reader, SIGNATURE, SUBKEY};
use super::signature::{ECDSA, ED25519, EDDSA, Kind, RSA, RSA_SIGN_ONLY, Signature, refused_algorithm};
use super::{KeyName, OpenPgpError, armor};
use crate::der;
use crate::key::{KeyError, KeyForm, PublicKey, Scheme};

/// The largest block that is read, in bytes; what `gpg --export-options export-minimal` writes has some thousands.
const MAX_BYTES: usize = 256 << 10;
pub(super) const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
pub(super) const OID_ED25519: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
/// The types of signatures that take a key or a subkey back.
const KEY_REVOCATION: u8 = 0x20;
const SUBKEY_REVOCATION: u8 = 0x28;

/// A key packet and the signatures after it.
struct Part<'a> {
    body: &'a [u8],
    signatures: Vec<&'a [u8]>,
}

/// The usable keys of a block, armored or binary; the primary key first.
///
/// # Errors
/// [`KeyError`] for more than one primary key, one that was revoked, and what is not accepted.
pub fn read_keys(bytes: &[u8]) -> Result<Vec<PublicKey>, KeyError> {
    if bytes.len() > 2 * MAX_BYTES {
        return Err(
            OpenPgpError::Malformed("a key of 256 KiB at most: gpg --export-options export-minimal").into()
        );
    }
    let decoded = match std::str::from_utf8(bytes) {
        Ok(text) if text.trim_start().starts_with('-') => armor::decode(text.trim(), "PUBLIC KEY BLOCK")?,
        _ => bytes.to_vec(),
    };
    let (primary, subkeys) = parts(&decoded)?;
    if primary.signatures.iter().any(|body| has_type(body, KEY_REVOCATION)) {
        return Err(OpenPgpError::Refused("a key that its owner revoked".to_owned()).into());
    }
    let key = read_key(primary.body)?;
    let signing = subkeys.iter().filter_map(|subkey| signing_subkey(&key, primary.body, subkey));
    Ok([key.clone()].into_iter().chain(signing).collect())
}

fn parts(bytes: &[u8]) -> Result<(Part<'_>, Vec<Part<'_>>), OpenPgpError> {
    let mut reader = Reader::new(bytes);
    let (tag, body) = reader.packet()?;
    if tag != PRIMARY_KEY {
        return Err(OpenPgpError::Malformed("a public key first"));
    }
    let mut primary = Part { body, signatures: Vec::new() };
    let mut subkeys: Vec<Part<'_>> = Vec::new();
    while !reader.is_done() {
        match reader.packet()? {
            (PRIMARY_KEY, _) => return Err(OpenPgpError::Malformed("one public key a block")),
            (SUBKEY, body) => subkeys.push(Part { body, signatures: Vec::new() }),
            (SIGNATURE, body) => subkeys.last_mut().unwrap_or(&mut primary).signatures.push(body),
            // user ids, photographs, and what a key ring notes for itself
            (12 | 13 | 17, _) => {}
            _ => return Err(OpenPgpError::Malformed("keys, user ids and signatures in a public key block")),
        }
    }
    Ok((primary, subkeys))
}

/// A subkey whose latest binding by the primary key says that it signs, and which signed back. Anything else is not
/// usable: subkeys for encryption, those that were revoked, and those that somebody else put into the block.
fn signing_subkey(primary: &PublicKey, primary_body: &[u8], subkey: &Part<'_>) -> Option<PublicKey> {
    let key = read_key(subkey.body).ok()?;
    if subkey.signatures.iter().any(|body| has_type(body, SUBKEY_REVOCATION)) {
        return None;
    }
    let (front, back) = (framed(primary_body), framed(subkey.body));
    let signed: [&[u8]; 2] = [&front, &back];
    let bindings = subkey.signatures.iter().filter_map(|body| Signature::read(body).ok());
    let valid = bindings.filter(|binding| binding.verify(primary, Kind::Subkey, &signed).is_ok());
    let latest = valid.max_by_key(|binding| binding.subpackets().created)?;
    let about = latest.subpackets();
    let embedded = Signature::read(about.embedded.as_ref()?).ok()?;
    let signed_back = embedded.verify(&key, Kind::Back, &signed).is_ok();
    (about.is_for_signing && latest.expires().is_none() && signed_back).then_some(key)
}

/// A key as it is hashed.
pub(super) fn framed(body: &[u8]) -> Vec<u8> {
    [&[0x99], u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes().as_slice(), body].concat()
}

/// Whether a signature, of whatever version, has this type.
fn has_type(body: &[u8], wanted: u8) -> bool {
    match body {
        [2 | 3, _, kind, ..] | [4..=u8::MAX, kind, ..] => *kind == wanted,
        _ => false,
    }
}

pub(super) fn read_key(body: &[u8]) -> Result<PublicKey, KeyError> {
    let mut reader = Reader::new(body);
    let version = reader.byte()?;
    if version != 4 {
        return Err(OpenPgpError::Refused(format!("a key of version {version}")).into());
    }
    let created = reader.u32()?;
    let algorithm = reader.byte()?;
    let (scheme, raw) = read_material(algorithm, &mut reader)?;
    if !reader.is_done() || body.len() > usize::from(u16::MAX) {
        return Err(OpenPgpError::Malformed("nothing after the key's numbers").into());
    }
    let digest = hash::digest(&hash::SHA1_FOR_LEGACY_USE_ONLY, &framed(body));
    let fingerprint = digest.as_ref().try_into().or(Err(KeyError::Rejected))?;
    let name = KeyName { fingerprint, created, algorithm };
    Ok(PublicKey::from_raw(scheme, &raw)?.listed_as(KeyForm::OpenPgp(name)))
}

fn read_material(algorithm: u8, reader: &mut Reader<'_>) -> Result<(Scheme, Vec<u8>), OpenPgpError> {
    match algorithm {
        RSA | RSA_SIGN_ONLY => {
            let (modulus, exponent) = (reader.number()?, reader.number()?);
            Ok((Scheme::RsaPkcs1, der::sequence(&[der::unsigned(modulus), der::unsigned(exponent)])))
        }
        ECDSA => match curve(reader)? {
            OID_P256 => reader.number().map(|point| (Scheme::P256, point.to_vec())),
            OID_P384 => reader.number().map(|point| (Scheme::P384, point.to_vec())),
            _ => Err(OpenPgpError::Refused("ECDSA on another curve than P-256 and P-384".to_owned())),
        },
        EDDSA => match curve(reader)? {
            OID_ED25519 => match reader.number()?.split_first() {
                Some((0x40, point)) if point.len() == 32 => Ok((Scheme::Ed25519, point.to_vec())),
                _ => Err(OpenPgpError::Malformed("a point of Ed25519")),
            },
            _ => Err(OpenPgpError::Refused("EdDSA on another curve than Ed25519".to_owned())),
        },
        ED25519 => reader.take(32).map(|point| (Scheme::Ed25519, point.to_vec())),
        other => Err(refused_algorithm(other)),
    }
}

fn curve<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], OpenPgpError> {
    let length = usize::from(reader.byte()?);
    reader.take(length)
}
