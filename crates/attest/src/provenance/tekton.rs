//! Tekton Chains: SLSA v0.2 of a `TaskRun` or `PipelineRun`, and v1.
//!
//! <https://tekton.dev/docs/chains/slsa-provenance/>. What its `configSource` names is where the task came from, and not
//! what was built: the source is the one git repository among the materials. Where there are several, none is the source.

use super::{Dependency, Provenance, Source, forge};
use crate::json::{Json, Object, ShapeError};

/// Reads what Chains adds to SLSA v0.2.
pub(super) fn read_v02(provenance: &mut Provenance) {
    provenance.source = sole_source(&mut provenance.dependencies);
}

/// Reads what Chains adds to SLSA v1: the run's spec, whose parameters its requester chose. What else of the spec is
/// written there was chosen too, and stays.
pub(super) fn read_v1(provenance: &mut Provenance, definition: &Object) -> Result<(), ShapeError> {
    let external = definition.object("externalParameters")?;
    let within = |e: ShapeError| e.within("externalParameters.runSpec");
    let spec = external.object("runSpec").map_err(|e| e.within("externalParameters"))?;
    provenance.parameters.remove("runSpec");
    for item in spec.optional_array("params").map_err(within)? {
        let param = item.as_object().map_err(within)?;
        let name = param.string("name").map_err(within)?;
        let value = param.get("value").cloned().unwrap_or_else(|| Json::from(""));
        forge::add_inputs(&mut provenance.parameters, "", Some(&Object::new().with(name, value)))?;
    }
    let mut rest: Object =
        spec.iter().filter(|(k, _)| *k != "params").map(|(k, v)| (k.to_owned(), v.clone())).collect();
    for key in ["pipelineRef", "taskRef"] {
        let Some(mut named) = spec.optional_object(key).map_err(within)?.cloned() else { continue };
        if provenance.target.is_none() {
            provenance.target = named.optional_string("name").map_err(within)?.map(str::to_owned);
            named.remove("name");
        }
        // a bundle or a resolver says whose task of that name it is
        rest.set(key, named);
        forge::take_empty(&mut rest, key);
    }
    forge::add_inputs(&mut provenance.parameters, "runSpec.", Some(&rest))?;
    provenance.source = sole_source(&mut provenance.dependencies);
    Ok(())
}

/// The one git repository among the dependencies that is no task's or pipeline's own.
fn sole_source(dependencies: &mut Vec<Dependency>) -> Option<Source> {
    let is_source = |d: &Dependency| {
        let is_own = d.name.as_deref().is_some_and(|n| matches!(n, "task" | "pipeline" | "pipelineTask"));
        d.uri.starts_with("git+") && !is_own
    };
    let mut found = dependencies.iter().enumerate().filter(|(_, d)| is_source(d)).map(|(i, _)| i);
    let (index, None) = (found.next()?, found.next()) else { return None };
    let Dependency { uri, digests, .. } = dependencies.remove(index);
    let (repository, reference) = forge::repository(&uri);
    Some(Source { repository, reference, digests, ..Source::default() })
}
