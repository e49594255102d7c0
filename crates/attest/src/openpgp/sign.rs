//! Writing OpenPGP: one key without subkeys, as apt's `Signed-By` and `gpgv` of every Debian in use read it. Ed25519 keys
//! are written as algorithm 22, since GnuPG before 2.5 does not know 27.

use std::fmt;

use aws_lc_rs::digest as hash;
use jiff::Timestamp;

use super::block::{OID_ED25519, OID_P256, framed, read_key};
use super::packet::{PRIMARY_KEY, SIGNATURE};
use super::signature::{ECDSA, EDDSA, Signature, trailer};
use super::subpacket::{CREATED, FINGERPRINT, ISSUER, KEY_FLAGS, SIGNS};
use super::{KeyName, armor, block, cleartext};
use crate::der::{self, Reader};
use crate::digest::to_hex;
use crate::key::{KeyError, KeyForm, PublicKey, Scheme};
use crate::secret::{SignError, Signer};

const USER_ID: u8 = 13;
/// The flag of keys that sign other keys: the primary key signs its own user id.
const CERTIFIES: u8 = 1;
const PREFERRED_HASHES: u8 = 21;
/// Types of signatures.
const BINARY: u8 = 0x00;
const TEXT: u8 = 0x01;
const CERTIFICATION: u8 = 0x13;
/// The longest user id, in bytes.
const MAX_USER_ID: usize = 256;

/// A key that signs as OpenPGP. Its time of creation is part of its name, so it is told once and read from the published
/// block ever after.
pub struct SigningKey<'a> {
    signer: &'a dyn Signer,
    /// Its public half as a packet's body, and as readers know it.
    body: Vec<u8>,
    public: PublicKey,
    name: KeyName,
    kind: &'static Kind,
}

/// What follows from a key's scheme.
struct Kind {
    algorithm: u8,
    hash: u8,
    hash_name: &'static str,
    digest: &'static hash::Algorithm,
}

