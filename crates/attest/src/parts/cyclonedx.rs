//! CycloneDX 1.4 to 1.7 in JSON: components, whatever their type, and those inside of them.

use super::{Part, check_count};
use crate::digest::{Algorithm, Digest, DigestSet};
use crate::json::{Json, Object, ShapeError, each};

const VERSIONS: [&str; 4] = ["1.4", "1.5", "1.6", "1.7"];

pub(super) fn read(object: &Object) -> Result<Vec<Part>, ShapeError> {
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
        components.first_mut().into_iter().for_each(|whole| whole.is_whole = true);
    }
    add("components", object.optional_array("components")?, &mut components)?;
    Ok(components)
}

/// The parser bounds how deep they nest.
fn add(path: &str, items: &[Json], components: &mut Vec<Part>) -> Result<(), ShapeError> {
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

fn component(object: &Object) -> Result<Part, ShapeError> {
    let name = object.string("name")?;
    let group = object.optional_string("group")?.filter(|group| !group.is_empty());
    let name = group.map_or_else(|| name.to_owned(), |group| format!("{group}/{name}"));
    let digests = digests(object.optional_array("hashes")?)?;
    Ok(Part {
        name,
        version: object.optional_string("version")?.map(str::to_owned),
        purl: object.optional_string("purl")?.map(str::to_owned),
        digests,
        licences: licences(object.optional_array("licenses")?)?,
        is_whole: false,
    })
}

/// An identifier, a name, or an expression each. Nothing says how several go together, so all of them hold.
fn licences(items: &[Json]) -> Result<Vec<String>, ShapeError> {
    each("licenses", items, |item| {
        let object = item.as_object()?;
        let Some(one) = object.optional_object("license")? else {
            return object.string("expression").map(str::to_owned);
        };
        let id = one.optional_string("id")?;
        match id {
            Some(id) => Ok(id.to_owned()),
            None => one.string("name").map(str::to_owned),
        }
    })
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
