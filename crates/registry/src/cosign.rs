//! What cosign 2 attaches to an image: a layer with the envelope, and beside it, in annotations, certificate and log entry.
//! Together they are a Sigstore bundle of its first version.

use std::collections::BTreeMap;
use std::fmt;

use attest::json::{self, Limits, ShapeError};
use attest::{Json, Object, pem};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const LOGGED: &str = "dev.sigstore.cosign/bundle";

/// What cosign 2 writes beside an envelope, as far as it is read. Covered by the digest of the manifest, and by no signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cosign {
    /// `dev.sigstore.cosign/certificate`: PEM.
    pub certificate: Option<String>,
    /// `dev.sigstore.cosign/bundle`: the transparency log's promise, JSON.
    pub bundle: Option<String>,
}

/// Why a layer and what stands beside it are no envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CosignError {
    /// A certificate without a log entry: nothing says that it counted when it signed.
    NeedsLogEntry,
    /// The layer is no JSON object.
    Envelope(String),
    /// An annotation of another shape.
    Shape(ShapeError),
}

impl fmt::Display for CosignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsLogEntry => f.write_str(
                "it carries a certificate and no proof of when it was signed: needs the log entry, as in a Sigstore bundle",
            ),
            Self::Envelope(why) => write!(f, "no envelope: {why}"),
            Self::Shape(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for CosignError {}

impl From<ShapeError> for CosignError {
    fn from(e: ShapeError) -> Self {
        Self::Shape(e)
    }
}

impl Cosign {
    pub(crate) fn read(annotations: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| annotations.get(key).filter(|text| !text.is_empty()).cloned();
        Self { certificate: text(CERTIFICATE), bundle: text(LOGGED) }
    }

    /// The envelope of a layer: a bundle of it and of the certificate beside it; without one it is signed by a key, and
    /// stands for itself.
    pub(crate) fn envelope(&self, layer: &[u8]) -> Result<Vec<u8>, CosignError> {
        let Some(certificate) = &self.certificate else { return Ok(layer.to_vec()) };
        let entry = self.bundle.as_ref().ok_or(CosignError::NeedsLogEntry)?;
        let dsse = object(layer).map_err(CosignError::Envelope)?;
        let bad = |key: &str, wanted: &str| ShapeError::new(key, wanted, "something else");
        let (_, leaf) = pem::decode(certificate).ok_or_else(|| bad(CERTIFICATE, "one certificate in PEM"))?;
        let entry = object(entry.as_bytes()).map_err(|why| ShapeError::new(LOGGED, "JSON", &why))?;
        let leaf = Object::new().with("rawBytes", STANDARD.encode(leaf));
        let material = Object::new()
            .with("x509CertificateChain", Object::new().with("certificates", Json::Array(vec![leaf.into()])))
            .with("tlogEntries", Json::Array(vec![log_entry(&entry).map_err(|e| e.within(LOGGED))?.into()]));
        let bundle = Object::new()
            .with("mediaType", MEDIA_TYPE)
            .with("verificationMaterial", material)
            .with("dsseEnvelope", dsse);
        Ok(Json::from(bundle).to_string().into_bytes())
    }
}

/// Numbers stay as they are written: what the envelope says must not change by being copied.
fn object(bytes: &[u8]) -> Result<Object, String> {
    match json::parse_with(bytes, Limits { bytes: bytes.len(), ..Limits::default() }.exact()) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(other) => Err(format!("{} and no object", other.kind())),
        Err(e) => Err(e.to_string()),
    }
}

/// Rekor's promise and entry, in the words of a bundle.
fn log_entry(entry: &Object) -> Result<Object, ShapeError> {
    let payload = entry.object("Payload")?;
    let within = |e: ShapeError| e.within("Payload");
    let body = payload.string("body").map_err(within)?;
    let log = payload.string("logID").map_err(within)?;
    let log = attest::digest::parse_hex(log).ok_or_else(|| ShapeError::new("Payload.logID", "hex", log))?;
    let decoded = STANDARD.decode(body).ok().and_then(|bytes| object(&bytes).ok());
    let decoded =
        decoded.ok_or_else(|| ShapeError::new("Payload.body", "JSON in base64", "something else"))?;
    let kind = Object::new()
        .with("kind", decoded.string("kind").map_err(within)?)
        .with("version", decoded.string("apiVersion").map_err(within)?);
    let number = |key: &str| payload.int(key).map(|n| n.to_string()).map_err(within);
    Ok(Object::new()
        .with("logIndex", number("logIndex")?)
        .with("logId", Object::new().with("keyId", STANDARD.encode(log)))
        .with("kindVersion", kind)
        .with("integratedTime", number("integratedTime")?)
        .with(
            "inclusionPromise",
            Object::new().with("signedEntryTimestamp", entry.string("SignedEntryTimestamp")?),
        )
        .with("canonicalizedBody", body))
}
