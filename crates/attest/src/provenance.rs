//! Binary provenance in the chapter's words: one record, whatever the format it arrived in.
//!
//! Chapter 14, "What to put in binary provenance": authenticity is the envelope, outputs are the statement's
//! subjects, and everything else has a field here. `slsa` and `jwt` read and write it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::digest::{Algorithm, Digest, DigestSet};
use crate::json::{Json, Object, ShapeError, each};

mod certified;
mod cloud_build;
pub mod difference;
mod forge;
mod generator;
mod github;
mod job;
mod npm;
mod producer;
mod pypi;
mod slsa;
mod tekton;

pub use certified::Disagreement;
pub use job::{JOB_BUILD_TYPE, NON_ISOLATED};
pub use npm::NPM_PUBLISH;
pub(crate) use npm::read_publish;
pub use producer::Producer;
pub use pypi::PYPI_PUBLISH;
pub use slsa::{SLSA_V01, SLSA_V1, SLSA_V02};
pub(crate) use slsa::{read_commit, read_dependency, read_environment, write_dependency};

/// The build type of builds made by Portcullis: a git commit, a target of its build definition, parameters.
pub const BUILD_TYPE: &str = "https://portcullis.dev/build/git/v1";

/// How an artifact came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Versioning: the version of the format it came in, `1.0` or `0.2`.
    pub format: String,
    /// What kind of build it was: says what the parameters mean.
    pub build_type: String,
    /// Authenticity: the builder it claims; the trust root says which keys may claim it.
    pub builder_id: String,
    /// The builder's own version.
    pub builder_version: Option<String>,
    /// Inputs: the main source.
    pub source: Option<Source>,
    /// What was asked to be built from it.
    pub target: Option<String>,
    /// What else the requester of the build chose; a policy lists every one.
    pub parameters: Object,
    /// Inputs: dependencies, tools included.
    pub dependencies: Vec<Dependency>,
    /// The command, structured.
    pub command: Option<Vec<String>>,
    /// The environment in which it ran.
    pub environment: BTreeMap<String, String>,
    /// Whether the builder claims that every input was declared before the build.
    pub hermetic: bool,
    /// What the builder proved of its own isolation before it ran the command.
    pub isolation: Option<Isolation>,
    /// The provenance (digest of its bundle) of the earlier build whose outputs were taken from the cache.
    pub cached_from: Option<Digest>,
    /// What began the run, as in `push` or `workflow_dispatch`.
    pub trigger: Option<String>,
    /// On what it ran, as in `github-hosted`.
    pub runner: Option<String>,
    /// Debug info: which run it was. No rule reads it.
    pub invocation: Option<String>,
    /// Versioning: when the build began.
    pub started: Option<Timestamp>,
    /// Versioning: when the build ended.
    pub finished: Option<Timestamp>,
}

/// The main input: where it came from and which version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The identifier: where the builder fetched it.
    pub repository: String,
    /// The ref that was asked for, as in `refs/heads/main`.
    pub reference: Option<String>,
    /// The branch that a tag was pushed from, as in `refs/heads/main`, where the forge's event says so.
    pub tagged_branch: Option<String>,
    /// The version: the git commit and tree.
    pub digests: DigestSet,
    /// Input metadata: when the commit was made.
    pub committed: Option<Timestamp>,
    /// Input metadata: the latest commits and who wrote them, as the builder read them.
    pub history: Vec<Commit>,
    /// Until when the builder promises to keep a copy of it.
    pub kept_until: Option<Timestamp>,
}

/// What a canary build found out about the sandbox, layer by layer (chapter 14, "Verifiable builds": the claim is worth
/// what isolates the build).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// The kind of sandbox: `bubblewrap`, `gvisor`.
    pub tier: String,
    /// The digest of its configuration.
    pub profile: Option<Digest>,
    /// The layers that held.
    pub held: Vec<String>,
    /// The layers that were not there, which the builder was told to do without.
    pub missing: Vec<String>,
}

/// One commit of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The commit id in hex.
    pub id: String,
    /// Its parents' ids.
    pub parents: Vec<String>,
    /// Author, committer and co-authors, as identities (`alice@acme.example`).
    pub people: Vec<String>,
}

/// Any other input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependency {
    /// The name under which the build found it.
    pub name: Option<String>,
    /// The identifier.
    pub uri: String,
    /// The version.
    pub digests: DigestSet,
    /// Whether it is a tool (a compiler, a toolchain) and not material.
    pub is_tool: bool,
    /// Where it is another build's artifact: the digest of the bundle that proved it.
    pub provenance: Option<Digest>,
}

impl Isolation {
    /// Reads it where it is.
    ///
    /// # Errors
    /// [`ShapeError`] for another shape.
    pub fn read(object: Option<&Object>) -> Result<Option<Self>, ShapeError> {
        let Some(object) = object else { return Ok(None) };
        let layers =
            |key: &str| each(key, object.optional_array(key)?, |layer| layer.as_str().map(str::to_owned));
        Ok(Some(Self {
            tier: object.string("tier")?.to_owned(),
            profile: slsa::read_digest(object, "profile")?,
            held: layers("held")?,
            missing: layers("missing")?,
        }))
    }

    /// As it stands in provenance.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut object = Object::new().with("tier", self.tier.as_str());
        object.set_some("profile", self.profile.as_ref().map(Digest::to_string));
        object.with("held", self.held.clone()).with("missing", self.missing.clone()).into()
    }
}

impl Source {
    /// The commit.
    #[must_use]
    pub fn commit(&self) -> Option<Digest> {
        self.digests.get(Algorithm::GitCommit)
    }

    /// The branch that the ref names, or from which the tag was pushed that it names.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        let tagged = self.tagged_branch.as_deref().filter(|_| self.tag().is_some());
        tagged.or(self.reference.as_deref())?.strip_prefix("refs/heads/")
    }

    /// The tag that the ref names.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.reference.as_deref()?.strip_prefix("refs/tags/")
    }
}

impl Commit {
    pub(crate) fn to_json(&self) -> Json {
        Object::new()
            .with("id", self.id.as_str())
            .with("parents", Json::from(self.parents.clone()))
            .with("people", Json::from(self.people.clone()))
            .into()
    }
}

/// `git+https://host/repo@refs/heads/main` as its repository and ref.
fn split_git_uri(uri: &str) -> (&str, Option<&str>) {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    match uri.rsplit_once('@') {
        // a user name before the host is not a ref
        Some((repository, reference)) if repository.contains("://") && !reference.contains("://") => {
            if repository.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) {
                (repository, Some(reference))
            } else {
                (uri, None)
            }
        }
        _ => (uri, None),
    }
}

/// A digest set in which a git object's `sha1` counts as the commit id that it is.
fn git_digests(object: &Object) -> Result<DigestSet, crate::json::ShapeError> {
    let set = DigestSet::read(object)?;
    if set.get(Algorithm::GitCommit).is_some() {
        return Ok(set);
    }
    match object.optional_string("sha1")? {
        Some(id) => {
            let commit = Digest::from_hex(Algorithm::GitCommit, id)
                .map_err(|e| crate::json::ShapeError::new("sha1", "a git object id", &e.to_string()))?;
            Ok(set.iter().chain([commit]).collect())
        }
        None => Ok(set),
    }
}
