//! PEP 740 attestations, as the Python package index keeps them: a bundle in other words.

use crate::json::{Json, Object, ShapeError};

/// The media type of the bundle that says the same.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Whether an object says that it is a PEP 740 attestation.
pub(crate) fn is_pep740(object: &Object) -> bool {
    object.get("verification_material").is_some() && object.get("envelope").is_some()
}

/// The bundle that says the same. What is signed, the statement's bytes, is taken over untouched.
///
/// # Errors
/// [`ShapeError`] for another version or shape; an unknown key is one, for nothing says what it would mean.
pub(crate) fn read_pep740(object: &Object) -> Result<Object, ShapeError> {
    known(object, &["version", "verification_material", "envelope"])?;
    if object.int("version")? != 1 {
        return Err(ShapeError::new("version", "1", &object.int("version")?.to_string()));
    }
    let material = object.object("verification_material")?;
    let envelope = object.object("envelope")?;
    known(material, &["certificate", "transparency_entries"])
        .map_err(|e| e.within("verification_material"))?;
    known(envelope, &["statement", "signature"]).map_err(|e| e.within("envelope"))?;
    let certificate = material.string("certificate").map_err(|e| e.within("verification_material"))?;
    let entries = material.array("transparency_entries").map_err(|e| e.within("verification_material"))?;
    if entries.len() != 1 {
        let found = entries.len().to_string();
        return Err(ShapeError::new("verification_material.transparency_entries", "one entry", &found));
    }
    let text = |key: &str| envelope.string(key).map_err(|e| e.within("envelope"));
    let signature = Object::new().with("sig", text("signature")?);
    let dsse = Object::new()
        .with("payload", text("statement")?)
        .with("payloadType", crate::dsse::IN_TOTO)
        .with("signatures", Json::Array(vec![signature.into()]));
    let material = Object::new()
        .with("certificate", Object::new().with("rawBytes", certificate))
        .with("tlogEntries", Json::Array(entries.to_vec()));
    Ok(Object::new()
        .with("mediaType", MEDIA_TYPE)
        .with("verificationMaterial", material)
        .with("dsseEnvelope", dsse))
}

fn known(object: &Object, keys: &[&str]) -> Result<(), ShapeError> {
    match object.iter().find(|(key, _)| !keys.contains(key)) {
        Some((key, _)) => Err(ShapeError::new(key, &keys.join(", "), key)),
        None => Ok(()),
    }
}
