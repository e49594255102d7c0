//! slsa-github-generator: SLSA v0.2 of its own builders, v1 of delegated and of container-based ones.
//!
//! <https://github.com/slsa-framework/slsa-github-generator>. Each says what a manual start was given, as the builder
//! read it from the event.

use super::{Dependency, Provenance, forge};
use crate::digest::DigestSet;
use crate::json::{Json, Object, ShapeError, each};

/// Reads what the builders add to SLSA v0.2.
pub(super) fn read_v02(provenance: &mut Provenance, predicate: &Object) -> Result<(), ShapeError> {
    let none = Object::new();
    let invocation = predicate.optional_object("invocation")?.unwrap_or(&none);
    let within = |e: ShapeError| e.within("invocation.environment");
    let environment = invocation.optional_object("environment").map_err(|e| e.within("invocation"))?;
    let environment = environment.unwrap_or(&none);
    provenance.trigger = environment.optional_string("github_event_name").map_err(within)?.map(str::to_owned);
    forge::add_event(&mut provenance.parameters, "", environment, "github_event_payload").map_err(within)?;
    if let Some(config) = invocation.optional_object("configSource")?
        && let Some(uri) = config.optional_string("uri")?
    {
        let mut source = forge::source(uri, config.optional_object("digest")?)?;
        source.tagged_branch = forge::tagged_branch(environment, "github_event_payload").map_err(within)?;
        provenance.settle_source(source);
    }
    Ok(())
}

/// Reads what they add to SLSA v1.
pub(super) fn read_v1(provenance: &mut Provenance, definition: &Object) -> Result<(), ShapeError> {
    let none = Object::new();
    let internal = definition.optional_object("internalParameters")?.unwrap_or(&none);
    let within = |e: ShapeError| e.within("internalParameters");
    provenance.trigger = internal.optional_string("GITHUB_EVENT_NAME").map_err(within)?.map(str::to_owned);
    if provenance.build_type.starts_with("https://slsa.dev/container-based-build/") {
        read_container_based(provenance, definition.object("externalParameters")?)
            .map_err(|e| e.within("externalParameters"))?;
        if let Some(source) = &mut provenance.source {
            source.tagged_branch = forge::tagged_branch(internal, "GITHUB_EVENT_PAYLOAD").map_err(within)?;
        }
        return forge::add_event(&mut provenance.parameters, "", internal, "GITHUB_EVENT_PAYLOAD")
            .map_err(within);
    }
    let external = definition.object("externalParameters")?;
    for key in ["inputs", "vars"] {
        if external.get(key).is_some() {
            let values = external.optional_object(key).map_err(|e| e.within("externalParameters"))?;
            provenance.parameters.remove(key);
            forge::add_inputs(&mut provenance.parameters, &format!("{key}."), values)?;
        }
    }
    forge::add_event(&mut provenance.parameters, "event.", internal, "GITHUB_EVENT_PAYLOAD")
        .map_err(within)?;
    let workflow = internal.optional_string("GITHUB_WORKFLOW_REF").map_err(within)?;
    provenance.target = workflow.and_then(forge::workflow_path);
    read_calling_source(provenance, internal).map_err(within)
}

/// The source of a delegated builder is where its caller runs: the one dependency with that repository and ref.
fn read_calling_source(provenance: &mut Provenance, internal: &Object) -> Result<(), ShapeError> {
    let (Some(name), Some(reference)) =
        (internal.optional_string("GITHUB_REPOSITORY")?, internal.optional_string("GITHUB_REF")?)
    else {
        return Ok(());
    };
    let mut source = forge::source(&format!("https://github.com/{name}"), None)?;
    source.reference = Some(reference.to_owned());
    source.tagged_branch = forge::tagged_branch(internal, "GITHUB_EVENT_PAYLOAD")?;
    provenance.settle_source(source);
    Ok(())
}

/// A container image ran a command that a file of the source names: the file is the target, the image a tool.
fn read_container_based(provenance: &mut Provenance, external: &Object) -> Result<(), ShapeError> {
    let source = external.object("source")?;
    let uri = source.string("uri").map_err(|e| e.within("source"))?;
    let source = forge::source(uri, source.optional_object("digest")?).map_err(|e| e.within("source"))?;
    provenance.settle_source(source);
    provenance.target = Some(external.string("configPath")?.to_owned());
    let image = external.object("builderImage")?;
    let digests = image.object("digest").and_then(DigestSet::read).map_err(|e| e.within("builderImage"))?;
    provenance.dependencies.push(Dependency {
        name: Some("builderImage".to_owned()),
        uri: image.string("uri").map_err(|e| e.within("builderImage"))?.to_owned(),
        digests,
        is_tool: true,
        provenance: None,
    });
    if let Some(config) = external.optional_object("buildConfig")? {
        let command = config.optional_array("Command").map_err(|e| e.within("buildConfig"))?;
        let words = each("Command", command, |word| Json::as_str(word).map(str::to_owned))?;
        provenance.command = (!words.is_empty()).then_some(words);
    }
    for consumed in ["source", "configPath", "builderImage", "buildConfig"] {
        provenance.parameters.remove(consumed);
    }
    Ok(())
}
