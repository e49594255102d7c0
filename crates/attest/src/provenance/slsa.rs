//! SLSA Provenance v1 read and written, v0.2 read.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{BUILD_TYPE, Producer, cloud_build, generator, github, npm, tekton};
use super::{Commit, Dependency, Isolation, Provenance, Source, git_digests, split_git_uri};
use crate::digest::{Digest, DigestSet};
use crate::json::{Json, Object, ShapeError, each};
use crate::time::parse_time;

/// The predicate type of SLSA Provenance v0.1, which Google Cloud Build writes still.
pub const SLSA_V01: &str = "https://slsa.dev/provenance/v0.1";
/// The predicate type of SLSA Provenance v1.
pub const SLSA_V1: &str = "https://slsa.dev/provenance/v1";
/// The predicate type of SLSA Provenance v0.2.
pub const SLSA_V02: &str = "https://slsa.dev/provenance/v0.2";

impl Provenance {
    /// Reads a SLSA v1 predicate. Unknown fields are ignored, except external parameters: all of those stay, and
    /// a policy must list them.
    ///
    /// # Errors
    /// [`ShapeError`] for missing required fields and for fields of another shape.
    pub fn from_slsa_v1(predicate: &Object) -> Result<Self, ShapeError> {
        let definition = predicate.object("buildDefinition")?;
        let run = predicate.object("runDetails")?;
        let builder = run.object("builder").map_err(|e| e.within("runDetails"))?;
        let metadata = run.optional_object("metadata").map_err(|e| e.within("runDetails"))?;
        let mut provenance = Self::read_definition(definition).map_err(|e| e.within("buildDefinition"))?;
        provenance.read_producer(definition).map_err(|e| e.within("buildDefinition"))?;
        provenance.builder_id = builder.string("id").map_err(|e| e.within("runDetails.builder"))?.to_owned();
        provenance.builder_version = match builder.optional_object("version")?.and_then(|v| v.iter().next()) {
            Some((_, version)) => Some(version.as_str()?.to_owned()),
            None => None,
        };
        if let Some(metadata) = metadata {
            let within = |e: ShapeError| e.within("runDetails.metadata");
            provenance.invocation =
                metadata.optional_string("invocationId").map_err(within)?.map(str::to_owned);
            provenance.started = time(metadata, "startedOn").map_err(within)?;
            provenance.finished = time(metadata, "finishedOn").map_err(within)?;
        }
        provenance.settle_builder_version();
        Ok(provenance)
    }

    fn read_definition(definition: &Object) -> Result<Self, ShapeError> {
        let mut external = definition.object("externalParameters")?.clone();
        let none = Object::new();
        let internal = definition.optional_object("internalParameters")?.unwrap_or(&none);
        let inputs = definition.optional_array("resolvedDependencies")?;
        let (source, resolved) = take_source(&mut external, inputs)?;
        let target = match external.get("target") {
            Some(Json::String(target)) => Some(target.clone()),
            _ => None,
        };
        if target.is_some() {
            external.remove("target");
        }
        if let Some(Json::Object(inner)) = external.get("parameters").cloned() {
            external.remove("parameters");
            for (key, value) in inner.iter() {
                if external.get(key).is_some() {
                    return Err(ShapeError::new("externalParameters.parameters", "names used once", key));
                }
                external.set(key, value.clone());
            }
        }
        // only the one that was taken for the source is no dependency, whatever others say of themselves
        let others = inputs.iter().enumerate().filter(|(i, _)| Some(*i) != resolved);
        let dependencies = others
            .map(|(i, item)| {
                read_dependency(item).map_err(|e| e.within(&format!("resolvedDependencies[{i}]")))
            })
            .collect::<Result<_, _>>()?;
        let words = each("portcullis_command", internal.optional_array("portcullis_command")?, |word| {
            word.as_str().map(str::to_owned)
        })?;
        Ok(Self {
            format: "1.0".to_owned(),
            build_type: definition.string("buildType")?.to_owned(),
            builder_id: String::new(),
            builder_version: None,
            source,
            target,
            parameters: external,
            dependencies,
            command: (!words.is_empty()).then_some(words),
            environment: read_environment(internal.optional_object("portcullis_environment")?)?,
            hermetic: internal.flag("portcullis_hermetic")?,
            isolation: Isolation::read(internal.optional_object("portcullis_isolation")?)
                .map_err(|e| e.within("internalParameters.portcullis_isolation"))?,
            cached_from: read_digest(internal, "portcullis_cachedFrom")
                .map_err(|e| e.within("internalParameters"))?,
            ..Self::default()
        })
    }

