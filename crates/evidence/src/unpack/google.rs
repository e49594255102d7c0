//! What `gcloud artifacts docker images describe --show-provenance --format json` prints.
//!
//! The file says things twice: what is signed, and beside it, unsigned, the same for people. Both must agree, for a
//! person reads the one and a machine the other. It lists every provenance that the service has for an image, the same build in
//! several formats and under several keys.

use attest::json::{ShapeError, each};
use attest::{Digest, DigestSet, Json, Object};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::{MAX_PIECES, Piece, UnpackError, parse, piece};

pub(super) fn read(object: &Object, name: &str) -> Result<Vec<Piece>, UnpackError> {
    let image = read_image(object.object("image_summary")?).map_err(|e| e.within("image_summary"))?;
    let items = object.object("provenance_summary")?.array("provenance")?;
    match items.len() {
        0 => return Err(UnpackError::Empty),
        count if count > MAX_PIECES => return Err(UnpackError::TooMany(count)),
        _ => {}
    }
    let envelopes = each("provenance_summary.provenance", items, |item| read_one(item.as_object()?, &image))?;
    let is_alternative = envelopes.len() > 1;
    let pieces = envelopes.into_iter().enumerate().map(|(index, envelope)| piece(envelope, name, index));
    pieces.map(|piece| piece.map(|piece| Piece { is_alternative, ..piece })).collect()
}

/// The digest of the image, which the summary says twice.
fn read_image(summary: &Object) -> Result<Digest, ShapeError> {
    let text = summary.string("digest")?;
    let digest = Digest::parse(text).map_err(|e| ShapeError::new("digest", "a digest", &e.to_string()))?;
    check_reference(summary, "fully_qualified_digest", &digest)?;
    Ok(digest)
}

fn check_reference(object: &Object, key: &str, image: &Digest) -> Result<(), ShapeError> {
    let reference = object.string(key)?;
    match reference.rsplit_once('@') {
        Some((_, digest)) if digest == image.to_string() => Ok(()),
        _ => Err(ShapeError::new(key, &format!("the image's digest, {image}"), reference)),
    }
}

fn read_one<'a>(item: &'a Object, image: &Digest) -> Result<&'a Object, ShapeError> {
    if item.string("kind")? != "BUILD" {
        return Err(ShapeError::new("kind", "BUILD", item.string("kind")?));
    }
    check_reference(item, "resourceUri", image)?;
    let envelope = item.object("envelope")?;
    let within = |e: ShapeError| e.within("envelope");
    for signature in envelope.array("signatures").map_err(within)? {
        check_key_name(signature.as_object().map_err(within)?).map_err(|e| within(e.within("signatures")))?;
    }
    let signed = payload(envelope).map_err(within)?;
    check_subject(&signed, image).map_err(|e| within(e.within("payload")))?;
    check_text(item.optional_object("build")?, &signed).map_err(|e| e.within("build"))?;
    Ok(envelope)
}

/// A signature names the version of a key of the service (`projects/verified-builder/locations/…`), or is none of its.
fn check_key_name(signature: &Object) -> Result<(), ShapeError> {
    let wanted = "projects/verified-builder/locations/LOCATION/keyRings/attestor/cryptoKeys/KEY/cryptoKeyVersions/NUMBER";
    let found = signature.optional_string("keyid")?.unwrap_or("nothing");
    let parts: Vec<&str> = found.split('/').collect();
    let is_version = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    match parts.as_slice() {
        [
            "projects",
            "verified-builder",
            "locations",
            location,
            "keyRings",
            "attestor",
            "cryptoKeys",
            key,
            "cryptoKeyVersions",
            version,
        ] if !location.is_empty() && !key.is_empty() && is_version(version) => Ok(()),
        _ => Err(ShapeError::new("keyid", wanted, found)),
    }
}

fn payload(envelope: &Object) -> Result<Object, ShapeError> {
    let text = envelope.string("payload")?;
    let bad = |found: &str| ShapeError::new("payload", "a statement in base64", found);
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).or(Err(bad("something else")))?;
    match parse(&bytes) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(other) => Err(bad(other.kind())),
        Err(e) => Err(bad(&e.to_string())),
    }
}

fn check_subject(signed: &Object, image: &Digest) -> Result<(), ShapeError> {
    let subjects = each("subject", signed.array("subject")?, |subject| {
        DigestSet::read(subject.as_object()?.object("digest")?)
    })?;
    if subjects.iter().any(|digests| digests.get(image.algorithm()).as_ref() == Some(image)) {
        return Ok(());
    }
    let found = subjects.first().and_then(DigestSet::first).map_or("none".to_owned(), |d| d.to_string());
    Err(ShapeError::new("subject", &format!("the image, {image}"), &found))
}

/// The unsigned text beside the envelope: what of it stands in the signed statement too must be the same there.
fn check_text(build: Option<&Object>, signed: &Object) -> Result<(), ShapeError> {
    let Some(build) = build else { return Ok(()) };
    for key in ["intotoStatement", "inTotoSlsaProvenanceV1"] {
        let Some(text) = build.optional_object(key)? else { continue };
        for (name, value) in text.iter() {
            let differs = signed.get(name).is_some_and(|there| !is_same(there, value));
            if differs {
                let wanted = "what is signed";
                return Err(ShapeError::new(&format!("{key}.{name}"), wanted, "another text"));
            }
        }
    }
    Ok(())
}

/// Whether two values say the same, in whatever order their keys stand.
fn is_same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|there| is_same(value, there)))
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (a, b) => a == b,
    }
}
