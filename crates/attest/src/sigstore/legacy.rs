//! What cosign wrote before bundles: a signature, a certificate and Rekor's answer, each beside the other. They are put
//! together as a bundle of version 0.1, which says the same in one piece, and nothing here is believed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::{Digest, parse_hex};
use crate::dsse::base64;
use crate::json::{self, Json, Object, ShapeError};
use crate::pem;

const V0_1: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";

/// What lies beside an artifact, as cosign's flags, its older bundle and the annotations of its images have it.
#[derive(Clone, Copy, Debug)]
pub struct Loose<'a> {
    /// The signature over the file in base64, or the DSSE envelope around a statement as JSON.
    pub signature: &'a str,
    /// The certificate in PEM, and those above it.
    pub certificates: Option<&'a str>,
    /// Rekor's answer: `SignedEntryTimestamp` and `Payload`.
    pub rekor: Option<&'a Object>,
}

/// Whether `object` is cosign 2's bundle for files.
#[must_use]
pub fn is_legacy(object: &Object) -> bool {
    object.get("base64Signature").is_some()
}

/// The same as a bundle: cosign 2's one for files. A certificate that it lacks may be given beside it. `subject` is the
/// digest of what is signed, and is asked for only where a file is signed and not a statement.
///
/// # Errors
/// [`ShapeError`] for anything else.
pub fn from_legacy(
    object: &Object,
    certificates: Option<&str>,
    subject: Option<&Digest>,
) -> Result<Vec<u8>, ShapeError> {
    let own = object.optional_string("cert")?.map(pem_text).transpose()?;
    let own = own.as_deref().filter(|pem| pem.contains("BEGIN CERTIFICATE"));
    let signature = object.string("base64Signature")?;
    // for statements it holds the whole envelope
    let envelope =
        base64(signature).filter(|bytes| bytes.starts_with(b"{")).and_then(|b| String::from_utf8(b).ok());
    let loose = Loose {
        signature: envelope.as_deref().unwrap_or(signature),
        certificates: own.or(certificates),
        rekor: object.optional_object("rekorBundle")?,
    };
    loose.bundle(subject)
}

/// PEM as it is, or once more in base64.
fn pem_text(text: &str) -> Result<String, ShapeError> {
    if text.contains("-----BEGIN") {
        return Ok(text.to_owned());
    }
    let decoded = base64(text).and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| ShapeError::new("cert", "PEM, or PEM in base64", "something else"))
}

impl Loose<'_> {
    /// The bundle's JSON.
    ///
    /// # Errors
    /// [`ShapeError`] for a part that is malformed, or a missing subject.
    pub fn bundle(&self, subject: Option<&Digest>) -> Result<Vec<u8>, ShapeError> {
        let mut material = match self.certificates {
            Some(text) => Object::new().with("x509CertificateChain", chain(text)?),
            None => Object::new().with("publicKey", Object::new()),
        };
        if let Some(rekor) = self.rekor {
            material.set("tlogEntries", Json::Array(vec![entry(rekor)?.into()]));
        }
        let bundle = Object::new().with("mediaType", V0_1).with("verificationMaterial", material);
        let bundle = if self.signature.trim_start().starts_with('{') {
            let dsse = json::parse(self.signature.as_bytes());
            let dsse = dsse.map_err(|e| ShapeError::new("signature", "a DSSE envelope", &e.to_string()))?;
            bundle.with("dsseEnvelope", dsse)
        } else {
            let none = || ShapeError::new("", "the file that is signed, or its digest", "neither");
            let digest = Object::new()
                .with("algorithm", "SHA2_256")
                .with("digest", STANDARD.encode(subject.ok_or_else(none)?.bytes()));
            let signature = self.signature.trim().replace(['\n', '\r'], "");
            bundle.with(
                "messageSignature",
                Object::new().with("messageDigest", digest).with("signature", signature),
            )
        };
        Ok(bundle.to_string().into_bytes())
    }
}

fn chain(text: &str) -> Result<Object, ShapeError> {
    let bad = || ShapeError::new("certificate", "certificates in PEM", "something else");
    let mut certificates = Vec::new();
    for part in text.split_inclusive("-----END CERTIFICATE-----").filter(|p| p.contains("-----BEGIN")) {
        match pem::decode(part.trim()) {
            Some(("CERTIFICATE", der)) => {
                certificates.push(Object::new().with("rawBytes", STANDARD.encode(der)).into());
            }
            _ => return Err(bad()),
        }
    }
    if certificates.is_empty() {
        return Err(bad());
    }
    Ok(Object::new().with("certificates", Json::Array(certificates)))
}

fn entry(rekor: &Object) -> Result<Object, ShapeError> {
    let payload = rekor.object("Payload")?;
    let body = payload.string("body")?;
    let bad = |path: &str| ShapeError::new(path, "a log entry in base64", "something else");
    let decoded = base64(body).ok_or_else(|| bad("body"))?;
    let decoded = json::parse(&decoded).or(Err(bad("body")))?;
    let decoded = decoded.as_object()?;
    let kind =
        Object::new().with("kind", decoded.string("kind")?).with("version", decoded.string("apiVersion")?);
    let id = parse_hex(payload.string("logID")?)
        .ok_or_else(|| ShapeError::new("logID", "hex", "something else"))?;
    let promise = Object::new().with("signedEntryTimestamp", rekor.string("SignedEntryTimestamp")?);
    Ok(Object::new()
        .with("logIndex", payload.int("logIndex")?.to_string())
        .with("logId", Object::new().with("keyId", STANDARD.encode(id)))
        .with("kindVersion", kind)
        .with("integratedTime", payload.int("integratedTime")?.to_string())
        .with("inclusionPromise", promise)
        .with("canonicalizedBody", body))
}
