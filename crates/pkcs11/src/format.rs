//! Between a token's forms and ours: curve names, points in wrappings, signatures as two numbers.

use attest::{PublicKey, Scheme};

const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;

/// The curve that a key's parameters name: an object identifier, or a name, as older tokens have it for Ed25519.
pub(crate) fn scheme(parameters: &[u8]) -> Option<Scheme> {
    match parameters {
        [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => Some(Scheme::P256),
        [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22] => Some(Scheme::P384),
        [0x06, 0x03, 0x2b, 0x65, 0x70] => Some(Scheme::Ed25519),
        [0x13, 0x0c, name @ ..] if name == b"edwards25519" => Some(Scheme::Ed25519),
        _ => None,
    }
}

/// The public key at a point: bare, or in an OCTET STRING as PKCS#11 asks, or in a BIT STRING as some tokens have it.
pub(crate) fn public_key(scheme: Scheme, point: &[u8]) -> Option<PublicKey> {
    let bare = match scheme {
        Scheme::P256 => 65,
        Scheme::P384 => 97,
        _ => 32,
    };
    let raw = match point {
        raw if raw.len() == bare => raw,
        [OCTET_STRING, length, raw @ ..] if raw.len() == bare && usize::from(*length) == bare => raw,
        [BIT_STRING, length, 0, raw @ ..] if raw.len() == bare && usize::from(*length) == bare + 1 => raw,
        _ => return None,
    };
    PublicKey::from_raw(scheme, raw).ok()
}

/// `r || s` as the SEQUENCE of two INTEGERs that everybody else exchanges. Every length fits one byte up to P-384.
pub(crate) fn ecdsa_der(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.is_empty() || raw.len() > 96 || !raw.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = raw.split_at_checked(raw.len() / 2)?;
    let body = [integer(r)?, integer(s)?].concat();
    Some([&[SEQUENCE, u8::try_from(body.len()).ok()?], body.as_slice()].concat())
}

/// Shortest form: no leading zeros, but one where the number would look negative.
fn integer(number: &[u8]) -> Option<Vec<u8>> {
    let first = number.iter().position(|b| *b != 0)?;
    let digits = number.get(first..)?;
    let sign: &[u8] = if digits.first().is_some_and(|b| *b >= 0x80) { &[0] } else { &[] };
    let length = u8::try_from(sign.len() + digits.len()).ok()?;
    Some([&[INTEGER, length], sign, digits].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use attest::{SecretKey, Signer as _};

    #[test]
    fn numbers_have_their_shortest_form() {
        assert_eq!(ecdsa_der(&[0, 1, 0x80, 0]), Some(vec![0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 0]));
        assert_eq!(ecdsa_der(&[0, 0, 0, 1]), None, "zero is no number of a signature");
        assert_eq!(ecdsa_der(&[1, 2, 3]), None);
        assert_eq!(ecdsa_der(&[]), None);
        assert_eq!(ecdsa_der(&[1; 98]), None);
    }

    #[test]
    fn a_signature_in_two_numbers_verifies_in_der() {
        for scheme in [Scheme::P256, Scheme::P384] {
            let key = SecretKey::generate(scheme).unwrap();
            for message in 0..200_u8 {
                let raw = key.sign_jose(&[message]).unwrap();
                let der = ecdsa_der(&raw).unwrap();
                key.public().verify_der(&[message], &der).unwrap();
            }
        }
    }

    #[test]
    fn a_point_is_read_in_each_wrapping_and_no_other() {
        for scheme in [Scheme::P256, Scheme::P384, Scheme::Ed25519] {
            let key = SecretKey::generate(scheme).unwrap();
            let raw = key.public().raw();
            let length = u8::try_from(raw.len()).unwrap();
            let octets = [&[4, length], raw].concat();
            let bits = [&[3, length + 1, 0], raw].concat();
            for good in [raw, &octets, &bits] {
                assert_eq!(public_key(scheme, good).as_ref(), Some(key.public()), "{scheme:?}");
            }
            let long = [&octets[..], &[0]].concat();
            let wrong_length = [&[4, length - 1], raw].concat();
            for bad in [&raw[1..], &long, &wrong_length, &[]] {
                assert_eq!(public_key(scheme, bad), None, "{scheme:?}");
            }
        }
    }
}
