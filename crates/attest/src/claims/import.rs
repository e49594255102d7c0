//! Somebody looked at packages of others before they were taken in.

use jiff::Timestamp;

use super::{strings, time};
use crate::digest::{Agreement, Digest, DigestSet};
use crate::json::{Json, Object, ShapeError, each};
use crate::statement::Subject;

/// Ours: releases of others that were reviewed, each by its bytes.
pub const IMPORT: &str = "https://portcullis.dev/import/v1";

/// Releases of others that were reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// What was reviewed, at least one.
    pub packages: Vec<Reviewed>,
    /// When the last of it was.
    pub reviewed: Timestamp,
}

/// One release that was reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// The package URL, with its version. For people: the bytes decide.
    pub purl: String,
    /// Where it came from.
    pub from: Option<String>,
    /// Its bytes; a subject of the statement too.
    pub digests: DigestSet,
    /// The bytes of the release to which it was compared; nothing where all of it was read.
    pub previous: Option<Digest>,
    /// Who looked.
    pub reviewers: Vec<String>,
    /// What for, where the review follows a scheme: `safe-to-deploy` of cargo-vet.
    pub criteria: Vec<String>,
}

impl Import {
    pub(crate) fn read(predicate: &Object, subjects: &[Subject]) -> Result<Self, ShapeError> {
        let packages = each("packages", predicate.array("packages")?, Reviewed::read)?;
        if packages.is_empty() {
            return Err(ShapeError::new("packages", "at least one", "none"));
        }
        for (index, package) in packages.iter().enumerate() {
            // what is about no subject would never be found, and could not be searched for
            if !subjects.iter().any(|s| s.digests.agrees(&package.digests) == Agreement::Same) {
                let path = format!("packages[{index}].digest");
                return Err(ShapeError::new(
                    &path,
                    "the digest of a subject",
                    &package.digests.to_json().to_string(),
                ));
            }
        }
        Ok(Self { packages, reviewed: time(predicate, "reviewedOn")? })
    }

    /// The predicate.
    #[must_use]
    pub fn to_json(&self) -> Object {
        let packages = self.packages.iter().map(Reviewed::to_json).collect();
        Object::new().with("packages", Json::Array(packages)).with("reviewedOn", self.reviewed.to_string())
    }

    /// The one among the packages that has these bytes.
    #[must_use]
    pub fn package(&self, digests: &DigestSet) -> Option<&Reviewed> {
        self.packages.iter().find(|p| p.digests.agrees(digests) == Agreement::Same)
    }
}

impl Reviewed {
    fn read(value: &Json) -> Result<Self, ShapeError> {
        let object = value.as_object()?;
        let purl = object.string("purl")?;
        if !purl.starts_with("pkg:") || !purl.contains('@') {
            return Err(ShapeError::new("purl", "a package URL with a version", purl));
        }
        let digests = DigestSet::read(object.object("digest")?).map_err(|e| e.within("digest"))?;
        let previous = match object.optional_object("previous")? {
            Some(previous) => DigestSet::read(previous).map_err(|e| e.within("previous"))?.first(),
            None => None,
        };
        Ok(Self {
            purl: purl.to_owned(),
            from: object.optional_string("uri")?.map(str::to_owned),
            digests,
            previous,
            reviewers: strings(object, "reviewers")?,
            criteria: strings(object, "criteria")?,
        })
    }

    fn to_json(&self) -> Json {
        let mut object = Object::new().with("purl", self.purl.as_str());
        object.set_some("uri", self.from.as_deref());
        object.set("digest", self.digests.to_json());
        object.set_some("previous", self.previous.clone().map(|d| DigestSet::from(d).to_json()));
        object.set("reviewers", self.reviewers.clone());
        if !self.criteria.is_empty() {
            object.set("criteria", self.criteria.clone());
        }
        object.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Predicate, Statement};
    use crate::time::parse_time;

    fn import() -> Import {
        let reviewed = |name: &str, previous: Option<Digest>| Reviewed {
            purl: format!("pkg:cargo/{name}@1.0.0"),
            from: Some(format!("https://static.crates.io/crates/{name}/{name}-1.0.0.crate")),
            digests: Digest::sha256(name.as_bytes()).into(),
            previous,
            reviewers: vec!["bob@acme.example".to_owned()],
            criteria: vec!["safe-to-deploy".to_owned()],
        };
        Import {
            packages: vec![reviewed("left", None), reviewed("right", Some(Digest::sha256(b"old")))],
            reviewed: parse_time("2026-11-22T09:00:00Z").unwrap(),
        }
    }

    fn statement(subjects: &[&str], predicate: &Object) -> Result<Statement, String> {
        let digests: Vec<DigestSet> = subjects.iter().map(|s| Digest::sha256(s.as_bytes()).into()).collect();
        let subjects: Vec<_> = subjects.iter().copied().zip(&digests).collect();
        let text = Statement::write_all(&subjects, IMPORT, predicate.clone());
        Statement::parse(text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let read = statement(&["left", "right"], &import().to_json()).unwrap();
        assert_eq!(read.predicate, Predicate::Import(import()));
    }

    #[test]
    fn a_package_that_is_no_subject_is_an_error() {
        let refused = statement(&["left"], &import().to_json()).unwrap_err();
        assert!(
            refused.contains("predicate.packages[1].digest: wanted the digest of a subject"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_not_whole_is_an_error() {
        let none = Object::new()
            .with("packages", Json::Array(Vec::new()))
            .with("reviewedOn", "2026-11-22T09:00:00Z");
        assert!(statement(&["left"], &none).unwrap_err().contains("predicate.packages: wanted at least one"));
        let text = import().to_json().to_string();
        for (from, to, path) in [
            ("pkg:cargo/left@1.0.0", "left", "packages[0].purl"),
            ("2026-11-22T09:00:00Z", "yesterday", "reviewedOn"),
            (r#""reviewers":["bob@acme.example"]"#, r#""reviewers":"bob""#, "packages[0].reviewers"),
        ] {
            let changed = crate::json::parse(text.replace(from, to).as_bytes()).unwrap();
            let refused = statement(&["left", "right"], changed.as_object().unwrap()).unwrap_err();
            assert!(refused.contains(path), "{refused}");
        }
    }
}
