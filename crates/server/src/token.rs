//! Tokens of OIDC issuers: a signature by the issuer's key under the one configured algorithm, for this service, now.
//!
//! Claims are read by the project's strict JSON, so that a token with a key twice has no meaning at all. The time is an
//! argument, as everywhere.

use std::fmt;
use std::sync::Arc;

use attest::json::parse;
use attest::{Json, Object};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::RwLock;

use crate::client::{Client, ClientTls};
use crate::config::{Issuer, Keys};
use crate::identity::Identity;

/// What clocks may differ.
const LEEWAY: i64 = 30;
/// An unknown key is looked for again, and not more often than this: tokens with made-up keys cost nothing.
const REFRESH: i64 = 30;
/// Keys are asked for again after so many seconds.
const OLDEST: i64 = 600;
const MAX_TOKEN: usize = 16 << 10;
const MAX_KEYS: u64 = 1 << 20;

/// Why a token does not say who somebody is. Never shows any of it.
#[derive(Debug)]
pub(crate) enum TokenError {
    /// No compact JWS with JSON in it.
    Malformed,
    /// From nobody whom the configuration names.
    Issuer,
    /// Signed with another algorithm.
    Algorithm,
    /// No key of the issuer made the signature.
    Signature,
    /// The issuer's keys cannot be had.
    Keys(String),
    /// Signed well, and not for this service, not now, or not with what is asked for.
    Claim(&'static str),
    /// A claim that the configuration asks for is absent or other.
    Asked(String),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the token cannot be read"),
            Self::Issuer => f.write_str("the token's issuer is not in the service's configuration"),
            Self::Algorithm => f.write_str("the token is signed with another algorithm than its issuer's"),
            Self::Signature => f.write_str("the token's signature is by no key of its issuer"),
            Self::Keys(why) => write!(f, "the keys of the token's issuer cannot be had: {why}"),
            Self::Claim(what) => f.write_str(what),
            Self::Asked(claim) => {
                write!(f, "the token's claim `{claim}` is not what the configuration asks for")
            }
        }
    }
}
impl std::error::Error for TokenError {}

/// The issuers and their keys.
#[derive(Debug)]
pub(crate) struct Tokens(Vec<Source>);

#[derive(Debug)]
struct Source {
    config: Issuer,
    keys: RwLock<KeySet>,
}

#[derive(Default)]
struct KeySet {
    keys: Arc<Vec<(Option<String>, DecodingKey)>>,
    fetched: Option<i64>,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Tokens {
    pub(crate) fn new(issuers: &[Issuer]) -> Self {
        let one = |config: &Issuer| Source { config: config.clone(), keys: RwLock::default() };
        Self(issuers.iter().map(one).collect())
    }

    /// Who the token says its bearer is.
    pub(crate) async fn identify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        let parts = Parts::read(token)?;
        let iss = parts.claims.string("iss").or(Err(TokenError::Issuer))?;
        let source = self.0.iter().find(|s| s.config.issuer == iss).ok_or(TokenError::Issuer)?;
        // the header may only agree: a token never chooses how it is checked (RFC 8725, section 3.1)
        if parts.header.string("alg").ok() != Some(name(source.config.algorithm)) {
            return Err(TokenError::Algorithm);
        }
        let key_id = parts.header.optional_string("kid").or(Err(TokenError::Malformed))?;
        source.check_signature(&parts, key_id, now.as_second()).await?;
        source.identity(&parts.claims, now.as_second())
    }
}

