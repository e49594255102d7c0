//! Google Cloud Build: SLSA v0.1 with a recipe, and v1.
//!
//! <https://cloud.google.com/build/docs/securing-builds/view-build-provenance>, and
//! <https://cloud.google.com/build/gcb-buildtypes/google-worker/v1>. A source is a commit at a forge; a build of uploaded
//! files names none. Substitutions are what its requester chose, but those that the service sets itself.

use super::{Dependency, Provenance, Source, forge, read_dependency, slsa};
use crate::digest::{Algorithm, Digest};
use crate::json::{Json, Object, ShapeError, each};

/// Substitutions that the service sets itself (its documentation, "Substituting variable values").
const OWN: [&str; 17] = [
    "PROJECT_ID",
    "PROJECT_NUMBER",
    "BUILD_ID",
    "LOCATION",
    "TRIGGER_NAME",
    "TRIGGER_BUILD_CONFIG_PATH",
    "COMMIT_SHA",
    "REVISION_ID",
    "SHORT_SHA",
    "REPO_NAME",
    "REPO_FULL_NAME",
    "BRANCH_NAME",
    "TAG_NAME",
    "REF_NAME",
    "SERVICE_ACCOUNT",
    "SERVICE_ACCOUNT_EMAIL",
    "_HEAD_REPO_URL",
];

/// Reads a SLSA v0.1 predicate.
pub(super) fn read_v01(predicate: &Object) -> Result<Provenance, ShapeError> {
    let recipe = predicate.object("recipe")?;
    let none = Object::new();
    let arguments = recipe.optional_object("arguments").map_err(|e| e.within("recipe"))?.unwrap_or(&none);
    let metadata = predicate.optional_object("metadata")?.unwrap_or(&none);
    let within = |e: ShapeError| e.within("recipe");
    let builder = predicate.object("builder")?;
    let mut provenance = Provenance {
        format: "0.1".to_owned(),
        build_type: recipe.string("type").map_err(within)?.to_owned(),
        builder_id: builder.string("id").map_err(|e| e.within("builder"))?.to_owned(),
        target: recipe.optional_string("entryPoint").map_err(within)?.map(str::to_owned),
        dependencies: each("materials", predicate.optional_array("materials")?, read_dependency)?,
        invocation: metadata.optional_string("buildInvocationId")?.map(str::to_owned),
        started: slsa::time(metadata, "buildStartedOn").map_err(|e| e.within("metadata"))?,
        finished: slsa::time(metadata, "buildFinishedOn").map_err(|e| e.within("metadata"))?,
        ..Provenance::default()
    };
    let substitutions = arguments.optional_object("substitutions").map_err(within)?;
    add_substitutions(&mut provenance.parameters, substitutions)?;
    if provenance.target.is_none() {
        // steps that no file of the source names came with the request
        provenance.parameters.set_some("steps", arguments.get("steps").cloned());
    }
    if let Some(mut source) = provenance.dependencies.first().and_then(|d| commit_uri(&d.uri)) {
        source.reference = reference(substitutions)?;
        provenance.dependencies.remove(0);
        provenance.source = Some(source);
    }
    Ok(provenance)
}

/// Reads what the build type adds to SLSA v1.
pub(super) fn read_v1(provenance: &mut Provenance, definition: &Object) -> Result<(), ShapeError> {
    let external = definition.object("externalParameters")?;
    let within = |e: ShapeError| e.within("externalParameters");
    let chosen = external.optional_object("substitutions").map_err(within)?;
    provenance.parameters.remove("substitutions");
    let none = Object::new();
    let internal = definition.optional_object("internalParameters")?.unwrap_or(&none);
    let system =
        internal.optional_object("systemSubstitutions").map_err(|e| e.within("internalParameters"))?;
    // what the service set itself it says itself: a requester may set `TAG_NAME` too
    let is_chosen = |name: &str, value: &Json| system.is_none_or(|system| system.get(name) != Some(value));
    let chosen = chosen.unwrap_or(&none).iter().filter(|(name, value)| is_chosen(name, value));
    let chosen: Object = chosen.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    forge::add_inputs(&mut provenance.parameters, "substitutions.", Some(&chosen))?;
    let Some(config) = external.optional_object("buildConfigSource").map_err(within)? else { return Ok(()) };
    provenance.parameters.remove("buildConfigSource");
    let is_rest = |key: &str| !matches!(key, "path" | "repository" | "ref");
    let rest: Object =
        config.iter().filter(|(k, _)| is_rest(k)).map(|(k, v)| (k.to_owned(), v.clone())).collect();
    forge::add_inputs(&mut provenance.parameters, "buildConfigSource.", Some(&rest))?;
    provenance.target = config.optional_string("path").map_err(within)?.map(str::to_owned);
    let (repository, own) = forge::repository(config.string("repository").map_err(within)?);
    let given = config.optional_string("ref").map_err(within)?.map(str::to_owned);
    let reference = reference(system)?.or(given.filter(|r| r.starts_with("refs/"))).or(own);
    let is_it = |d: &Dependency| forge::repository(&d.uri).0 == repository;
    let resolved = provenance.dependencies.iter().position(is_it);
    let digests = resolved.map(|index| provenance.dependencies.remove(index).digests).unwrap_or_default();
    provenance.source = Some(Source { repository, reference, digests, ..Source::default() });
    Ok(())
}

fn add_substitutions(parameters: &mut Object, given: Option<&Object>) -> Result<(), ShapeError> {
    let chosen: Object = given
        .unwrap_or(&Object::new())
        .iter()
        .filter(|(name, _)| !OWN.contains(name))
        .map(|(name, value): (&str, &Json)| (name.to_owned(), value.clone()))
        .collect();
    forge::add_inputs(parameters, "substitutions.", Some(&chosen))
}

fn reference(substitutions: Option<&Object>) -> Result<Option<String>, ShapeError> {
    let Some(given) = substitutions else { return Ok(None) };
    let text = |key: &str| given.optional_string(key).map(|t| t.filter(|t| !t.is_empty()));
    if let Some(tag) = text("TAG_NAME")? {
        return Ok(Some(format!("refs/tags/{tag}")));
    }
    Ok(text("BRANCH_NAME")?.map(|branch| format!("refs/heads/{branch}")))
}

/// `https://github.com/acme/shop/commit/ID`, which is how v0.1 names a source.
fn commit_uri(uri: &str) -> Option<Source> {
    let (repository, commit) = uri.rsplit_once("/commit/")?;
    let commit = Digest::from_hex(Algorithm::GitCommit, commit).ok()?;
    let (repository, _) = forge::repository(repository);
    Some(Source { repository, digests: commit.into(), ..Source::default() })
}
