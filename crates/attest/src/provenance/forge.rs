//! What the forges of all producers have in common: one spelling of a repository, one of a ref, and inputs by name.

use super::{Dependency, Provenance, Source, git_digests, split_git_uri};
use crate::json::{Json, Object, ShapeError};

/// `git+https://host/owner/name.git@refs/heads/main` as `https://host/owner/name` and its ref.
pub(super) fn repository(uri: &str) -> (String, Option<String>) {
    let (repository, reference) = split_git_uri(uri);
    let repository = repository.trim_end_matches('/');
    let repository = repository.strip_suffix(".git").unwrap_or(repository);
    (repository.to_owned(), reference.filter(|r| !r.is_empty()).map(str::to_owned))
}

/// The source that a URI and its digest set name.
pub(super) fn source(uri: &str, digest: Option<&Object>) -> Result<Source, ShapeError> {
    let (repository, reference) = repository(uri);
    let digests = git_digests(digest.unwrap_or(&Object::new())).map_err(|e| e.within("digest"))?;
    Ok(Source { repository, reference, digests, ..Source::default() })
}

/// The path of `owner/name/.github/workflows/ci.yml@refs/heads/main` in its repository.
pub(super) fn workflow_path(workflow_ref: &str) -> Option<String> {
    let (path, _) = workflow_ref.split_once('@')?;
    let mut parts = path.splitn(3, '/');
    parts.nth(2).filter(|path| !path.is_empty()).map(str::to_owned)
}

/// Adds every value of an object under names of their own: what somebody chose is listed one by one.
pub(super) fn add_inputs(
    parameters: &mut Object,
    prefix: &str,
    inputs: Option<&Object>,
) -> Result<(), ShapeError> {
    for (name, value) in inputs.unwrap_or(&Object::new()).iter().filter(|(_, v)| !matches!(v, Json::Null)) {
        let name = format!("{prefix}{name}");
        if parameters.get(&name).is_some() {
            return Err(ShapeError::new("parameters", "names used once", &name));
        }
        parameters.set(&name, value.clone());
    }
    Ok(())
}

/// Adds what somebody gave the run that they started: the inputs of a manual start, and what a start by the API carries.
pub(super) fn add_event(
    parameters: &mut Object,
    prefix: &str,
    of: &Object,
    payload: &str,
) -> Result<(), ShapeError> {
    let Some(event) = of.optional_object(payload)? else { return Ok(()) };
    for key in ["inputs", "client_payload"] {
        let given = event.optional_object(key).map_err(|e| e.within(payload))?;
        add_inputs(parameters, &format!("{prefix}{key}."), given)?;
    }
    Ok(())
}

/// The branch that a pushed tag was on, as GitHub's event says.
pub(super) fn tagged_branch(of: &Object, payload: &str) -> Result<Option<String>, ShapeError> {
    let Some(event) = of.optional_object(payload)? else { return Ok(None) };
    let base = event.optional_string("base_ref").map_err(|e| e.within(payload))?;
    Ok(base.filter(|base| base.starts_with("refs/heads/")).map(str::to_owned))
}

/// Removes an object without anything in it.
pub(super) fn take_empty(parameters: &mut Object, key: &str) {
    if matches!(parameters.get(key), Some(Json::Object(object)) if object.is_empty()) {
        parameters.remove(key);
    }
}

impl Provenance {
    /// Takes the source out of the dependencies, with the commit that they name for it.
    pub(super) fn settle_source(&mut self, mut source: Source) {
        let is_it = |dependency: &Dependency| {
            let (repository, reference) = repository(&dependency.uri);
            repository == source.repository && (reference.is_none() || reference == source.reference)
        };
        if let Some(index) = self.dependencies.iter().position(is_it) {
            let dependency = self.dependencies.remove(index);
            if source.digests.is_empty() {
                source.digests = dependency.digests;
            } else if source.digests != dependency.digests {
                // two commits of one repository: the other one is an input like any other
                self.dependencies.insert(index, dependency);
            }
        }
        self.source = Some(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_spelling() {
        for (uri, wanted, reference) in [
            (
                "git+https://github.com/acme/shop@refs/heads/main",
                "https://github.com/acme/shop",
                Some("refs/heads/main"),
            ),
            ("git+https://github.com/acme/shop.git", "https://github.com/acme/shop", None),
            ("https://github.com/acme/shop.git/", "https://github.com/acme/shop", None),
            ("https://user@host.example/acme/shop", "https://user@host.example/acme/shop", None),
            ("https://github.com/Acme/Shop", "https://github.com/Acme/Shop", None),
        ] {
            assert_eq!(repository(uri), (wanted.to_owned(), reference.map(str::to_owned)), "{uri}");
        }
    }

    #[test]
    fn a_workflow_is_its_path_in_the_repository() {
        let path = workflow_path("acme/shop/.github/workflows/ci.yml@refs/heads/main");
        assert_eq!(path.as_deref(), Some(".github/workflows/ci.yml"));
        assert_eq!(workflow_path("acme/shop"), None);
    }
}
