//! One version 4 signature.

use aws_lc_rs::digest as hash;
use jiff::Timestamp;

use super::packet::{Reader, SIGNATURE};
use super::subpacket::Subpackets;
use super::{KeyName, OpenPgpError, armor};
use crate::der;
use crate::key::{KeyForm, PublicKey};

/// The largest signature that is read, in bytes.
const MAX_BYTES: usize = 16 << 10;

/// A signature, parsed. It proves nothing until a key verifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    kind: Kind,
    algorithm: u8,
    hash: Hash,
    subpackets: Subpackets,
    /// What is hashed after the signed bytes.
    trailer: Vec<u8>,
    /// The first two bytes of the hash, so that a wrong text is known without the key.
    quick: [u8; 2],
    /// As [`PublicKey::verify_hashed`] wants it.
    value: Vec<u8>,
}

/// What a signature is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes as they are.
    Binary,
    /// Text with canonical line ends.
    Text,
    /// A primary key and its subkey, by the primary key.
    Subkey,
    /// The same, by the subkey.
    Back,
}

/// The hashes that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// The name in clear-signed texts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        }
    }

    fn read(number: u8) -> Result<Self, OpenPgpError> {
        let name = match number {
            8 => return Ok(Self::Sha256),
            9 => return Ok(Self::Sha384),
            10 => return Ok(Self::Sha512),
            1 => "the hash MD5",
            2 => "the hash SHA-1",
            3 => "the hash RIPEMD-160",
            11 => "the hash SHA-224",
            other => return Err(OpenPgpError::Refused(format!("the hash with the number {other}"))),
        };
        Err(OpenPgpError::Refused(name.to_owned()))
    }

    fn algorithm(self) -> &'static hash::Algorithm {
        match self {
            Self::Sha256 => &hash::SHA256,
            Self::Sha384 => &hash::SHA384,
            Self::Sha512 => &hash::SHA512,
        }
    }
}

/// The algorithms of keys and signatures that are accepted.
pub(super) const RSA: u8 = 1;
pub(super) const RSA_SIGN_ONLY: u8 = 3;
pub(super) const ECDSA: u8 = 19;
pub(super) const EDDSA: u8 = 22;
pub(super) const ED25519: u8 = 27;

/// Why keys and signatures of an algorithm are refused.
pub(super) fn refused_algorithm(number: u8) -> OpenPgpError {
    OpenPgpError::Refused(match number {
        2 | 16 | 18 | 25 | 26 => format!("an algorithm for encryption ({number})"),
        17 => "DSA".to_owned(),
        28 => "Ed448".to_owned(),
        other => format!("the key algorithm with the number {other}"),
    })
}

impl Signature {
    /// Reads one armored signature.
    ///
    /// # Errors
    /// [`OpenPgpError`] for anything else, and for what is refused by name.
    pub fn from_armor(text: &str) -> Result<Self, OpenPgpError> {
        if text.len() > 2 * MAX_BYTES {
            return Err(OpenPgpError::Malformed("a signature of 16 KiB at most"));
        }
        Self::from_binary(&armor::decode(text, "SIGNATURE")?)
    }

    /// Reads one binary signature.
    ///
    /// # Errors
    /// [`OpenPgpError`] for anything else, and for what is refused by name.
    pub fn from_binary(bytes: &[u8]) -> Result<Self, OpenPgpError> {
        let mut reader = Reader::new(bytes);
        let (tag, body) = reader.packet()?;
        if tag != SIGNATURE || !reader.is_done() || bytes.len() > MAX_BYTES {
            return Err(OpenPgpError::Malformed("exactly one signature, of 16 KiB at most"));
        }
        Self::read(body)
    }

    pub(super) fn read(body: &[u8]) -> Result<Self, OpenPgpError> {
        let mut reader = Reader::new(body);
        let version = reader.byte()?;
        if version != 4 {
            return Err(OpenPgpError::Refused(format!("a signature of version {version}")));
        }
        let kind = match reader.byte()? {
            0x00 => Kind::Binary,
            0x01 => Kind::Text,
            0x18 => Kind::Subkey,
            0x19 => Kind::Back,
            other => return Err(OpenPgpError::Refused(format!("a signature of type {other:#04x}"))),
        };
        let algorithm = reader.byte()?;
        let hash = Hash::read(reader.byte()?)?;
        let length = usize::from(reader.u16()?);
        let hashed = reader.take(length)?;
        let signed = body.get(..6 + length).unwrap_or_default();
        let length = usize::from(reader.u16()?);
        let subpackets = Subpackets::read(hashed, reader.take(length)?)?;
        let quick = reader.array()?;
        let value = read_value(algorithm, &mut reader)?;
        if !reader.is_done() {
            return Err(OpenPgpError::Malformed("nothing after the signature's numbers"));
        }
        let trailer = trailer(signed);
        Ok(Self { kind, algorithm, hash, subpackets, trailer, quick, value })
    }

