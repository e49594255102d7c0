//! SPDX 2.3 (and 2.2, which is read alike) in JSON: packages.

use super::{Part, check_count};
use crate::digest::{Algorithm, Digest, DigestSet};
use crate::json::{Json, Object, ShapeError, each};

pub(super) fn read(object: &Object) -> Result<Vec<Part>, ShapeError> {
    let version = object.string("spdxVersion")?;
    if !matches!(version, "SPDX-2.2" | "SPDX-2.3") {
        return Err(ShapeError::new("spdxVersion", "SPDX-2.3", version));
    }
    let packages = object.optional_array("packages")?;
    check_count(packages.len())?;
    let whole = described(object)?;
    each("packages", packages, |package| component(package.as_object()?, whole))
}

/// The one package that the document is about; nothing where it names several, which are parts then.
fn described(object: &Object) -> Result<Option<&str>, ShapeError> {
    let mut found = each("documentDescribes", object.optional_array("documentDescribes")?, Json::as_str)?;
    for item in object.optional_array("relationships")? {
        let one = item.as_object().map_err(|e| e.within("relationships"))?;
        let text = |key| one.optional_string(key).map_err(|e: ShapeError| e.within("relationships"));
        if (text("spdxElementId")?, text("relationshipType")?)
            == (Some("SPDXRef-DOCUMENT"), Some("DESCRIBES"))
        {
            found.extend(text("relatedSpdxElement")?);
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(if let [one] = found.as_slice() { Some(*one) } else { None })
}

fn component(package: &Object, whole: Option<&str>) -> Result<Part, ShapeError> {
    let name = package.string("name")?;
    let mut purl = None;
    for item in package.optional_array("externalRefs")? {
        let reference = item.as_object().map_err(|e| e.within("externalRefs"))?;
        if reference.string("referenceType").map_err(|e| e.within("externalRefs"))? == "purl" {
            purl = Some(reference.string("referenceLocator").map_err(|e| e.within("externalRefs"))?);
        }
    }
    let digests = digests(package.optional_array("checksums")?)?;
    let id = package.optional_string("SPDXID")?;
    Ok(Part {
        name: name.to_owned(),
        version: package.optional_string("versionInfo")?.map(str::to_owned),
        purl: purl.map(str::to_owned),
        digests,
        licences: licence(package)?.into_iter().collect(),
        is_whole: id.is_some() && id == whole,
    })
}

/// What the author of the document concluded, else what the package declares of itself.
fn licence(package: &Object) -> Result<Option<String>, ShapeError> {
    for key in ["licenseConcluded", "licenseDeclared"] {
        match package.optional_string(key)? {
            None | Some("NOASSERTION" | "NONE" | "") => {}
            Some(text) => return Ok(Some(text.to_owned())),
        }
    }
    Ok(None)
}

fn digests(checksums: &[Json]) -> Result<DigestSet, ShapeError> {
    let mut digests = Vec::new();
    for checksum in checksums {
        let checksum = checksum.as_object().map_err(|e| e.within("checksums"))?;
        let algorithm = match checksum.string("algorithm").map_err(|e| e.within("checksums"))? {
            "SHA256" => Algorithm::Sha256,
            "SHA384" => Algorithm::Sha384,
            "SHA512" => Algorithm::Sha512,
            _ => continue,
        };
        let value = checksum.string("checksumValue").map_err(|e| e.within("checksums"))?;
        let digest = Digest::from_hex(algorithm, &value.to_ascii_lowercase());
        digests.push(digest.map_err(|e| ShapeError::new("checksums", "a digest", &e.to_string()))?);
    }
    Ok(digests.into_iter().collect())
}
