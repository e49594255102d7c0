//! What an artifact is made of, as its provenance or a list of its parts says.

mod cyclonedx;
mod file;
mod spdx;

use std::fmt;

use attest::json::{self, JsonError, Limits, ShapeError};
use attest::provenance::{Dependency, Provenance};
use attest::{DigestSet, Object};

use crate::component::Component;
use crate::purl::Purl;

/// The predicate type of CycloneDX; versions may stand behind it.
pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";
/// The predicate type of SPDX; versions may stand behind it.
pub const SPDX: &str = "https://spdx.dev/Document";
/// A larger list is none of one artifact.
const MAX_COMPONENTS: usize = 100_000;

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
    let kind = object.string("predicateType")?;
    if !is_bom(kind) {
        return Err(ShapeError::new("predicateType", &format!("{CYCLONEDX} or {SPDX}"), kind).into());
    }
    let subjects = json::each("subject", object.array("subject")?, |subject| {
        DigestSet::read(subject.as_object()?.object("digest")?)
    })?;
    let body = object.object("predicate")?;
    Ok(Bom { subjects, components: read(body).map_err(|e| e.within("predicate"))? })
}

/// Whether a predicate of this type lists parts.
#[must_use]
pub fn is_bom(predicate_type: &str) -> bool {
    let rest = predicate_type.strip_prefix(CYCLONEDX).or_else(|| predicate_type.strip_prefix(SPDX));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
    if object.get("bomFormat").is_some() {
        cyclonedx::read(object)
    } else if object.get("spdxVersion").is_some() {
        spdx::read(object)
    } else {
        Err(ShapeError::new("", "bomFormat (CycloneDX) or spdxVersion (SPDX)", "neither"))
    }
}

/// A component of a document: by its package URL where it has one that can be read, and else by its name.
fn of_parts(name: &str, version: Option<&str>, purl: Option<&str>, digests: &DigestSet) -> Component {
    let component = match purl.and_then(|text| Purl::parse(text).ok().map(|purl| (text, purl))) {
        Some((text, purl)) => Component::of_purl(text, &purl),
        None => Component { purl: purl.map(str::to_owned), ..Component::named(name) },
    };
    let version = component.version.clone().or_else(|| version.map(str::to_owned));
    Component { version, ..component }.with_digests(digests)
}

fn check_count(count: usize) -> Result<(), ShapeError> {
    if count > MAX_COMPONENTS {
        return Err(ShapeError::new("", &format!("at most {MAX_COMPONENTS} components"), &count.to_string()));
    }
    Ok(())
}