    /// When it was made, as the signer says. It proves nothing about time.
    #[must_use]
    pub fn claimed_at(&self) -> Timestamp {
        Timestamp::from_second(self.subpackets.created.into()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Until when it says that it is good; nothing where it does not end.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        let seconds = i64::from(self.subpackets.created) + i64::from(self.subpackets.expires);
        (self.subpackets.expires != 0).then(|| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
    }

    /// Refuses a signature that has ended.
    ///
    /// # Errors
    /// [`OpenPgpError::Expired`].
    pub fn check_expiry(&self, at: Timestamp) -> Result<(), OpenPgpError> {
        match self.expires() {
            Some(until) if until <= at => Err(OpenPgpError::Expired(until)),
            _ => Ok(()),
        }
    }

    /// Verifies it over a file's bytes. Whether it has ended is for [`Self::check_expiry`] to say.
    ///
    /// # Errors
    /// [`OpenPgpError`] where it is no signature over bytes, or not this key's.
    pub fn verify_detached(&self, key: &PublicKey, message: &[u8]) -> Result<(), OpenPgpError> {
        self.verify(key, Kind::Binary, &[message])
    }

    pub(super) fn hash(&self) -> Hash {
        self.hash
    }

    pub(super) fn subpackets(&self) -> &Subpackets {
        &self.subpackets
    }

    pub(super) fn verify(&self, key: &PublicKey, kind: Kind, signed: &[&[u8]]) -> Result<(), OpenPgpError> {
        if self.kind != kind {
            return Err(OpenPgpError::Malformed(match kind {
                Kind::Binary => "a signature over bytes as they are",
                Kind::Text => "a signature over text",
                Kind::Subkey | Kind::Back => "a signature that binds a subkey",
            }));
        }
        let KeyForm::OpenPgp(name) = key.form() else { return Err(OpenPgpError::NotByKey) };
        self.check_name(name)?;
        let mut context = hash::Context::new(self.hash.algorithm());
        signed.iter().for_each(|part| context.update(part));
        context.update(&self.trailer);
        let digest = context.finish();
        if !digest.as_ref().starts_with(&self.quick) {
            return Err(OpenPgpError::NotByKey);
        }
        let value = match self.algorithm {
            // a number loses its leading zeros; RSA wants all bytes of the modulus
            RSA | RSA_SIGN_ONLY => left_padded(&self.value, key.signature_length()),
            _ => self.value.clone(),
        };
        key.verify_hashed(&digest, &value).or(Err(OpenPgpError::NotByKey))
    }

    /// A signature says which key made it. That proves nothing, and what contradicts the key is not its signature.
    fn check_name(&self, name: &KeyName) -> Result<(), OpenPgpError> {
        let agrees = |issuer: &Vec<u8>| name.fingerprint.ends_with(issuer);
        let issuers = &self.subpackets.issuers;
        if issuers.is_empty() || !issuers.iter().all(agrees) || self.algorithm != name.algorithm {
            return Err(OpenPgpError::NotByKey);
        }
        if self.subpackets.created < name.created { Err(OpenPgpError::OlderThanKey) } else { Ok(()) }
    }
}

/// What is hashed after the signed bytes: the signature's own front, and how long that is.
pub(super) fn trailer(front: &[u8]) -> Vec<u8> {
    let count = u32::try_from(front.len()).unwrap_or(u32::MAX).to_be_bytes();
    [front, &[4, 0xff], &count].concat()
}

fn read_value(algorithm: u8, reader: &mut Reader<'_>) -> Result<Vec<u8>, OpenPgpError> {
    match algorithm {
        RSA | RSA_SIGN_ONLY => reader.number().map(<[u8]>::to_vec),
        ECDSA => {
            let (r, s) = (reader.number()?, reader.number()?);
            Ok(der::sequence(&[der::unsigned(r), der::unsigned(s)]))
        }
        EDDSA => {
            let (r, s) = (reader.number()?, reader.number()?);
            if r.len() > 32 || s.len() > 32 {
                return Err(OpenPgpError::Malformed("two numbers of 32 bytes at most"));
            }
            Ok([left_padded(r, 32), left_padded(s, 32)].concat())
        }
        ED25519 => reader.take(64).map(<[u8]>::to_vec),
        other => Err(refused_algorithm(other)),
    }
}

fn left_padded(number: &[u8], length: usize) -> Vec<u8> {
    let mut padded = vec![0; length.saturating_sub(number.len())];
    padded.extend(number);
    padded
}