/// A compact JWS in its parts; nothing is proven about them.
struct Parts<'a> {
    header: Object,
    claims: Object,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn read(token: &'a str) -> Result<Self, TokenError> {
        let malformed = TokenError::Malformed;
        if token.len() > MAX_TOKEN || token.matches('.').count() != 2 {
            return Err(malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let object = |part: &str| -> Option<Object> {
            let json = parse(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
            json.as_object().ok().cloned()
        };
        let header = object(header).ok_or(TokenError::Malformed)?;
        // a critical extension that we do not know changes what is signed (RFC 7515, section 4.1.11)
        if header.iter().any(|(name, _)| matches!(name, "crit" | "b64")) {
            return Err(malformed);
        }
        Ok(Self { header, claims: object(claims).ok_or(malformed)?, signed, signature })
    }
}

impl Source {
    async fn check_signature(
        &self,
        parts: &Parts<'_>,
        key_id: Option<&str>,
        now: i64,
    ) -> Result<(), TokenError> {
        let (mut keys, fetched) = {
            let set = self.keys.read().await;
            (Arc::clone(&set.keys), set.fetched)
        };
        let is_known = |keys: &[(Option<String>, DecodingKey)]| candidates(keys, key_id).next().is_some();
        let age = fetched.map(|at| now.saturating_sub(at));
        // a key that the issuer withdrew counts no longer than this
        let is_stale = age.is_none_or(|age| age >= OLDEST);
        if is_stale || (!is_known(&keys) && age.is_none_or(|age| age >= REFRESH)) {
            keys = self.refresh(now).await?;
        }
        let signed_by = |key: &DecodingKey| {
            let (message, algorithm) = (parts.signed.as_bytes(), self.config.algorithm);
            jsonwebtoken::crypto::verify(parts.signature, message, key, algorithm).unwrap_or(false)
        };
        if candidates(&keys, key_id).any(signed_by) { Ok(()) } else { Err(TokenError::Signature) }
    }

    async fn refresh(&self, now: i64) -> Result<Arc<Vec<(Option<String>, DecodingKey)>>, TokenError> {
        let mut set = self.keys.write().await;
        if set.fetched.is_some_and(|at| now.saturating_sub(at) < REFRESH) {
            return Ok(Arc::clone(&set.keys));
        }
        set.fetched = Some(now);
        let text = fetch(&self.config.keys).await.map_err(TokenError::Keys)?;
        let json = parse(&text).map_err(|e| TokenError::Keys(e.to_string()))?;
        let keys = read_keys(&json, self.config.algorithm);
        set.keys = Arc::new(keys.ok_or_else(|| TokenError::Keys("they are no JWK set".to_owned()))?);
        Ok(Arc::clone(&set.keys))
    }

    fn identity(&self, claims: &Object, now: i64) -> Result<Identity, TokenError> {
        let time = |name: &str| claims.get(name).and_then(|t| t.as_int().ok());
        let is_audience = match claims.get("aud") {
            Some(Json::String(one)) => *one == self.config.audience,
            Some(Json::Array(many)) => many.iter().any(|a| a.as_str() == Ok(&self.config.audience)),
            _ => false,
        };
        if !is_audience {
            return Err(TokenError::Claim("the token is not for this service: its audience is another"));
        }
        if time("exp").is_none_or(|end| end.saturating_add(LEEWAY) <= now) {
            return Err(TokenError::Claim("the token has expired, or never expires"));
        }
        // a claim of another type than a time, `null` among them, is wrong and not absent (CVE-2026-25537)
        let is_said = |name: &str| claims.iter().any(|(claim, _)| claim == name);
        let is_early =
            |name: &str| is_said(name) && time(name).is_none_or(|t| t.saturating_sub(LEEWAY) > now);
        if is_early("nbf") || is_early("iat") {
            return Err(TokenError::Claim("the token is not valid yet: one of the clocks is wrong"));
        }
        for (name, wanted) in &self.config.claims {
            if claims.string(name).ok() != Some(wanted) {
                return Err(TokenError::Asked(name.clone()));
            }
        }
        // anybody can enter any address with some issuers
        if self.config.identity == "email" && claims.get("email_verified") != Some(&Json::Bool(true)) {
            return Err(TokenError::Asked("email_verified".to_owned()));
        }
        let name = claims.string(&self.config.identity).ok().filter(|name| !name.is_empty());
        let identity = name.ok_or_else(|| TokenError::Asked(self.config.identity.clone()))?.to_owned();
        Ok(Identity::Token { issuer: self.config.issuer.clone(), identity })
    }
}

/// The keys that a token may be signed with: the one it names, or each where it names none.
fn candidates<'a>(
    keys: &'a [(Option<String>, DecodingKey)],
    id: Option<&'a str>,
) -> impl Iterator<Item = &'a DecodingKey> {
    keys.iter().filter(move |(known, _)| id.is_none() || known.as_deref() == id).map(|(_, key)| key)
}

async fn fetch(keys: &Keys) -> Result<Vec<u8>, String> {
    match keys {
        Keys::File(path) => {
            tokio::fs::read(path).await.map_err(|e| format!("{} cannot be read: {e}", path.display()))
        }
        Keys::Url { url, ca } => {
            let tls = ClientTls { ca: ca.clone(), identity: None };
            let client = Client::new(url, &tls, None).map_err(|e| e.to_string())?;
            client.get_all(MAX_KEYS).await.map_err(|e| e.to_string())
        }
    }
}

/// The keys of a set that fit the algorithm. Keys of other kinds are none of ours.
fn read_keys(json: &Json, algorithm: Algorithm) -> Option<Vec<(Option<String>, DecodingKey)>> {
    let mut keys = Vec::new();
    for key in json.as_object().ok()?.get("keys")?.as_array().ok()? {
        let Ok(key) = key.as_object() else { continue };
        let is_for_signing = key.get("use").is_none_or(|u| u.as_str() == Ok("sig"));
        let is_for_this = key.get("alg").is_none_or(|a| a.as_str() == Ok(name(algorithm)));
        if let Some(decoding) = decoding_key(key, algorithm).filter(|_| is_for_signing && is_for_this) {
            keys.push((key.string("kid").ok().map(str::to_owned), decoding));
        }
    }
    Some(keys)
}

fn decoding_key(key: &Object, algorithm: Algorithm) -> Option<DecodingKey> {
    let field = |name: &str| key.string(name).ok();
    match (field("kty")?, algorithm) {
        ("EC", Algorithm::ES256) if field("crv")? == "P-256" => {
            DecodingKey::from_ec_components(field("x")?, field("y")?).ok()
        }
        ("EC", Algorithm::ES384) if field("crv")? == "P-384" => {
            DecodingKey::from_ec_components(field("x")?, field("y")?).ok()
        }
        ("OKP", Algorithm::EdDSA) if field("crv")? == "Ed25519" => {
            DecodingKey::from_ed_components(field("x")?).ok()
        }
        ("RSA", a) if name(a).starts_with(['R', 'P']) => {
            DecodingKey::from_rsa_components(field("n")?, field("e")?).ok()
        }
        _ => None,
    }
}

/// The algorithm's registered name; nothing that shares a secret has one here.
fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::EdDSA => "EdDSA",
        _ => "",
    }
}