    /// What the build type means, where it is one of a producer that we know.
    fn read_producer(&mut self, definition: &Object) -> Result<(), ShapeError> {
        match self.producer() {
            Producer::GitHub | Producer::Npm => github::read(self, definition),
            Producer::SlsaGenerator => generator::read_v1(self, definition),
            Producer::CloudBuild => cloud_build::read_v1(self, definition),
            Producer::Tekton => tekton::read_v1(self, definition),
            Producer::Portcullis | Producer::PyPi | Producer::Other => Ok(()),
        }
    }

    /// Reads a SLSA v0.1 predicate.
    ///
    /// # Errors
    /// [`ShapeError`] for missing required fields and for fields of another shape.
    pub fn from_slsa_v01(predicate: &Object) -> Result<Self, ShapeError> {
        let mut provenance = cloud_build::read_v01(predicate)?;
        provenance.settle_builder_version();
        Ok(provenance)
    }

    /// Reads a SLSA v0.2 predicate.
    ///
    /// # Errors
    /// [`ShapeError`] for missing required fields and for fields of another shape.
    pub fn from_slsa_v02(predicate: &Object) -> Result<Self, ShapeError> {
        let empty = Object::new();
        let builder = predicate.object("builder")?;
        let invocation = predicate.optional_object("invocation")?.unwrap_or(&empty);
        let config = invocation.optional_object("configSource").map_err(|e| e.within("invocation"))?;
        let metadata = predicate.optional_object("metadata")?.unwrap_or(&empty);
        let source = match config {
            Some(config) => match config.optional_string("uri")? {
                Some(uri) => {
                    let (repository, reference) = split_git_uri(uri);
                    Some(Source {
                        repository: repository.to_owned(),
                        reference: reference.map(str::to_owned),
                        digests: git_digests(config.optional_object("digest")?.unwrap_or(&empty))?,
                        ..Source::default()
                    })
                }
                None => None,
            },
            None => None,
        };
        let within = |e: ShapeError| e.within("metadata");
        let mut provenance = Self {
            format: "0.2".to_owned(),
            build_type: predicate.string("buildType")?.to_owned(),
            builder_id: builder.string("id").map_err(|e| e.within("builder"))?.to_owned(),
            builder_version: None,
            source,
            target: match config {
                Some(config) => config.optional_string("entryPoint")?.map(str::to_owned),
                None => None,
            },
            parameters: invocation.optional_object("parameters")?.cloned().unwrap_or_default(),
            dependencies: each("materials", predicate.optional_array("materials")?, read_dependency)?,
            invocation: metadata.optional_string("buildInvocationId").map_err(within)?.map(str::to_owned),
            started: time(metadata, "buildStartedOn").map_err(within)?,
            finished: time(metadata, "buildFinishedOn").map_err(within)?,
            ..Self::default()
        };
        match provenance.producer() {
            Producer::SlsaGenerator => generator::read_v02(&mut provenance, predicate)?,
            Producer::Npm => npm::read(&mut provenance, predicate)?,
            Producer::Tekton => tekton::read_v02(&mut provenance),
            Producer::CloudBuild
            | Producer::GitHub
            | Producer::Portcullis
            | Producer::PyPi
            | Producer::Other => {}
        }
        provenance.settle_builder_version();
        Ok(provenance)
    }

