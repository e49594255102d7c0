//! A link: what somebody says went in and out of one step.

use std::collections::BTreeMap;

use attest::digest::DigestSet;
use attest::json::ShapeError;
use attest::{Json, Object};

use super::apply::Artifacts;
use super::glob::is_normal;

/// A large source tree has some ten thousand files.
const MAX_ARTIFACTS: usize = 100_000;

/// A link, unproven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which step it says it is of.
    pub name: String,
    /// What ran; empty where a person did it.
    pub command: Vec<String>,
    /// What was there before.
    pub materials: Artifacts,
    /// What was there after.
    pub products: Artifacts,
}

impl Link {
    /// Reads what is signed.
    ///
    /// # Errors
    /// [`ShapeError`] for malformed fields, unknown ones, and paths that some verifiers would clean (CVE-2021-41087).
    pub fn read(object: &Object) -> Result<Self, ShapeError> {
        const KNOWN: [&str; 7] =
            ["_type", "name", "command", "materials", "products", "byproducts", "environment"];
        only(object, &KNOWN)?;
        let kind = object.string("_type")?;
        if kind != "link" {
            return Err(ShapeError::new("_type", "link", kind));
        }
        object.optional_object("byproducts")?;
        object.optional_object("environment")?;
        Ok(Self {
            name: object.string("name")?.to_owned(),
            command: words(object, "command")?,
            materials: artifacts(object, "materials")?,
            products: artifacts(object, "products")?,
        })
    }
}

/// Refuses fields that nobody here gives a meaning to.
pub(super) fn only(object: &Object, known: &[&str]) -> Result<(), ShapeError> {
    match object.iter().find(|(key, _)| !known.contains(key)) {
        None => Ok(()),
        Some((key, _)) => {
            Err(ShapeError::new(key, &format!("only {}", known.join(", ")), "an unknown field"))
        }
    }
}

/// A list of words; one text is read as one word nowhere.
pub(super) fn words(object: &Object, key: &str) -> Result<Vec<String>, ShapeError> {
    attest::json::each(key, object.optional_array(key)?, |item| item.as_str().map(str::to_owned))
}

fn artifacts(object: &Object, key: &str) -> Result<Artifacts, ShapeError> {
    let listed = object.object(key)?;
    if listed.len() > MAX_ARTIFACTS {
        return Err(ShapeError::new(key, "at most 100000 artifacts", &listed.len().to_string()));
    }
    let read = |(path, value): (&str, &Json)| {
        if !is_normal(path) {
            return Err(ShapeError::new(
                path,
                "a path without `.`, `..`, `//` and backslashes",
                "another spelling",
            ));
        }
        let digests = DigestSet::read(value.as_object().map_err(|e| e.within(path))?);
        Ok((path.to_owned(), digests.map_err(|e| e.within(path))?))
    };
    listed.iter().map(read).collect::<Result<BTreeMap<_, _>, _>>().map_err(|e| e.within(key))
}
