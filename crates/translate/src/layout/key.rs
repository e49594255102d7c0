//! A key as layouts carry it: keytype, scheme, value. The key's own bytes decide the algorithm; the names must agree.

use std::fmt;

use attest::digest::parse_hex;
use attest::{Object, PublicKey, Scheme};

/// Why a key in a layout cannot count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRefused(pub(super) String);

impl fmt::Display for KeyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for KeyRefused {}

/// Reads a key.
///
/// # Errors
/// [`KeyRefused`] for kinds that are not verified here, names that do not fit the key, and a private half.
pub fn read_key(object: &Object) -> Result<PublicKey, KeyRefused> {
    let refuse = |why: &str| KeyRefused(why.to_owned());
    let text = |object: &Object, key: &str| {
        object.string(key).map(str::to_owned).map_err(|e| KeyRefused(format!("a malformed key: {e}")))
    };
    let (kind, scheme) = (text(object, "keytype")?, text(object, "scheme")?);
    let value = object.object("keyval").map_err(|e| KeyRefused(format!("a malformed key: {e}")))?;
    if value.optional_string("private").ok().flatten().is_some_and(|private| !private.is_empty()) {
        return Err(refuse("a private key is published with it: whoever reads the layout can sign with it"));
    }
    let certificate = value.optional_string("certificate").ok().flatten().unwrap_or_default();
    if !certificate.is_empty() {
        return Err(refuse("a certificate, which is not verified here"));
    }
    let public = text(value, "public")?;
    let wanted = match (kind.as_str(), scheme.as_str()) {
        ("ed25519", "ed25519") => Scheme::Ed25519,
        ("rsa", "rsassa-pss-sha256") => Scheme::RsaPss,
        ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => Scheme::P256,
        ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => Scheme::P384,
        _ => {
            return Err(KeyRefused(format!("a key of type {kind} for {scheme}, which is not verified here")));
        }
    };
    let key = match parse_hex(&public) {
        Some(raw) if wanted == Scheme::Ed25519 => PublicKey::from_raw(Scheme::Ed25519, &raw),
        _ => PublicKey::from_pem(&public),
    };
    let key = key.map_err(|e| KeyRefused(e.to_string()))?;
    if key.scheme() != wanted {
        return Err(KeyRefused(format!("called {scheme}, and it is a key for {}", key.scheme().name())));
    }
    Ok(key)
}
