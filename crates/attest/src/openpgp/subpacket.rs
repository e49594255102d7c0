//! The subpackets of a signature: what it says about itself. Only the hashed ones are signed.

use super::OpenPgpError;
use super::packet::Reader;

pub(super) const CREATED: u8 = 2;
const EXPIRES: u8 = 3;
const KEY_EXPIRES: u8 = 9;
pub(super) const ISSUER: u8 = 16;
pub(super) const KEY_FLAGS: u8 = 27;
const EMBEDDED: u8 = 32;
pub(super) const FINGERPRINT: u8 = 33;
const CRITICAL: u8 = 0x80;
/// The flag of keys that sign data.
pub(super) const SIGNS: u8 = 2;

/// What is read of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subpackets {
    /// When it was made, in seconds since 1970, as the signer says.
    pub(super) created: u32,
    /// How many seconds later it ends to be good; 0 is never.
    pub(super) expires: u32,
    /// Every key id and fingerprint, signed or not: a signature that names two keys names none.
    pub(super) issuers: Vec<Vec<u8>>,
    /// In a binding: whether the subkey is one for signing data.
    pub(super) is_for_signing: bool,
    /// In a binding: the subkey's own signature.
    pub(super) embedded: Option<Vec<u8>>,
}

impl Subpackets {
    pub(super) fn read(hashed: &[u8], unhashed: &[u8]) -> Result<Self, OpenPgpError> {
        let mut found = Self::default();
        let (mut created, mut expires, mut flags) = (None, None, None);
        let mut reader = Reader::new(hashed);
        while !reader.is_done() {
            let (kind, body) = reader.subpacket()?;
            let once = match kind & !CRITICAL {
                CREATED => created.replace(number(body)?).is_none(),
                EXPIRES => expires.replace(number(body)?).is_none(),
                KEY_FLAGS => flags.replace(body.first().copied().unwrap_or_default()).is_none(),
                _ => found.either(kind, body)?,
            };
            if !once {
                return Err(OpenPgpError::Malformed("each hashed subpacket once"));
            }
        }
        let mut reader = Reader::new(unhashed);
        while !reader.is_done() {
            let (kind, body) = reader.subpacket()?;
            if !found.either(kind, body)? {
                return Err(OpenPgpError::Malformed("one embedded signature"));
            }
        }
        found.created =
            created.ok_or(OpenPgpError::Malformed("the time of the signature among what it signs"))?;
        found.expires = expires.unwrap_or_default();
        found.is_for_signing = flags.is_some_and(|flags: u8| flags & SIGNS != 0);
        Ok(found)
    }

    /// A subpacket that may stand in both areas; false where it was there before and may not be twice.
    fn either(&mut self, kind: u8, body: &[u8]) -> Result<bool, OpenPgpError> {
        match kind & !CRITICAL {
            ISSUER if body.len() == 8 => self.issuers.push(body.to_vec()),
            FINGERPRINT => match body.split_first() {
                Some((4, fingerprint)) if fingerprint.len() == 20 => self.issuers.push(fingerprint.to_vec()),
                _ => return Err(OpenPgpError::Malformed("the fingerprint of a version 4 key")),
            },
            EMBEDDED => return Ok(self.embedded.replace(body.to_vec()).is_none()),
            ISSUER => return Err(OpenPgpError::Malformed("a key id of 8 bytes")),
            // the trust root's window decides
            KEY_EXPIRES => {}
            other if kind & CRITICAL != 0 => return Err(OpenPgpError::Critical(other)),
            _ => {}
        }
        Ok(true)
    }
}

fn number(body: &[u8]) -> Result<u32, OpenPgpError> {
    let bytes = body.try_into().or(Err(OpenPgpError::Malformed("a time of 4 bytes")))?;
    Ok(u32::from_be_bytes(bytes))
}
