//! Lists of parts: what an artifact is made of, as CycloneDX or SPDX writes it.
//!
//! Only read here, and taken at the word of whoever signed the statement around it.

mod cyclonedx;
mod spdx;

use crate::digest::DigestSet;
use crate::json::{Object, ShapeError};

/// The predicate type of CycloneDX; versions may stand behind it.
pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";
/// The predicate type of SPDX; versions may stand behind it.
pub const SPDX: &str = "https://spdx.dev/Document";
/// A larger list is none of one artifact.
const MAX_PARTS: usize = 100_000;

/// One thing that an artifact is made of, as a list names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its name, with CycloneDX's group in front.
    pub name: String,
    /// Its version, as the list says beside the name.
    pub version: Option<String>,
    /// Its package URL, as it is written.
    pub purl: Option<String>,
    /// Its bytes.
    pub digests: DigestSet,
    /// Its licences, all of which hold: SPDX expressions, or names that are none.
    pub licences: Vec<String>,
    /// Whether it is the artifact itself, and no part of it.
    pub is_whole: bool,
}

impl Part {
    /// What a person calls it: its package URL, or its name and version.
    #[must_use]
    pub fn label(&self) -> String {
        match (&self.purl, &self.version) {
            (Some(purl), _) => purl.clone(),
            (None, Some(version)) => format!("{} {version}", self.name),
            (None, None) => self.name.clone(),
        }
    }
}

/// Whether a predicate of this type lists parts.
#[must_use]
pub fn is_list(predicate_type: &str) -> bool {
    let rest = predicate_type.strip_prefix(CYCLONEDX).or_else(|| predicate_type.strip_prefix(SPDX));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The parts of a CycloneDX (1.4 to 1.7) or SPDX (2.2, 2.3) document.
///
/// # Errors
/// [`ShapeError`] for what is neither, has another shape than its format says, or lists more than 100,000 parts.
pub fn read(object: &Object) -> Result<Vec<Part>, ShapeError> {
    if object.get("bomFormat").is_some() {
        cyclonedx::read(object)
    } else if object.get("spdxVersion").is_some() {
        spdx::read(object)
    } else {
        Err(ShapeError::new("", "bomFormat (CycloneDX) or spdxVersion (SPDX)", "neither"))
    }
}

fn check_count(count: usize) -> Result<(), ShapeError> {
    if count > MAX_PARTS {
        return Err(ShapeError::new("", &format!("at most {MAX_PARTS} components"), &count.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<Part> {
        read(crate::json::parse(text.as_bytes()).unwrap().as_object().unwrap()).unwrap()
    }

    #[test]
    fn licences_are_read_as_they_stand() {
        let cyclonedx = parts(
            r#"{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"name":"shop"}},"components":[
            {"name":"a","licenses":[{"license":{"id":"MIT"}},{"license":{"name":"our own"}}]},
            {"name":"b","licenses":[{"expression":"MIT OR Apache-2.0"}]},{"name":"c"}]}"#,
        );
        let licences: Vec<_> = cyclonedx.iter().map(|p| (p.is_whole, p.licences.clone())).collect();
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            licences,
            [
                (true, words(&[])),
                (false, words(&["MIT", "our own"])),
                (false, words(&["MIT OR Apache-2.0"])),
                (false, words(&[]))
            ]
        );
        let spdx = parts(
            r#"{"spdxVersion":"SPDX-2.3","documentDescribes":["SPDXRef-shop"],"packages":[
            {"SPDXID":"SPDXRef-shop","name":"shop","licenseDeclared":"NOASSERTION"},
            {"SPDXID":"SPDXRef-a","name":"a","licenseConcluded":"NOASSERTION","licenseDeclared":"MIT"},
            {"SPDXID":"SPDXRef-b","name":"b","licenseConcluded":"Zlib","licenseDeclared":"MIT"},
            {"SPDXID":"SPDXRef-c","name":"c","licenseConcluded":"NONE"}]}"#,
        );
        let licences: Vec<_> = spdx.iter().map(|p| (p.is_whole, p.licences.clone())).collect();
        assert_eq!(
            licences,
            [(true, vec![]), (false, words(&["MIT"])), (false, words(&["Zlib"])), (false, vec![])]
        );
    }

    #[test]
    fn a_document_that_describes_two_things_has_no_whole() {
        let spdx = parts(
            r#"{"spdxVersion":"SPDX-2.3","documentDescribes":["SPDXRef-a","SPDXRef-b"],"packages":[
            {"SPDXID":"SPDXRef-a","name":"a"},{"SPDXID":"SPDXRef-b","name":"b"}]}"#,
        );
        assert!(spdx.iter().all(|p| !p.is_whole));
        let spdx = parts(
            r#"{"spdxVersion":"SPDX-2.3","relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES",
            "relatedSpdxElement":"SPDXRef-a"}],"packages":[{"SPDXID":"SPDXRef-a","name":"a"},{"SPDXID":"SPDXRef-b","name":"b"}]}"#,
        );
        assert_eq!(spdx.iter().map(|p| p.is_whole).collect::<Vec<_>>(), [true, false]);
    }
}
