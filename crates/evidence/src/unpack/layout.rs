//! An OCI layout with attestations in it, as `cosign save` writes one.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use attest::json::ShapeError;
use attest::{Digest, Json, Object};

use super::{MAX_BYTES, MAX_PIECES, Piece, UnpackError, from_layer, parse};

/// What cosign calls the manifest of an image's attestations.
const KIND: &str = "dev.cosignproject.cosign/atts";
/// A layer that is an envelope.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// The envelopes of a layout in this folder.
///
/// # Errors
/// [`UnpackError`] for a layout that cannot be read, blobs that are not what they are called, and layers that are no
/// envelope.
pub fn from_layout(dir: &Path) -> Result<Vec<Piece>, UnpackError> {
    let index = object("index.json", &read(dir, "index.json")?)?;
    let mut pieces = Vec::new();
    for item in index.array("manifests")? {
        let descriptor = item.as_object()?;
        let annotations = descriptor.optional_object("annotations")?;
        if annotations.and_then(|a| a.optional_string("kind").ok()?) != Some(KIND) {
            continue;
        }
        let manifest = object("the manifest of attestations", &blob(dir, descriptor)?)?;
        for layer in manifest.array("layers")? {
            if pieces.len() == MAX_PIECES {
                return Err(UnpackError::TooMany(pieces.len() + 1));
            }
            let name = format!("{}[{}]", dir.display(), pieces.len());
            pieces.push(read_layer(dir, layer.as_object()?, &name)?);
        }
    }
    if pieces.is_empty() { Err(UnpackError::Empty) } else { Ok(pieces) }
}

fn read_layer(dir: &Path, layer: &Object, name: &str) -> Result<Piece, UnpackError> {
    if layer.string("mediaType")? != ENVELOPE {
        return Err(ShapeError::new("mediaType", ENVELOPE, layer.string("mediaType")?)
            .within("layers")
            .into());
    }
    let none = Object::new();
    let annotations = layer.optional_object("annotations")?.unwrap_or(&none);
    from_layer(&blob(dir, layer)?, annotations, name)
}

fn blob(dir: &Path, descriptor: &Object) -> Result<Vec<u8>, UnpackError> {
    let text = descriptor.string("digest")?;
    let digest = Digest::parse(text).ok().filter(|d| d.algorithm() == attest::Algorithm::Sha256);
    let digest = digest.ok_or_else(|| ShapeError::new("digest", "sha256:HEX", text))?;
    let bytes = read(dir, &format!("blobs/sha256/{}", digest.hex()))?;
    if Digest::sha256(&bytes) != digest {
        return Err(UnpackError::Read(text.to_owned(), "its bytes are others".to_owned()));
    }
    Ok(bytes)
}

fn read(dir: &Path, path: &str) -> Result<Vec<u8>, UnpackError> {
    let failed = |why: String| UnpackError::Read(path.to_owned(), why);
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file = File::open(dir.join(path)).map_err(|e| failed(e.to_string()))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    if bytes.len() > MAX_BYTES {
        return Err(failed(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

fn object(what: &str, bytes: &[u8]) -> Result<Object, UnpackError> {
    match parse(bytes).map_err(UnpackError::Json)? {
        Json::Object(object) => Ok(object),
        other => Err(UnpackError::Read(what.to_owned(), format!("{} and no object", other.kind()))),
    }
}
