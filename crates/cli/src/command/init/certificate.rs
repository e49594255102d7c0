//! Certificates for trying things out on this machine: an authority made on the spot, and what it vouches for.
//!
//! X.509 version 3 with P-256, as RFC 5280 has it, and no more of it than these few need. A real choke point gets its
//! certificates from whoever issues them in its house.

use attest::{Digest, PublicKey, Scheme, SecretKey, Signer as _, pem};
use jiff::{SignedDuration, Timestamp};

use crate::command::keygen::make;
use crate::failure::Failure;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 1.3.6.1.5.5.7.3; its last number says what for.
const EXTENDED_USE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03];
const VALID: SignedDuration = SignedDuration::from_hours(24 * 365);
/// Another machine's clock may be behind.
const EARLIER: SignedDuration = SignedDuration::from_hours(-1);

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Authority,
    Server,
    Client,
}

/// An authority of one folder.
pub(super) struct Authority {
    name: String,
    key: SecretKey,
    at: Timestamp,
}

/// A certificate and its key, PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(name: &str, at: Timestamp) -> Result<Self, Failure> {
        Ok(Self { name: name.to_owned(), key: make(Scheme::P256)?, at })
    }

    /// The authority's own certificate. Its key goes nowhere: nothing can be issued in its name later.
    pub(super) fn certificate(&self) -> Result<String, Failure> {
        self.sign(&self.name, self.key.public(), Use::Authority, &[])
    }

    /// A certificate for a name. `alternatives` are DNS names and IP addresses.
    pub(super) fn issue(&self, name: &str, what_for: Use, alternatives: &[&str]) -> Result<Issued, Failure> {
        let key = make(Scheme::P256)?;
        let certificate = self.sign(name, key.public(), what_for, alternatives)?;
        let pem = key.to_pem(None).map_err(|e| failed(&e))?;
        Ok(Issued { certificate, key: pem.to_string() })
    }

    fn sign(
        &self,
        name: &str,
        key: &PublicKey,
        what_for: Use,
        alternatives: &[&str],
    ) -> Result<String, Failure> {
        let time = |by: SignedDuration| self.at.checked_add(by).map(time).map_err(|e| failed(&e));
        let algorithm = value(SEQUENCE, &[value(OBJECT, &[ECDSA_WITH_SHA256])]);
        let extensions = extensions(self.key.public(), key, what_for, alternatives);
        let certificate = value(
            SEQUENCE,
            &[
                value(0xa0, &[value(INTEGER, &[[2]])]),
                value(INTEGER, &[serial(key)]),
                algorithm.clone(),
                distinguished(&self.name),
                value(SEQUENCE, &[time(EARLIER)?, time(VALID)?]),
                distinguished(name),
                key.spki().to_vec(),
                value(0xa3, &[value(SEQUENCE, &extensions)]),
            ],
        );
        let signature = self.key.sign(&certificate).map_err(|e| failed(&e))?;
        let signed = [certificate, algorithm, bits(0, &signature)];
        Ok(pem::encode("CERTIFICATE", &value(SEQUENCE, &signed)))
    }
}

fn failed(why: &dyn std::fmt::Display) -> Failure {
    Failure::new("the certificate cannot be made").line("found", &why.to_string())
}

fn extensions(authority: &PublicKey, key: &PublicKey, what_for: Use, alternatives: &[&str]) -> Vec<Vec<u8>> {
    let is_authority = what_for == Use::Authority;
    let constraints = if is_authority { value(BOOLEAN, &[[0xff]]) } else { Vec::new() };
    // the authority signs certificates and lists of revoked ones; the others sign in a handshake
    let usage = if is_authority { bits(1, &[0x06]) } else { bits(7, &[0x80]) };
    let mut all = vec![
        extension(19, true, &value(SEQUENCE, &[constraints])),
        extension(15, true, &usage),
        extension(14, false, &value(OCTET_STRING, &[key_id(key)])),
        extension(35, false, &value(SEQUENCE, &[value(0x80, &[key_id(authority)])])),
    ];
    if !is_authority {
        let last = if what_for == Use::Server { 1 } else { 2 };
        let purpose = value(OBJECT, &[EXTENDED_USE, &[last]]);
        all.push(extension(37, false, &value(SEQUENCE, &[purpose])));
    }
    if !alternatives.is_empty() {
        let names: Vec<Vec<u8>> = alternatives.iter().map(|name| alternative(name)).collect();
        all.push(extension(17, false, &value(SEQUENCE, &names)));
    }
    all
}

fn extension(number: u8, is_critical: bool, content: &[u8]) -> Vec<u8> {
    let critical = if is_critical { value(BOOLEAN, &[[0xff]]) } else { Vec::new() };
    value(SEQUENCE, &[value(OBJECT, &[[0x55, 0x1d, number]]), critical, value(OCTET_STRING, &[content])])
}

fn alternative(name: &str) -> Vec<u8> {
    match name.parse() {
        Ok(std::net::IpAddr::V4(address)) => value(0x87, &[address.octets()]),
        Ok(std::net::IpAddr::V6(address)) => value(0x87, &[address.octets()]),
        Err(_) => value(0x82, &[name.as_bytes()]),
    }
}

fn distinguished(name: &str) -> Vec<u8> {
    let pair = value(SEQUENCE, &[value(OBJECT, &[COMMON_NAME]), value(UTF8_STRING, &[name.as_bytes()])]);
    value(SEQUENCE, &[value(SET, &[pair])])
}

fn key_id(key: &PublicKey) -> Vec<u8> {
    Digest::sha256(key.spki()).bytes().iter().copied().take(20).collect()
}

/// Positive, and no two keys have the same.
fn serial(key: &PublicKey) -> Vec<u8> {
    let mut serial: Vec<u8> = key_id(key).into_iter().take(16).collect();
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    serial
}

/// RFC 5280, section 4.1.2.5: two digits of the year until 2049, then four.
fn time(at: Timestamp) -> Vec<u8> {
    let digits: String = at.to_string().chars().take(19).filter(char::is_ascii_digit).collect();
    match digits.strip_prefix("20").filter(|short| *short < "5") {
        Some(short) => value(UTC_TIME, &[format!("{short}Z").as_bytes()]),
        None => value(GENERALIZED_TIME, &[format!("{digits}Z").as_bytes()]),
    }
}

fn bits(unused: u8, bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[unused], bytes])
}

/// One value: its tag, its length, its parts.
fn value<P: AsRef<[u8]>>(tag: u8, parts: &[P]) -> Vec<u8> {
    let content: Vec<u8> = parts.iter().flat_map(|part| part.as_ref().iter().copied()).collect();
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ 0..=0x7f) => out.push(short),
        Ok(byte) => out.extend([0x81, byte]),
        Err(_) => {
            out.push(0x82);
            out.extend(u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend(content);
    out
}
