//! SPDX 2.3 (and 2.2, which is read alike) in JSON: packages.

use attest::json::{ShapeError, each};
use attest::{Algorithm, Digest, DigestSet, Json, Object};

use super::{check_count, of_parts};
use crate::component::Component;

pub(super) fn read(object: &Object) -> Result<Vec<Component>, ShapeError> {
    let version = object.string("spdxVersion")?;
    if !matches!(version, "SPDX-2.2" | "SPDX-2.3") {
        return Err(ShapeError::new("spdxVersion", "SPDX-2.3", version));
    }
    let packages = object.optional_array("packages")?;
    check_count(packages.len())?;
    each("packages", packages, |package| component(package.as_object()?))
}

fn component(package: &Object) -> Result<Component, ShapeError> {
    let name = package.string("name")?;
    let mut purl = None;
    for item in package.optional_array("externalRefs")? {
        let reference = item.as_object().map_err(|e| e.within("externalRefs"))?;
        if reference.string("referenceType").map_err(|e| e.within("externalRefs"))? == "purl" {
            purl = Some(reference.string("referenceLocator").map_err(|e| e.within("externalRefs"))?);
        }
    }
    let digests = digests(package.optional_array("checksums")?)?;
    Ok(of_parts(name, package.optional_string("versionInfo")?, purl, &digests))
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
