//! The chapter's form of provenance: a JWT whose subject is an RFC 6920 name.
//!
//! Compact JWS only (RFC 7515). The algorithm is the key's; the header may only agree. Written from and read into
//! the same [`Provenance`] as SLSA's form.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use crate::der::{INTEGER, Reader};
use crate::digest::{Algorithm, Digest, DigestSet};
use crate::json::{self, Json, Object, ShapeError, each};
use crate::key::{PublicKey, Scheme};
use crate::ni;
use crate::provenance::{Provenance, Source};
use crate::secret::{SignError, Signer};
use crate::statement::{Predicate, Statement, StatementError, Subject};

/// The header's `typ`.
pub const TYPE: &str = "provenance+jwt";
const MAX_TOKEN: usize = 1 << 20;

/// A compact JWS: not authentic until [`Jws::verify`] says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jws {
    header: Object,
    signed: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl Jws {
    /// Parses `header.payload.signature`. Padding, white space, other part counts, `crit`, and `b64` are refused.
    #[must_use]
    pub fn parse(token: &str) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let mut parts = token.split('.');
        let (head, body, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let header = match json::parse(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()? {
            Json::Object(header) => header,
            _ => return None,
        };
        // a critical extension that we do not know changes what is signed (RFC 7515, section 4.1.11)
        if header.iter().any(|(name, _)| matches!(name, "crit" | "b64")) {
            return None;
        }
        header.string("alg").ok()?;
        Some(Self {
            header,
            signed: format!("{head}.{body}").into_bytes(),
            payload: URL_SAFE_NO_PAD.decode(body).ok()?,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// The payload, if the key signed it. `none` and the HMAC family have no key here and cannot verify.
    #[must_use]
    pub fn verify(&self, key: &PublicKey) -> Option<&[u8]> {
        let named = self.header.string("alg").ok()?;
        if !names(key.scheme()).contains(&named) {
            return None;
        }
        key.verify_jose(&self.signed, &self.signature).ok()?;
        Some(&self.payload)
    }

    /// The header's `typ`.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.header.string("typ").ok()
    }

    /// The payload before anything is proven about it.
    #[must_use]
    pub(crate) fn unproven_payload(&self) -> &[u8] {
        &self.payload
    }
}

/// The `alg` names of a key's one algorithm (RFC 7518, RFC 8037, RFC 9864, and the ML-DSA registration).
fn names(scheme: Scheme) -> &'static [&'static str] {
    match scheme {
        Scheme::P256 => &["ES256"],
        Scheme::P384 => &["ES384"],
        Scheme::Ed25519 => &["EdDSA", "Ed25519"],
        Scheme::RsaPss => &["PS256"],
        Scheme::RsaPkcs1 => &["RS256"],
        Scheme::MlDsa65 => &["ML-DSA-65"],
    }
}

/// Signs the record for one artifact: the same record that SLSA's form is written from, with whatever signs.
///
/// # Errors
/// [`SignError`] where the key cannot sign, or the digest has no RFC 6920 name.
pub fn sign(provenance: &Provenance, digest: &Digest, signer: &dyn Signer) -> Result<String, SignError> {
    let algorithm = names(signer.public().scheme()).first().copied().ok_or(SignError)?;
    let header = Object::new().with("alg", algorithm).with("typ", TYPE);
    let claims = write_claims(provenance, &ni::write(digest).ok_or(SignError)?);
    let part = |object: &Object| URL_SAFE_NO_PAD.encode(object.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = jose(signer.public().scheme(), signer.sign(signed.as_bytes())?).ok_or(SignError)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// A signature in JOSE's form: `r || s` of fixed width for ECDSA (RFC 7518, section 3.4), which signers give as DER.
fn jose(scheme: Scheme, signature: Vec<u8>) -> Option<Vec<u8>> {
    let width = match scheme {
        Scheme::P256 => 32,
        Scheme::P384 => 48,
        Scheme::Ed25519 | Scheme::RsaPss | Scheme::RsaPkcs1 | Scheme::MlDsa65 => return Some(signature),
    };
    let mut numbers = Reader::new(&signature).sequence()?;
    let mut out = Vec::with_capacity(2 * width);
    for number in [numbers.take(INTEGER)?, numbers.take(INTEGER)?] {
        // DER puts a zero before a number whose first bit is set, and leaves out zeros that the fixed form has
        let digits = number.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<u8>>();
        out.extend(std::iter::repeat_n(0, width.checked_sub(digits.len())?));
        out.extend(digits);
    }
    Some(out)
}

/// The statement that a token's payload makes.
pub(crate) fn read_statement(payload: &[u8]) -> Result<Statement, StatementError> {
    let value = json::parse(payload).map_err(StatementError::Json)?;
    let claims = value.as_object()?;
    let name = claims.string("sub")?;
    let digest =
        ni::parse(name).ok_or_else(|| ShapeError::new("sub", "an RFC 6920 name, ni:///sha-256;…", name))?;
    Ok(Statement {
        subjects: vec![Subject { name: String::new(), digests: digest.into() }],
        predicate_type: TYPE.to_owned(),
        predicate: Predicate::Provenance(Box::new(read_claims(claims)?)),
    })
}

fn write_claims(provenance: &Provenance, sub: &str) -> Object {
    let mut input = Object::new();
    if let Some(source) = &provenance.source {
        input.set("source_uri", source.repository.as_str());
        input.set_some("ref", source.reference.as_deref());
        input.set("version", source.digests.to_json());
        input.set_some("committed", source.committed.map(|t| t.as_second()));
        input.set_some("kept_until", source.kept_until.map(|t| t.as_second()));
        if !source.history.is_empty() {
            input.set("history", Json::Array(source.history.iter().map(|c| c.to_json()).collect()));
        }
    }
    let dependencies = provenance.dependencies.iter().map(crate::provenance::write_dependency);
    input.set("dependencies", Json::Array(dependencies.collect()));
    let environment =
        provenance.environment.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect();
    let mut claims = Object::new().with("sub", sub).with("iss", provenance.builder_id.as_str());
    claims.set_some("iat", provenance.finished.map(|t| t.as_second()));
    claims.set_some("jti", provenance.invocation.as_deref());
    claims.set("fmt", provenance.format.as_str());
    claims.set("build_type", provenance.build_type.as_str());
    claims.set_some("builder_version", provenance.builder_version.as_deref());
    claims.set("input", input);
    claims.set_some("target", provenance.target.as_deref());
    claims.set("parameters", provenance.parameters.clone());
    claims.set_some("cmd", provenance.command.clone());
    claims.set("env", Json::Object(environment));
    claims.set("hermetic", provenance.hermetic);
    claims.set_some("isolation", provenance.isolation.as_ref().map(crate::provenance::Isolation::to_json));
    claims.set_some("cached_from", provenance.cached_from.as_ref().map(Digest::to_string));
    claims.set_some("started", provenance.started.map(|t| t.as_second()));
    claims
}

/// Claims that say when a token does not count, and for whom it is. Provenance has none of them, and what nobody compares
/// must not be passed over (RFC 7519, sections 4.1.3 to 4.1.5).
const NOT_OURS: [&str; 3] = ["exp", "nbf", "aud"];

fn read_claims(claims: &Object) -> Result<Provenance, ShapeError> {
    if let Some(name) = NOT_OURS.into_iter().find(|name| says(claims, name)) {
        return Err(ShapeError::new(name, "no such claim in provenance", "one that is not compared here"));
    }
    let input = claims.object("input")?;
    let text = |key: &str| Ok::<_, ShapeError>(claims.optional_string(key)?.map(str::to_owned));
    let source = match input.optional_string("source_uri").map_err(|e| e.within("input"))? {
        Some(uri) => Some(read_source(uri, input).map_err(|e| e.within("input"))?),
        None => None,
    };
    let command = each("cmd", claims.optional_array("cmd")?, |w| w.as_str().map(str::to_owned))?;
    let dependencies = input.optional_array("dependencies").map_err(|e| e.within("input"))?;
    Ok(Provenance {
        format: text("fmt")?.unwrap_or_else(|| "1.0".to_owned()),
        build_type: text("build_type")?.unwrap_or_default(),
        builder_id: text("iss")?.unwrap_or_default(),
        builder_version: text("builder_version")?,
        source,
        target: text("target")?,
        parameters: claims.optional_object("parameters")?.cloned().unwrap_or_default(),
        dependencies: each("dependencies", dependencies, crate::provenance::read_dependency)
            .map_err(|e| e.within("input"))?,
        command: (!command.is_empty()).then_some(command),
        environment: crate::provenance::read_environment(claims.optional_object("env")?)?,
        hermetic: claims.flag("hermetic")?,
        isolation: crate::provenance::Isolation::read(claims.optional_object("isolation")?)
            .map_err(|e| e.within("isolation"))?,
        cached_from: match claims.optional_string("cached_from")? {
            Some(text) => Some(
                Digest::parse(text)
                    .map_err(|e| ShapeError::new("cached_from", "a digest", &e.to_string()))?,
            ),
            None => None,
        },
        trigger: None,
        runner: None,
        invocation: text("jti")?,
        started: seconds(claims, "started")?,
        finished: seconds(claims, "iat")?,
    })
}

fn read_source(uri: &str, input: &Object) -> Result<Source, ShapeError> {
    let digests = match input.get("version") {
        None => DigestSet::default(),
        Some(Json::String(commit)) => Digest::from_hex(Algorithm::GitCommit, commit)
            .map_err(|e| ShapeError::new("version", "a git commit id", &e.to_string()))?
            .into(),
        Some(value) => DigestSet::read(value.as_object().map_err(|e| e.within("version"))?)?,
    };
    Ok(Source {
        repository: uri.to_owned(),
        reference: input.optional_string("ref")?.map(str::to_owned),
        digests,
        committed: seconds(input, "committed")?,
        tagged_branch: None,
        kept_until: seconds(input, "kept_until")?,
        history: each("history", input.optional_array("history")?, crate::provenance::read_commit)?,
    })
}

/// Whether the claim is there at all; a `null` is.
fn says(object: &Object, key: &str) -> bool {
    object.iter().any(|(name, _)| name == key)
}

/// A NumericDate. One of another JSON type is an error and never "absent" (CVE-2026-25537).
fn seconds(object: &Object, key: &str) -> Result<Option<Timestamp>, ShapeError> {
    if !says(object, key) {
        return Ok(None);
    }
    let number = object.int(key)?;
    let bad = || ShapeError::new(key, "seconds since 1970", &number.to_string());
    Timestamp::from_second(number).map(Some).or(Err(bad()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretKey;

    #[test]
    fn what_any_signer_signs_has_the_width_that_jose_wants() {
        for (scheme, width) in [(Scheme::P256, 64), (Scheme::P384, 96), (Scheme::Ed25519, 64)] {
            let key = SecretKey::generate(scheme).unwrap();
            // short numbers come up once in some hundred signatures
            for round in 0..600_u32 {
                let message = round.to_be_bytes();
                let signature = jose(scheme, key.sign(&message).unwrap()).unwrap();
                assert_eq!(signature.len(), width, "{scheme:?}");
                assert!(key.public().verify_jose(&message, &signature).is_ok(), "{scheme:?}, round {round}");
            }
        }
    }

    #[test]
    fn a_number_that_is_too_long_is_no_signature() {
        let number = |bytes: &[u8]| crate::der::encode(INTEGER, bytes);
        let pair = |r: &[u8], s: &[u8]| crate::der::sequence(&[number(r), number(s)]);
        assert_eq!(jose(Scheme::P256, pair(&[1; 33], &[1; 32])), None);
        assert_eq!(jose(Scheme::P256, pair(&[1; 32], &[])).map(|s| s.len()), Some(64));
        assert_eq!(jose(Scheme::P256, vec![1, 2, 3]), None);
    }
}