/// GnuPG's own choice for Ed25519.
static OF_ED25519: Kind = Kind { algorithm: EDDSA, hash: 10, hash_name: "SHA512", digest: &hash::SHA512 };
/// The only hash that a [`Signer`] of P-256 makes itself.
static OF_P256: Kind = Kind { algorithm: ECDSA, hash: 8, hash_name: "SHA256", digest: &hash::SHA256 };

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSigned {
    /// A kind of key that is not written as OpenPGP.
    Scheme(Scheme),
    /// A time before 1970 or after 2105, or before the key's own.
    Time(Timestamp),
    /// The user id is empty, too long, or has control characters.
    UserId,
    /// The published block cannot be read.
    Block(KeyError),
    /// The published block is another key's.
    OtherKey,
    /// A text that no reader would give back whole; the field says what was wanted.
    Text(&'static str),
    /// The key cannot sign.
    Key(SignError),
}

impl fmt::Display for NotSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme(found) => {
                write!(f, "a key for {} does not sign as OpenPGP here (wanted ed25519 or p256)", found.name())
            }
            Self::Time(at) => {
                write!(f, "an OpenPGP key cannot sign at {at}: that is before it was made, or out of range")
            }
            Self::UserId => write!(
                f,
                "the user id is no text of 1 to {MAX_USER_ID} bytes on one line (wanted, as in: Shop <release@shop.example>)"
            ),
            Self::Block(e) => e.fmt(f),
            Self::OtherKey => f.write_str("the OpenPGP public key block is another key's"),
            Self::Text(wanted) => write!(f, "the text cannot be clear-signed: wanted {wanted}"),
            Self::Key(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for NotSigned {}
impl From<SignError> for NotSigned {
    fn from(e: SignError) -> Self {
        Self::Key(e)
    }
}

impl<'a> SigningKey<'a> {
    /// A key that was made at a time: another time is another key to everybody else.
    ///
    /// # Errors
    /// [`NotSigned::Scheme`], [`NotSigned::Time`].
    pub fn new(signer: &'a dyn Signer, created: Timestamp) -> Result<Self, NotSigned> {
        let scheme = signer.public().scheme();
        let kind = match scheme {
            Scheme::Ed25519 => &OF_ED25519,
            Scheme::P256 => &OF_P256,
            other => return Err(NotSigned::Scheme(other)),
        };
        let body = [&[4], &seconds(created)?[..], &[kind.algorithm], &material(signer.public())].concat();
        let public = read_key(&body).map_err(NotSigned::Block)?;
        let KeyForm::OpenPgp(name) = *public.form() else { return Err(NotSigned::OtherKey) };
        Ok(Self { signer, body, public, name, kind })
    }

    /// The key whose public half was published in a block, armored or binary.
    ///
    /// # Errors
    /// [`NotSigned`] where the block is none, or another key's.
    pub fn published(signer: &'a dyn Signer, block: &[u8]) -> Result<Self, NotSigned> {
        let keys = block::read_keys(block).map_err(NotSigned::Block)?;
        let Some(KeyForm::OpenPgp(name)) = keys.first().map(PublicKey::form) else {
            return Err(NotSigned::OtherKey);
        };
        let created = Timestamp::from_second(name.created.into()).or(Err(NotSigned::OtherKey))?;
        let key = Self::new(signer, created)?;
        if key.name == *name { Ok(key) } else { Err(NotSigned::OtherKey) }
    }

    /// Its fingerprint, in upper-case hex as GnuPG shows it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        to_hex(&self.name.fingerprint).to_ascii_uppercase()
    }

    /// The armored block of the public key, with a user id that the key signed.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn block(&self, user_id: &str, at: Timestamp) -> Result<String, NotSigned> {
        if user_id.is_empty() || user_id.len() > MAX_USER_ID || user_id.contains(char::is_control) {
            return Err(NotSigned::UserId);
        }
        let count = u32::try_from(user_id.len()).unwrap_or(u32::MAX).to_be_bytes();
        let signed = [&framed(&self.body), &[0xb4][..], &count, user_id.as_bytes()].concat();
        let more = [subpacket(KEY_FLAGS, &[CERTIFIES | SIGNS]), subpacket(PREFERRED_HASHES, &[10, 9, 8])];
        let signature = self.sign(CERTIFICATION, signed, &more.concat(), at)?;
        let packets = [packet(PRIMARY_KEY, &self.body), packet(USER_ID, user_id.as_bytes()), signature];
        Ok(armor::encode(&packets.concat(), "PUBLIC KEY BLOCK"))
    }

    /// An armored signature over bytes as they are: `Release.gpg`.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn sign_detached(&self, message: &[u8], at: Timestamp) -> Result<String, NotSigned> {
        let signature = self.sign(BINARY, message.to_vec(), &[], at)?;
        self.check(&signature, |read| read.verify_detached(&self.public, message))?;
        Ok(armor::encode(&signature, "SIGNATURE"))
    }

    /// The text with its signature: `InRelease`. Refuses what a reader would not give back byte for byte.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn sign_clear(&self, text: &[u8], at: Timestamp) -> Result<String, NotSigned> {
        let (signed, shown) = cleartext::write(text, self.kind.hash_name).map_err(NotSigned::Text)?;
        let signature = self.sign(TEXT, signed, &[], at)?;
        let whole = format!("{shown}{}", armor::encode(&signature, "SIGNATURE"));
        let read = cleartext::ClearSigned::parse(whole.as_bytes()).or(Err(SignError))?;
        read.verify(&self.public).or(Err(SignError))?;
        Ok(whole)
    }

    /// A packet with a signature of one type over these bytes.
    fn sign(&self, kind: u8, mut signed: Vec<u8>, more: &[u8], at: Timestamp) -> Result<Vec<u8>, NotSigned> {
        let time = seconds(at)?;
        if u32::from_be_bytes(time) < self.name.created {
            return Err(NotSigned::Time(at));
        }
        let fingerprint = [&[4], &self.name.fingerprint[..]].concat();
        let hashed =
            [subpacket(FINGERPRINT, &fingerprint), subpacket(CREATED, &time), more.to_vec()].concat();
        let front = [&[4, kind, self.kind.algorithm, self.kind.hash], &sized(&hashed)[..]].concat();
        signed.extend(trailer(&front));
        let digest = hash::digest(self.kind.digest, &signed);
        let quick = digest.as_ref().get(..2).unwrap_or_default();
        let numbers = match self.kind.algorithm {
            EDDSA => of_ed25519(&self.signer.sign(digest.as_ref())?),
            _ => of_ecdsa(&self.signer.sign(&signed)?),
        };
        // which key it was is found without this, but not by older readers
        let issuer = subpacket(ISSUER, self.name.fingerprint.get(12..).unwrap_or_default());
        let body = [&front, &sized(&issuer), quick, &numbers.ok_or(SignError)?].concat();
        Ok(packet(SIGNATURE, &body))
    }

    /// A faulty key must not have its slip published.
    fn check<E>(&self, packet: &[u8], verify: impl Fn(&Signature) -> Result<(), E>) -> Result<(), SignError> {
        let read = Signature::from_binary(packet).or(Err(SignError))?;
        verify(&read).or(Err(SignError))
    }
}

impl fmt::Debug for SigningKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint())
    }
}

fn seconds(at: Timestamp) -> Result<[u8; 4], NotSigned> {
    u32::try_from(at.as_second()).map(u32::to_be_bytes).or(Err(NotSigned::Time(at)))
}

/// The numbers of a public key, behind its algorithm.
fn material(public: &PublicKey) -> Vec<u8> {
    let (curve, point) = match public.scheme() {
        Scheme::Ed25519 => (OID_ED25519, [&[0x40], public.raw()].concat()),
        _ => (OID_P256, public.raw().to_vec()),
    };
    let length = u8::try_from(curve.len()).unwrap_or(u8::MAX);
    [&[length], curve, &number(&point)].concat()
}

fn of_ed25519(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(32)?;
    Some([number(r), number(s)].concat())
}

fn of_ecdsa(signature: &[u8]) -> Option<Vec<u8>> {
    let mut inner = Reader::new(signature).sequence()?;
    let (r, s) = (inner.take(der::INTEGER)?, inner.take(der::INTEGER)?);
    Some([number(r), number(s)].concat())
}

/// A number: how many bits, and its bytes without leading zeros.
fn number(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = bytes.get(zeros..).unwrap_or_default();
    let unused = bytes.first().map_or(0, |first| first.leading_zeros() as usize);
    let bits = u16::try_from(bytes.len() * 8 - unused).unwrap_or(u16::MAX).to_be_bytes();
    [&bits, bytes].concat()
}

/// Some subpackets behind how long they are.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes(), bytes].concat()
}

/// All of ours are shorter than 192 bytes.
fn subpacket(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[u8::try_from(body.len() + 1).unwrap_or(u8::MAX), kind], body].concat()
}

/// A packet with the new form of header and a length of four bytes, which is read for every length.
fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0xc0 | tag, 0xff], &length[..], body].concat()
}