    /// Writes a SLSA v1 predicate.
    #[must_use]
    pub fn to_slsa_v1(&self) -> Object {
        let mut external = Object::new();
        if let Some(source) = &self.source {
            let mut object = Object::new().with("repository", source.repository.as_str());
            object.set_some("ref", source.reference.as_deref());
            external.set("source", object);
        }
        external.set_some("target", self.target.as_deref());
        if !self.parameters.is_empty() {
            external.set("parameters", self.parameters.clone());
        }
        let environment = self.environment.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect();
        let mut internal = Object::new();
        if !self.environment.is_empty() {
            internal.set("portcullis_environment", Json::Object(environment));
        }
        internal.set_some("portcullis_command", self.command.clone());
        if self.hermetic {
            internal.set("portcullis_hermetic", true);
        }
        internal.set_some("portcullis_isolation", self.isolation.as_ref().map(Isolation::to_json));
        internal.set_some("portcullis_cachedFrom", self.cached_from.as_ref().map(Digest::to_string));
        let source = self.source.iter().map(write_source);
        let inputs = source.chain(self.dependencies.iter().map(write_dependency)).collect();
        let definition = Object::new()
            .with("buildType", self.build_type.as_str())
            .with("externalParameters", external)
            .with("internalParameters", internal)
            .with("resolvedDependencies", Json::Array(inputs));
        let mut builder = Object::new().with("id", self.builder_id.as_str());
        let version = self.builder_version.as_deref().map(|v| Object::new().with("portcullis", v));
        builder.set_some("version", version);
        let mut metadata = Object::new();
        metadata.set_some("invocationId", self.invocation.as_deref());
        metadata.set_some("startedOn", self.started.map(|t| t.to_string()));
        metadata.set_some("finishedOn", self.finished.map(|t| t.to_string()));
        let run = Object::new().with("builder", builder).with("metadata", metadata);
        Object::new().with("buildDefinition", definition).with("runDetails", run)
    }

    /// Whether the record is of our own build type, whose parameters mean what this module says.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.build_type == BUILD_TYPE
    }
}

pub(super) fn time(object: &Object, key: &str) -> Result<Option<Timestamp>, ShapeError> {
    let Some(text) = object.optional_string(key)? else { return Ok(None) };
    let bad = || ShapeError::new(key, "an RFC 3339 time in UTC, ending in Z", text);
    parse_time(text).ok_or_else(bad).map(Some)
}

fn role(item: &Json) -> Option<&str> {
    item.as_object().ok()?.optional_object("annotations").ok()??.optional_string("role").ok()?
}

/// Takes `source` out of the external parameters and joins it with the resolved dependency that gives its version:
/// the one whose annotation says so, else the one with the same repository (never simply the first).
fn take_source(
    external: &mut Object,
    inputs: &[Json],
) -> Result<(Option<Source>, Option<usize>), ShapeError> {
    let mut source = match external.get("source") {
        Some(Json::Object(given)) if given.get("repository").is_some() => {
            if let Some((unknown, _)) = given.iter().find(|(k, _)| !matches!(*k, "repository" | "ref")) {
                return Err(ShapeError::new(
                    "externalParameters.source",
                    "repository and ref alone",
                    unknown,
                ));
            }
            Source {
                repository: given.string("repository")?.to_owned(),
                reference: given.optional_string("ref")?.map(str::to_owned),
                ..Source::default()
            }
        }
        Some(Json::String(uri)) => {
            let (repository, reference) = split_git_uri(uri);
            let reference = reference.map(str::to_owned);
            Source { repository: repository.to_owned(), reference, ..Source::default() }
        }
        _ => return Ok((None, None)),
    };
    external.remove("source");
    let is_same = |item: &&Json| {
        let uri = item.as_object().ok().and_then(|o| o.optional_string("uri").ok()?);
        uri.is_some_and(|uri| is_repository(uri, &source.repository))
    };
    let marked = inputs.iter().position(|i| role(i) == Some("source"));
    let resolved = marked.or_else(|| inputs.iter().position(|i| is_same(&i)));
    if let Some(item) = resolved.and_then(|i| inputs.get(i)) {
        read_resolved_source(&mut source, item.as_object()?)?;
    }
    Ok((Some(source), resolved))
}

