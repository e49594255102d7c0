//! An OpenVEX document (0.0.1 to 0.2.x) from its bytes, or from a statement that holds one.

use attest::json::{self, Limits, ShapeError, each};
use attest::{Algorithm, Digest, Json, Object};
use jiff::Timestamp;

use super::{Justification, OPENVEX, Product, Statement, Statements, Status};
use crate::dependencies::BomError;
use crate::purl::Purl;

const MAX_STATEMENTS: usize = 10_000;

impl Statements {
    /// Reads a document whose author the caller trusts.
    ///
    /// # Errors
    /// [`BomError`] for what is not strict JSON or has another shape; a `not_affected` without one of the five
    /// justifications is one.
    pub fn parse(bytes: &[u8]) -> Result<Self, BomError> {
        let json = json::parse_with(bytes, Limits::default().exact()).map_err(BomError::Json)?;
        let mut object = json.as_object()?;
        if object.get("predicateType").is_some() {
            let kind = object.string("predicateType")?;
            if !is_vex(kind) {
                return Err(ShapeError::new("predicateType", OPENVEX, kind).into());
            }
            object = object.object("predicate")?;
        }
        Ok(Self(document(object)?))
    }
}

/// Whether a predicate of this type, or a document of this context, is OpenVEX.
#[must_use]
pub fn is_vex(text: &str) -> bool {
    text.strip_prefix(OPENVEX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn document(object: &Object) -> Result<Vec<Statement>, ShapeError> {
    let context = object.string("@context")?;
    if !is_vex(context) {
        return Err(ShapeError::new("@context", OPENVEX, context));
    }
    let written = match time(object, "last_updated")? {
        Some(time) => Some(time),
        None => time(object, "timestamp")?,
    };
    let written = written.ok_or_else(|| ShapeError::new("timestamp", "a time", "nothing"))?;
    let (id, author) = (object.string("@id")?, object.string("author")?);
    let items = object.array("statements")?;
    if items.len() > MAX_STATEMENTS {
        let wanted = format!("at most {MAX_STATEMENTS} statements");
        return Err(ShapeError::new("statements", &wanted, &items.len().to_string()));
    }
    each("statements", items, |item| {
        let object = item.as_object()?;
        let at = match time(object, "last_updated")? {
            Some(time) => Some(time),
            None => time(object, "timestamp")?,
        };
        Ok(Statement {
            document: id.to_owned(),
            author: author.to_owned(),
            at: at.unwrap_or(written),
            vulnerability: vulnerability(object)?,
            products: each("products", object.optional_array("products")?, product)?,
            status: status(object)?,
            notes: notes(object)?,
        })
    })
}

/// A name, or since 0.2 an object with a name and others.
fn vulnerability(object: &Object) -> Result<Vec<String>, ShapeError> {
    let empty = || ShapeError::new("vulnerability", "a name", "nothing");
    let names = match object.get("vulnerability").ok_or_else(empty)? {
        Json::String(name) => vec![name.clone()],
        Json::Object(one) => {
            let name = one.string("name").map_err(|e| e.within("vulnerability"))?;
            let aliases = each("aliases", one.optional_array("aliases")?, |a| a.as_str().map(str::to_owned))
                .map_err(|e| e.within("vulnerability"))?;
            [vec![name.to_owned()], aliases].concat()
        }
        other => return Err(ShapeError::new("vulnerability", "a name or an object", other.kind())),
    };
    if names.iter().any(String::is_empty) { Err(empty()) } else { Ok(names) }
}

fn status(object: &Object) -> Result<Status, ShapeError> {
    match object.string("status")? {
        "not_affected" => {
            let word = object.optional_string("justification")?.unwrap_or("nothing");
            let known = Justification::ALL.into_iter().find(|(_, name)| *name == word);
            let wanted = "one of OpenVEX's five reasons, where the status is not_affected";
            let (reason, _) = known.ok_or_else(|| ShapeError::new("justification", wanted, word))?;
            Ok(Status::NotAffected(reason))
        }
        "fixed" => Ok(Status::Fixed),
        "under_investigation" => Ok(Status::UnderInvestigation),
        "affected" => Ok(Status::Affected),
        other => {
            let wanted = "not_affected, affected, fixed or under_investigation";
            Err(ShapeError::new("status", wanted, other))
        }
    }
}

fn notes(object: &Object) -> Result<Option<String>, ShapeError> {
    for key in ["impact_statement", "action_statement", "status_notes"] {
        if let Some(text) = object.optional_string(key)? {
            return Ok(Some(text.to_owned()));
        }
    }
    Ok(None)
}

/// A name, or since 0.2 an object with identifiers, hashes and parts.
fn product(json: &Json) -> Result<Product, ShapeError> {
    let object = match json {
        Json::String(name) => {
            let names = vec![name.clone()];
            return Ok(Product { digests: named_digests(&names), names, parts: Vec::new() });
        }
        other => other.as_object()?,
    };
    let mut names: Vec<String> = object.optional_string("@id")?.map(str::to_owned).into_iter().collect();
    if let Some(identifiers) = object.optional_object("identifiers")? {
        names.extend(identifiers.optional_string("purl")?.map(str::to_owned));
    }
    let mut digests = named_digests(&names);
    if let Some(hashes) = object.optional_object("hashes")? {
        digests.extend(read_hashes(hashes).map_err(|e| e.within("hashes"))?);
    }
    let parts = each("subcomponents", object.optional_array("subcomponents")?, product)?;
    if names.is_empty() && digests.is_empty() {
        return Err(ShapeError::new("", "an @id, identifiers or hashes", "none"));
    }
    Ok(Product { names, digests, parts })
}

fn read_hashes(hashes: &Object) -> Result<Vec<Digest>, ShapeError> {
    let mut digests = Vec::new();
    for (name, value) in hashes.iter() {
        let algorithm = match name {
            "sha-256" => Algorithm::Sha256,
            "sha-384" => Algorithm::Sha384,
            "sha-512" => Algorithm::Sha512,
            // the others decide nothing
            _ => continue,
        };
        let digest = Digest::from_hex(algorithm, value.as_str()?);
        digests.push(digest.map_err(|e| ShapeError::new(name, "a digest", &e.to_string()))?);
    }
    Ok(digests)
}

/// The version of an image's package URL is its digest.
fn named_digests(names: &[String]) -> Vec<Digest> {
    let purls = names.iter().filter_map(|name| Purl::parse(name).ok()).filter(|purl| purl.kind == "oci");
    purls.filter_map(|purl| Digest::parse(&purl.version?).ok()).collect()
}

/// OpenVEX's own tools write local offsets.
fn time(object: &Object, key: &str) -> Result<Option<Timestamp>, ShapeError> {
    let Some(text) = object.optional_string(key)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| ShapeError::new(key, "an RFC 3339 time", text))
}
