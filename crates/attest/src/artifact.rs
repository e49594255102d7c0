//! What is deployed: a name for people and digests for machines.

use crate::digest::{Digest, DigestSet};
use crate::json::{Json, Object, ShapeError};

/// An artifact: `uri` says what the requester calls it (and selects the policy), `digests` say what it is.
/// The URI never comes from evidence, and is never trusted to identify bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    uri: String,
    digests: DigestSet,
}

impl Artifact {
    /// Pairs a name with digests. A tag or digest at the end of an image reference is left out of the name.
    #[must_use]
    pub fn new(uri: &str, digests: DigestSet) -> Self {
        Self { uri: repository(uri).to_owned(), digests }
    }

    /// The name.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The digests.
    #[must_use]
    pub fn digests(&self) -> &DigestSet {
        &self.digests
    }

    /// The digest to show.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digests.first()
    }

    /// `NAME@sha256:9f3c…1a04`, for a line that people read.
    #[must_use]
    pub fn short(&self) -> String {
        match self.digest() {
            Some(digest) => format!("{}@{}", self.uri, digest.short()),
            None => self.uri.clone(),
        }
    }

    /// The form in a case.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Object::new().with("uri", self.uri.as_str()).with("digest", self.digests.to_json()).into()
    }

    /// Reads the form in a case.
    ///
    /// # Errors
    /// [`ShapeError`] where it has another shape. Without a digest that decides it is read, and refused by the rule
    /// `digest-required`.
    pub fn read(value: &Json) -> Result<Self, ShapeError> {
        let object = value.as_object()?;
        let digests = DigestSet::read(object.object("digest")?).map_err(|e| e.within("digest"))?;
        Ok(Self { uri: object.string("uri")?.to_owned(), digests })
    }
}

/// `registry.example/shop:1.2@sha256:…` without its digest and tag; other URIs as they are.
fn repository(uri: &str) -> &str {
    let uri = uri.split_once("@sha256:").map_or(uri, |(name, _)| name);
    match uri.rsplit_once(':') {
        Some((name, tag)) if name.contains('/') && !tag.contains('/') && !name.ends_with(':') => name,
        _ => uri,
    }
}

#[cfg(test)]
mod tests {
    use super::repository;

    #[test]
    fn tags_and_digests_are_not_part_of_the_name() {
        for (given, name) in [
            ("registry.example/shop:1.2", "registry.example/shop"),
            ("registry.example:5000/shop", "registry.example:5000/shop"),
            ("registry.example:5000/shop:1@sha256:aa", "registry.example:5000/shop"),
            ("https://example.com/a.tar", "https://example.com/a.tar"),
            ("pkg:npm/left-pad@1.3.0", "pkg:npm/left-pad@1.3.0"),
            ("tree", "tree"),
        ] {
            assert_eq!(repository(given), name);
        }
    }
}
