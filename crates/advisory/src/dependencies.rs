//! What an artifact is made of, as its provenance or a list of its parts says.

mod file;

use std::fmt;

use attest::json::{self, JsonError, Limits, ShapeError};
use attest::parts::{CYCLONEDX, Part, SPDX};
use attest::provenance::{Dependency, Provenance};
use attest::{DigestSet, Object, Predicate, Statement, StatementError};

pub use attest::parts::is_list as is_bom;

use crate::component::Component;
use crate::purl::Purl;

/// Why a list of parts cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BomError {
    /// Not strict JSON.
    Json(JsonError),
    /// JSON of another shape.
    Shape(ShapeError),
}

impl fmt::Display for BomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(e) => e.fmt(f),
            Self::Shape(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for BomError {}

impl From<ShapeError> for BomError {
    fn from(e: ShapeError) -> Self {
        Self::Shape(e)
    }
}

/// The components that provenance lists. What no ecosystem is known for is kept by its name.
#[must_use]
pub fn of_provenance(provenance: &Provenance) -> Vec<Component> {
    provenance.dependencies.iter().map(of_dependency).collect()
}

fn of_dependency(dependency: &Dependency) -> Component {
    let names = [Some(dependency.uri.as_str()), dependency.name.as_deref()];
    let mut purls = names.into_iter().flatten().filter_map(|t| Purl::parse(t).ok().map(|purl| (t, purl)));
    let component = match purls.next() {
        Some((text, purl)) => Component::of_purl(text, &purl),
        None => file::component(&dependency.uri)
            .unwrap_or_else(|| Component::named(dependency.name.as_deref().unwrap_or(&dependency.uri))),
    };
    component.with_digests(&dependency.digests)
}

/// The components of a CycloneDX or SPDX document, or of a statement about an artifact that holds one.
///
/// # Errors
/// [`BomError`] for what is none of these, or has another shape than its format says.
pub fn of_bom(bytes: &[u8]) -> Result<Bom, BomError> {
    // scores and sizes with fractions stand in fields that nobody reads here
    let json = json::parse_with(bytes, Limits::default().exact()).map_err(BomError::Json)?;
    let object = json.as_object()?;
    if object.get("predicateType").is_none() {
        return Ok(Bom { subjects: Vec::new(), components: read(object)? });
    }
    let statement = Statement::parse(bytes).map_err(|e| match e {
        StatementError::Json(e) => BomError::Json(e),
        StatementError::Shape(e) => BomError::Shape(e),
    })?;
    Ok(of_statement(&statement)?)
}

/// The components that a statement about an artifact lists.
///
/// # Errors
/// [`ShapeError`] for another statement, and for a list of another shape than its format says.
pub fn of_statement(statement: &Statement) -> Result<Bom, ShapeError> {
    let kind = statement.predicate_type.as_str();
    let (Predicate::Other(body), true) = (&statement.predicate, is_bom(kind)) else {
        return Err(ShapeError::new("predicateType", &format!("{CYCLONEDX} or {SPDX}"), kind));
    };
    let subjects = statement.subjects.iter().map(|subject| subject.digests.clone()).collect();
    Ok(Bom { subjects, components: read(body).map_err(|e| e.within("predicate"))? })
}

/// A list of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bom {
    /// The artifacts it is about, where a statement says so.
    pub subjects: Vec<DigestSet>,
    /// The parts.
    pub components: Vec<Component>,
}

fn read(object: &Object) -> Result<Vec<Component>, ShapeError> {
    Ok(attest::parts::read(object)?.into_iter().map(of_part).collect())
}

/// A part of a document: by its package URL where it has one that can be read, and else by its name.
fn of_part(part: Part) -> Component {
    let component = match part.purl.as_deref().and_then(|text| Some((text, Purl::parse(text).ok()?))) {
        Some((text, purl)) => Component::of_purl(text, &purl),
        None => Component { purl: part.purl, ..Component::named(&part.name) },
    };
    let version = component.version.clone().or(part.version);
    Component { version, ..component }.with_digests(&part.digests)
}
