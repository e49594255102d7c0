//! CycloneDX 1.4 to 1.7 in JSON: components, whatever their type, and those inside of them.

use attest::json::ShapeError;
use attest::{Algorithm, Digest, DigestSet, Json, Object};

use super::{check_count, of_parts};
use crate::component::Component;

const VERSIONS: [&str; 4] = ["1.4", "1.5", "1.6", "1.7"];

pub(super) fn read(object: &Object) -> Result<Vec<Component>, ShapeError> {
    let format = object.string("bomFormat")?;
    if format != "CycloneDX" {
        return Err(ShapeError::new("bomFormat", "CycloneDX", format));
    }
    let version = object.string("specVersion")?;
    if !VERSIONS.contains(&version) {
        return Err(ShapeError::new("specVersion", "1.4, 1.5, 1.6 or 1.7", version));
    }
    let mut components = Vec::new();
    // the thing itself may be what an advisory speaks of
    if let Some(metadata) = object.optional_object("metadata")? {
        let main = metadata.get("component").into_iter().cloned().collect::<Vec<Json>>();
        add("component", &main, &mut components).map_err(|e| e.within("metadata"))?;
    }
    add("components", object.optional_array("components")?, &mut components)?;
    Ok(components)
}

/// The parser bounds how deep they nest.
fn add(path: &str, items: &[Json], components: &mut Vec<Component>) -> Result<(), ShapeError> {
    for (index, item) in items.iter().enumerate() {
        let here = |e: ShapeError| e.within(&format!("{path}[{index}]"));
        let object = item.as_object().map_err(here)?;
        components.push(component(object).map_err(here)?);
        check_count(components.len())?;
        let inner = object.optional_array("components").map_err(here)?;
        add("components", inner, components).map_err(here)?;
    }
    Ok(())
}

fn component(object: &Object) -> Result<Component, ShapeError> {
    let name = object.string("name")?;
    let group = object.optional_string("group")?.filter(|group| !group.is_empty());
    let name = group.map_or_else(|| name.to_owned(), |group| format!("{group}/{name}"));
    let digests = digests(object.optional_array("hashes")?)?;
    Ok(of_parts(&name, object.optional_string("version")?, object.optional_string("purl")?, &digests))
}

fn digests(hashes: &[Json]) -> Result<DigestSet, ShapeError> {
    let mut digests = Vec::new();
    for hash in hashes {
        let hash = hash.as_object().map_err(|e| e.within("hashes"))?;
        let algorithm = match hash.string("alg").map_err(|e| e.within("hashes"))? {
            "SHA-256" => Algorithm::Sha256,
            "SHA-384" => Algorithm::Sha384,
            "SHA-512" => Algorithm::Sha512,
            // the others decide nothing
            _ => continue,
        };
        let content = hash.string("content").map_err(|e| e.within("hashes"))?;
        let digest = Digest::from_hex(algorithm, &content.to_ascii_lowercase());
        digests.push(digest.map_err(|e| ShapeError::new("hashes", "a digest", &e.to_string()))?);
    }
    Ok(digests.into_iter().collect())
}
