//! Grype: `matches[]`, `ignoredMatches[]`, and a `descriptor` with the scanner, the time and the database.

use attest::claims::Severity;
use attest::json::{ShapeError, each};
use attest::{Digest, Object};
use jiff::Timestamp;

use super::{Found, Report, component, digest, id, time};

pub(super) fn read(object: &Object) -> Result<Report, ShapeError> {
    let descriptor = object.object("descriptor")?;
    let name = descriptor.string("name").map_err(|e| e.within("descriptor"))?;
    if name != "grype" {
        return Err(ShapeError::new("descriptor.name", "grype", name));
    }
    let mut found = each("matches", object.array("matches")?, |m| one(m.as_object()?))?;
    // what its configuration hides was found all the same
    let ignored = object.optional_array("ignoredMatches")?;
    found.extend(each("ignoredMatches", ignored, |m| one(m.as_object()?))?);
    Ok(Report {
        scanner: "https://github.com/anchore/grype".to_owned(),
        version: descriptor.optional_string("version")?.map(str::to_owned),
        finished: time(descriptor, "timestamp").map_err(|e| e.within("descriptor"))?,
        database: built(descriptor).map_err(|e| e.within("descriptor"))?,
        scanned: scanned(object)?,
        found,
    })
}

/// `db.built` until version 5 of the database's schema, `db.status.built` since 6.
fn built(descriptor: &Object) -> Result<Option<Timestamp>, ShapeError> {
    let Some(db) = descriptor.optional_object("db")? else { return Ok(None) };
    match db.optional_object("status").map_err(|e| e.within("db"))? {
        Some(status) => time(status, "built").map_err(|e| e.within("db.status")),
        None => time(db, "built").map_err(|e| e.within("db")),
    }
}

fn one(object: &Object) -> Result<Found, ShapeError> {
    let artifact = object.object("artifact")?;
    let inner = |e: ShapeError| e.within("artifact");
    let name = artifact.string("name").map_err(inner)?;
    let version = artifact.optional_string("version").map_err(inner)?;
    let purl = artifact.optional_string("purl").map_err(inner)?;
    let vulnerability = object.object("vulnerability")?;
    let word = vulnerability.optional_string("severity").map_err(|e| e.within("vulnerability"))?;
    let related = object.optional_array("relatedVulnerabilities")?;
    Ok(Found {
        component: component(name, version, purl),
        id: id(vulnerability, "id").map_err(|e| e.within("vulnerability"))?,
        aliases: each("relatedVulnerabilities", related, |r| id(r.as_object()?, "id"))?,
        severity: word.and_then(Severity::parse),
    })
}

/// An image by its digests; a folder or a file has none here.
fn scanned(object: &Object) -> Result<Vec<Digest>, ShapeError> {
    let Some(source) = object.optional_object("source")? else { return Ok(Vec::new()) };
    // of a folder, the target is its name
    let Some(Ok(target)) = source.get("target").map(attest::Json::as_object) else { return Ok(Vec::new()) };
    let mut texts = each("repoDigests", target.optional_array("repoDigests")?, |d| d.as_str())?;
    for key in ["manifestDigest", "imageID"] {
        texts.extend(target.optional_string(key)?);
    }
    Ok(texts.into_iter().filter_map(digest).collect())
}
