//! What cosign 2 attaches to an image: a layer with the envelope, and beside it, in annotations, certificate and log entry.
//! Together they are a Sigstore bundle of its first version.

use attest::json::ShapeError;
use attest::{Json, Object, pem};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Bytes as _, Piece, UnpackError, parse};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";

/// Makes a bundle of a layer's envelope and its annotations; without annotations of a certificate the envelope is signed by a
/// key, and stands for itself.
///
/// # Errors
/// [`UnpackError`] for malformed annotations, and for a certificate without a log entry.
pub fn from_layer(envelope: &[u8], annotations: &Object, name: &str) -> Result<Piece, UnpackError> {
    let given = |key: &str| annotations.optional_string(key).map(|text| text.filter(|t| !t.is_empty()));
    let piece = |bytes| Piece { name: name.to_owned(), bytes, is_alternative: false };
    let Some(certificate) = given(CERTIFICATE)? else { return Ok(piece(envelope.to_vec())) };
    let Some(entry) = given(BUNDLE)? else { return Err(UnpackError::NeedsLogEntry) };
    let dsse = object(envelope).map_err(|why| UnpackError::Read(name.to_owned(), why))?;
    let bad = |key: &str, wanted: &str| ShapeError::new(key, wanted, "something else");
    let (_, leaf) = pem::decode(certificate).ok_or_else(|| bad(CERTIFICATE, "one certificate in PEM"))?;
    let entry = object(entry.as_bytes()).map_err(|why| ShapeError::new(BUNDLE, "JSON", &why))?;
    let leaf = Object::new().with("rawBytes", STANDARD.encode(leaf));
    let material = Object::new()
        .with("x509CertificateChain", Object::new().with("certificates", Json::Array(vec![leaf.into()])))
        .with("tlogEntries", Json::Array(vec![log_entry(&entry).map_err(|e| e.within(BUNDLE))?.into()]));
    let bundle = Object::new()
        .with("mediaType", MEDIA_TYPE)
        .with("verificationMaterial", material)
        .with("dsseEnvelope", dsse);
    Ok(piece(bundle.clone_to_bytes()))
}

fn object(bytes: &[u8]) -> Result<Object, String> {
    match parse(bytes) {
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
