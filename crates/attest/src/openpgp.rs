//! OpenPGP (RFC 4880, RFC 9580) as far as evidence needs it: version 4 keys and signatures, armored or binary, and
//! clear-signed text. Strict and bounded, and no more of it: no packets but those, no web of trust, no key servers.
//!
//! A key counts because the reviewed trust root lists it, in its own window. So a block's user ids, self-signatures and
//! dates are not read. A subkey is another key that nobody reviewed by itself: it counts only where the listed primary
//! key signed that it is one for signing, and the subkey signed back. The time of a signature is its signer's claim.
//!
//! [`SigningKey`] writes what the rest reads: detached signatures, clear-signed text, and the block of its own public key.

use std::fmt;

use jiff::Timestamp;

mod armor;
mod block;
mod cleartext;
mod packet;
mod sign;
mod signature;
mod subpacket;

pub use block::read_keys;
pub use cleartext::ClearSigned;
pub use sign::{NotSigned, SigningKey};
pub use signature::Signature;

/// The first line of a clear-signed text.
pub const SIGNED_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";

/// How an OpenPGP key is called: what a signature's hints must agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyName {
    pub(crate) fingerprint: [u8; 20],
    pub(crate) created: u32,
    pub(crate) algorithm: u8,
}

/// Why something is no OpenPGP that is accepted, or does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenPgpError {
    /// Not as the format asks; the field says what was wanted.
    Malformed(&'static str),
    /// A part of OpenPGP that is known and not accepted; the field is its name.
    Refused(String),
    /// A critical subpacket that is not understood; the field is its number.
    Critical(u8),
    /// The signature does not verify under the key, or names another one.
    NotByKey,
    /// The signature was made, as it says, before the key was.
    OlderThanKey,
    /// The signature was good until this time, as it says.
    Expired(Timestamp),
}

impl fmt::Display for OpenPgpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(wanted) => write!(f, "malformed OpenPGP: wanted {wanted}"),
            Self::Refused(what) => write!(
                f,
                "{what} is not accepted in OpenPGP (wanted version 4, SHA-256, SHA-384 or SHA-512 and RSA, Ed25519, \
                 P-256 or P-384)"
            ),
            Self::Critical(number) => {
                write!(
                    f,
                    "its OpenPGP signature has the critical subpacket {number}, which is not understood"
                )
            }
            Self::NotByKey => f.write_str("the OpenPGP signature does not verify under the key"),
            Self::OlderThanKey => f.write_str("the OpenPGP signature says that it is older than its key"),
            Self::Expired(until) => write!(f, "the OpenPGP signature says that it expires, at {until}"),
        }
    }
}
impl std::error::Error for OpenPgpError {}
