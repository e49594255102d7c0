//! A log entry in protobuf, `dev.sigstore.rekor.v1.TransparencyLogEntry`, said again in a bundle's JSON.
//!
//! Read so that there is one reading: no field that is unknown, of another type, or there twice.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::CmsError;
use crate::json::{Json, Object};

/// A tree of 2⁶⁴ leaves needs no longer proof.
const MAX_HASHES: usize = 64;

/// The fields of one message.
#[derive(Default)]
struct Message<'a> {
    numbers: BTreeMap<u64, u64>,
    bytes: BTreeMap<u64, &'a [u8]>,
    repeated: Vec<&'a [u8]>,
}

/// The entry, with the body that was left out of it.
pub(super) fn read(bytes: &[u8], body: &str) -> Result<Object, CmsError> {
    let entry = Message::read(bytes, &[1, 4], &[2, 3, 5, 6], None).ok_or(malformed())?;
    let part = |number, fields: &[u64]| {
        let part = entry.bytes.get(&number)?;
        Message::read(part, &[], fields, None)
    };
    let kind = part(3, &[1, 2]).ok_or(malformed())?;
    if (kind.bytes(1), kind.bytes(2)) != (b"hashedrekord", b"0.0.1") {
        return Err(CmsError::Unsupported("a log entry of the kind hashedrekord 0.0.1"));
    }
    let kind = Object::new().with("kind", "hashedrekord").with("version", "0.0.1");
    let log = part(2, &[1]).ok_or(malformed())?;
    let mut object = Object::new()
        .with("logIndex", entry.number(1))
        .with("logId", Object::new().with("keyId", STANDARD.encode(log.bytes(1))))
        .with("kindVersion", kind)
        .with("integratedTime", entry.number(4))
        .with("canonicalizedBody", body);
    if entry.bytes.contains_key(&5) {
        let promise = part(5, &[1]).ok_or(malformed())?;
        let promise = Object::new().with("signedEntryTimestamp", STANDARD.encode(promise.bytes(1)));
        object.set("inclusionPromise", promise);
    }
    if let Some(proof) = entry.bytes.get(&6) {
        object.set("inclusionProof", read_proof(proof).ok_or(malformed())?);
    }
    Ok(object)
}

fn read_proof(bytes: &[u8]) -> Option<Object> {
    let proof = Message::read(bytes, &[1, 3], &[2, 5], Some(4))?;
    let checkpoint = Message::read(proof.bytes.get(&5)?, &[], &[1], None)?;
    let checkpoint = std::str::from_utf8(checkpoint.bytes(1)).ok()?;
    let hashes = proof.repeated.iter().map(|hash| Json::from(STANDARD.encode(hash))).collect();
    let proof = Object::new()
        .with("logIndex", proof.number(1))
        .with("rootHash", STANDARD.encode(proof.bytes(2)))
        .with("treeSize", proof.number(3))
        .with("hashes", Json::Array(hashes));
    Some(proof.with("checkpoint", Object::new().with("envelope", checkpoint)))
}

impl<'a> Message<'a> {
    /// Reads a message whose fields are these numbers, these byte strings, and one that may be repeated.
    fn read(mut rest: &'a [u8], numbers: &[u64], bytes: &[u64], repeated: Option<u64>) -> Option<Self> {
        let mut message = Self::default();
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            let (field, wire) = (key >> 3, key & 7);
            let value = varint(&mut rest)?;
            if wire == 0 && numbers.contains(&field) {
                // a negative place or time is none
                i64::try_from(value).ok()?;
                message.numbers.insert(field, value).is_none().then_some(())?;
                continue;
            }
            let (value, after) = rest.split_at_checked(usize::try_from(value).ok()?)?;
            rest = after;
            if wire == 2 && bytes.contains(&field) {
                message.bytes.insert(field, value).is_none().then_some(())?;
            } else if wire == 2 && repeated == Some(field) && message.repeated.len() < MAX_HASHES {
                message.repeated.push(value);
            } else {
                return None;
            }
        }
        Some(message)
    }

    /// Absent means zero.
    fn number(&self, field: u64) -> String {
        self.numbers.get(&field).copied().unwrap_or_default().to_string()
    }

    /// Absent means empty.
    fn bytes(&self, field: u64) -> &'a [u8] {
        self.bytes.get(&field).copied().unwrap_or_default()
    }
}

/// A number of at most 64 bits, in as few bytes as it needs.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        value |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            return (byte != 0 || shift == 0).then_some(value);
        }
    }
    None
}

fn malformed() -> CmsError {
    CmsError::Malformed("a log entry in protobuf, each field once")
}
