//! Trivy, schema 2: `Results[].Vulnerabilities[]`, and what its ignore file hid in `ExperimentalModifiedFindings[]`. It
//! does not say how old its database is.

use attest::claims::Severity;
use attest::json::{ShapeError, each};
use attest::{Digest, Object};

use super::{Found, Report, component, digest, id, time};

pub(super) fn read(object: &Object) -> Result<Report, ShapeError> {
    let schema = object.int("SchemaVersion")?;
    if schema != 2 {
        return Err(ShapeError::new("SchemaVersion", "2", &schema.to_string()));
    }
    let results = each("Results", object.optional_array("Results")?, |r| result(r.as_object()?))?;
    if !results.iter().any(|(is_packages, _)| *is_packages) {
        let wanted = "a result of the class os-pkgs or lang-pkgs: with none, no package was looked at";
        return Err(ShapeError::new("Results", wanted, "none"));
    }
    let version = match object.optional_object("Trivy")? {
        Some(own) => own.optional_string("Version").map_err(|e| e.within("Trivy"))?.map(str::to_owned),
        None => None,
    };
    Ok(Report {
        scanner: "https://github.com/aquasecurity/trivy".to_owned(),
        version,
        finished: time(object, "CreatedAt")?,
        database: None,
        scanned: scanned(object)?,
        found: results.into_iter().flat_map(|(_, found)| found).collect(),
    })
}

/// Whether packages were looked at, and what was found in them.
fn result(object: &Object) -> Result<(bool, Vec<Found>), ShapeError> {
    let class = object.optional_string("Class")?;
    let listed = object.optional_array("Vulnerabilities")?;
    let mut found = each("Vulnerabilities", listed, |v| one(v.as_object()?))?;
    let hidden = object.optional_array("ExperimentalModifiedFindings")?;
    let hidden = each("ExperimentalModifiedFindings", hidden, |item| {
        let item = item.as_object()?;
        match item.string("Type")? {
            "vulnerability" => {
                one(item.object("Finding")?).map(Some).map_err(|e: ShapeError| e.within("Finding"))
            }
            // a secret, a licence, a setting
            _ => Ok(None),
        }
    })?;
    found.extend(hidden.into_iter().flatten());
    Ok((matches!(class, Some("os-pkgs" | "lang-pkgs")), found))
}

fn one(object: &Object) -> Result<Found, ShapeError> {
    let purl = match object.optional_object("PkgIdentifier")? {
        Some(own) => own.optional_string("PURL").map_err(|e| e.within("PkgIdentifier"))?,
        None => None,
    };
    let vendors = object.optional_array("VendorIDs")?;
    Ok(Found {
        component: component(object.string("PkgName")?, object.optional_string("InstalledVersion")?, purl),
        id: id(object, "VulnerabilityID")?,
        aliases: each("VendorIDs", vendors, |v| v.as_str().map(str::to_owned))?,
        severity: object.optional_string("Severity")?.and_then(Severity::parse),
    })
}

fn scanned(object: &Object) -> Result<Vec<Digest>, ShapeError> {
    let Some(metadata) = object.optional_object("Metadata")? else { return Ok(Vec::new()) };
    let inner = |e: ShapeError| e.within("Metadata");
    let listed = metadata.optional_array("RepoDigests").map_err(inner)?;
    let mut texts = each("RepoDigests", listed, |d| d.as_str()).map_err(inner)?;
    texts.extend(metadata.optional_string("ImageID").map_err(inner)?);
    Ok(texts.into_iter().filter_map(digest).collect())
}
