//! The shared test data: `PORTCULLIS_DATA`, or `../shared/data` beside the clone. In CI it must be there.
#![allow(dead_code, reason = "not every test uses every function")]

use std::path::PathBuf;

use attest::Json;

/// A folder of the shared data; nothing, said loudly, where it is absent outside CI.
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
pub fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "the shared data must be there in CI: {}", path.display());
    eprintln!("\n*** SKIPPED: no shared data at {}; this test checked NOTHING ***\n", path.display());
    None
}

pub fn json(path: &std::path::Path) -> Json {
    let bytes = std::fs::read(path).unwrap();
    attest::json::parse(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn hex(text: &str) -> Vec<u8> {
    attest::digest::parse_hex(text).unwrap()
}

/// Base64url without padding.
pub fn b64u(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The key of a JWK, where its kind is one that we verify with.
pub fn jwk(key: &attest::Object) -> Option<attest::PublicKey> {
    use attest::{PublicKey, Scheme};
    let field = |name: &str| key.string(name).ok().map(b64u);
    match key.string("kty").ok()? {
        "EC" => {
            let scheme = match key.string("crv").ok()? {
                "P-256" => Scheme::P256,
                "P-384" => Scheme::P384,
                _ => return None,
            };
            let width = if scheme == Scheme::P256 { 32 } else { 48 };
            let pad = |bytes: Vec<u8>| [vec![0; width - bytes.len().min(width)], bytes].concat();
            PublicKey::from_raw(scheme, &[vec![4], pad(field("x")?), pad(field("y")?)].concat()).ok()
        }
        "OKP" => PublicKey::from_raw(Scheme::Ed25519, &field("x")?).ok(),
        "RSA" => {
            let integer = |bytes: Vec<u8>| {
                let bytes = if bytes.first().is_some_and(|b| b & 0x80 != 0) {
                    [vec![0], bytes].concat()
                } else {
                    bytes
                };
                tlv(2, &bytes)
            };
            let raw = tlv(0x30, &[integer(field("n")?), integer(field("e")?)].concat());
            PublicKey::from_raw(Scheme::RsaPss, &raw).ok()
        }
        _ => None,
    }
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    let head = match length {
        0..=127 => vec![tag, length as u8],
        128..=255 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head, value.to_vec()].concat()
}
