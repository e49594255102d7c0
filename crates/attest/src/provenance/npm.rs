//! The npm command line's provenance in SLSA v0.2, and the registry's publish attestation.
//!
//! <https://github.com/npm/cli/blob/latest/workspaces/libnpmpublish/lib/provenance.js>. On GitHub it says nothing of what a
//! manual start was given; on GitLab it writes the job's variables as parameters.

use super::{Provenance, forge};
use crate::claims::Release;
use crate::json::{Object, ShapeError};
use crate::statement::Subject;

/// The registry's word that it published a package.
pub const NPM_PUBLISH: &str = "https://github.com/npm/attestation/tree/main/specs/publish/v0.1";

/// Reads what npm adds to SLSA v0.2.
pub(super) fn read(provenance: &mut Provenance, predicate: &Object) -> Result<(), ShapeError> {
    let none = Object::new();
    let invocation = predicate.optional_object("invocation")?.unwrap_or(&none);
    let environment = invocation.optional_object("environment").map_err(|e| e.within("invocation"))?;
    let event = environment.unwrap_or(&none).optional_string("GITHUB_EVENT_NAME");
    provenance.trigger = event.map_err(|e| e.within("invocation.environment"))?.map(str::to_owned);
    if let Some(config) = invocation.optional_object("configSource")?
        && let Some(uri) = config.optional_string("uri")?
    {
        let mut source = forge::source(uri, config.optional_object("digest")?)?;
        if provenance.build_type.contains("/gitlab/") {
            source.reference = source.reference.or(gitlab_reference(&provenance.parameters)?);
            provenance.trigger = text(&provenance.parameters, "CI_PIPELINE_SOURCE")?;
            take_variables(&mut provenance.parameters);
        }
        provenance.settle_source(source);
    }
    Ok(())
}

fn text(parameters: &Object, key: &str) -> Result<Option<String>, ShapeError> {
    parameters.optional_string(key).map(|t| t.filter(|t| !t.is_empty()).map(str::to_owned))
}

fn gitlab_reference(parameters: &Object) -> Result<Option<String>, ShapeError> {
    if let Some(tag) = text(parameters, "CI_COMMIT_TAG")? {
        return Ok(Some(format!("refs/tags/{tag}")));
    }
    Ok(text(parameters, "CI_COMMIT_BRANCH")?.map(|branch| format!("refs/heads/{branch}")))
}

/// The variables that GitLab sets itself: nobody chose them.
fn take_variables(parameters: &mut Object) {
    let is_own = |name: &str| name == "CI" || name.starts_with("CI_") || name.starts_with("GITLAB_");
    let own: Vec<String> = parameters.iter().filter(|(n, _)| is_own(n)).map(|(n, _)| n.to_owned()).collect();
    for name in own {
        parameters.remove(&name);
    }
}

/// Reads the publish attestation as a release of the package that its subject names. The predicate says name and version
/// once more; two different packages are an error.
pub(crate) fn read_publish(predicate: &Object, subjects: &[Subject]) -> Result<Release, ShapeError> {
    let (name, version) = (predicate.string("name")?, predicate.string("version")?);
    let wanted = format!("pkg:npm/{}@{version}", name.replacen('@', "%40", 1));
    let [subject] = subjects else {
        return Err(ShapeError::new("", "one subject, a package", &format!("{}", subjects.len())));
    };
    if subject.name != wanted {
        return Err(ShapeError::new("name", &subject.name, &wanted));
    }
    Ok(Release { purl: wanted, environments: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::json::Json;

    #[test]
    fn a_publish_attestation_says_one_package_twice_or_nothing() {
        let subject = |name: &str| Subject { name: name.to_owned(), digests: Digest::sha256(b"x").into() };
        let predicate = Object::new().with("name", "@acme/shop").with("version", "1.0.5");
        let release = read_publish(&predicate, &[subject("pkg:npm/%40acme/shop@1.0.5")]).unwrap();
        assert_eq!(release.version(), Some("1.0.5"));
        assert!(read_publish(&predicate, &[subject("pkg:npm/%40acme/shop@1.0.6")]).is_err());
        assert!(read_publish(&predicate, &[]).is_err());
    }

    #[test]
    fn what_gitlab_sets_itself_nobody_chose() {
        let mut parameters =
            Object::new().with("CI_COMMIT_TAG", "v1").with("CI", "true").with("MINE", Json::from("1"));
        assert_eq!(gitlab_reference(&parameters).unwrap().as_deref(), Some("refs/tags/v1"));
        take_variables(&mut parameters);
        assert_eq!(parameters, Object::new().with("MINE", "1"));
    }
}