/// Whether `git+REPOSITORY@REF` names this repository; compared as a text, since repositories may hold an `@` of their own.
fn is_repository(uri: &str, repository: &str) -> bool {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    uri.strip_prefix(repository).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

fn read_resolved_source(source: &mut Source, resolved: &Object) -> Result<(), ShapeError> {
    let uri = resolved.optional_string("uri")?.unwrap_or(&source.repository);
    if !is_repository(uri, &source.repository) {
        let wanted = format!("the repository of externalParameters.source, {}", source.repository);
        return Err(ShapeError::new("resolvedDependencies", &wanted, uri));
    }
    source.digests = git_digests(resolved.optional_object("digest")?.unwrap_or(&Object::new()))?;
    if let Some(annotations) = resolved.optional_object("annotations")? {
        source.committed = time(annotations, "committed")?;
        source.history = each("history", annotations.optional_array("history")?, read_commit)?;
        source.kept_until = time(annotations, "keptUntil")?;
    }
    Ok(())
}

pub(crate) fn read_commit(value: &Json) -> Result<Commit, ShapeError> {
    let object = value.as_object()?;
    let strings = |key: &str| each(key, object.array(key)?, |s| s.as_str().map(str::to_owned));
    Ok(Commit {
        id: object.string("id")?.to_owned(),
        parents: strings("parents")?,
        people: strings("people")?,
    })
}

pub(crate) fn read_dependency(value: &Json) -> Result<Dependency, ShapeError> {
    let object = value.as_object()?;
    let uri = match object.optional_string("uri")? {
        Some(uri) => uri,
        None => object.optional_string("name")?.unwrap_or_default(),
    };
    let digests = match object.optional_object("digest")? {
        Some(digest) if uri.starts_with("git+") => git_digests(digest)?,
        Some(digest) => DigestSet::read(digest)?,
        None => DigestSet::default(),
    };
    if uri.is_empty() && digests.is_empty() {
        return Err(ShapeError::new("", "a uri or a digest", "neither"));
    }
    let name = object.optional_string("name")?.filter(|n| *n != uri).map(str::to_owned);
    let provenance = match object.optional_object("annotations")? {
        Some(annotations) => {
            read_digest(annotations, "portcullis_provenance").map_err(|e| e.within("annotations"))?
        }
        None => None,
    };
    Ok(Dependency { name, uri: uri.to_owned(), digests, is_tool: role(value) == Some("tool"), provenance })
}

pub(super) fn read_digest(object: &Object, key: &str) -> Result<Option<Digest>, ShapeError> {
    let Some(text) = object.optional_string(key)? else { return Ok(None) };
    Digest::parse(text).map(Some).map_err(|e| ShapeError::new(key, "a digest", &e.to_string()))
}

pub(crate) fn read_environment(object: Option<&Object>) -> Result<BTreeMap<String, String>, ShapeError> {
    let empty = Object::new();
    let pairs = object.unwrap_or(&empty).iter();
    pairs.map(|(k, v)| Ok((k.to_owned(), v.as_str().map_err(|e| e.within(k))?.to_owned()))).collect()
}

fn write_source(source: &Source) -> Json {
    let reference = source.reference.as_deref().map(|r| format!("@{r}")).unwrap_or_default();
    let mut annotations = Object::new().with("role", "source");
    annotations.set_some("committed", source.committed.map(|t| t.to_string()));
    if !source.history.is_empty() {
        annotations.set("history", Json::Array(source.history.iter().map(Commit::to_json).collect()));
    }
    annotations.set_some("keptUntil", source.kept_until.map(|t| t.to_string()));
    Object::new()
        .with("uri", format!("git+{}{reference}", source.repository))
        .with("digest", source.digests.to_json())
        .with("annotations", annotations)
        .into()
}

pub(crate) fn write_dependency(dependency: &Dependency) -> Json {
    let role = if dependency.is_tool { "tool" } else { "input" };
    let mut object = Object::new();
    object.set_some("name", dependency.name.as_deref());
    object.set("uri", dependency.uri.as_str());
    if !dependency.digests.is_empty() {
        object.set("digest", dependency.digests.to_json());
    }
    let mut annotations = Object::new().with("role", role);
    annotations.set_some("portcullis_provenance", dependency.provenance.as_ref().map(Digest::to_string));
    object.with("annotations", annotations).into()
}
