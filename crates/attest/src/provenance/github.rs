//! GitHub artifact attestations, and what npm writes from version 10 on: SLSA v1 with one workflow.
//!
//! <https://actions.github.io/buildtypes/workflow/v1>. A reusable workflow is the builder; the workflow that called it is
//! the target. The inputs of a manual start are not in it.

use super::{Provenance, forge};
use crate::json::{Json, Object, ShapeError};

/// Reads what the build type adds to SLSA v1.
pub(super) fn read(provenance: &mut Provenance, definition: &Object) -> Result<(), ShapeError> {
    let external = definition.object("externalParameters")?;
    let workflow = external.object("workflow").map_err(|e| e.within("externalParameters"))?;
    let within = |e: ShapeError| e.within("externalParameters.workflow");
    if let Some((unknown, _)) = workflow.iter().find(|(k, _)| !matches!(*k, "repository" | "ref" | "path")) {
        return Err(within(ShapeError::new("", "repository, ref and path alone", unknown)));
    }
    let mut source = forge::source(workflow.string("repository").map_err(within)?, None)?;
    source.reference = Some(workflow.string("ref").map_err(within)?.to_owned());
    provenance.target = Some(workflow.string("path").map_err(within)?.to_owned());
    provenance.parameters.remove("workflow");
    // what is no object stays, and a policy must list it
    if let Some(Json::Object(inputs)) = provenance.parameters.get("inputs").cloned() {
        provenance.parameters.remove("inputs");
        forge::add_inputs(&mut provenance.parameters, "inputs.", Some(&inputs))?;
    }
    forge::take_empty(&mut provenance.parameters, "vars");
    provenance.settle_source(source);
    let within = |e: ShapeError| e.within("internalParameters");
    if let Some(internal) = definition.optional_object("internalParameters")?
        && let Some(github) = internal.optional_object("github").map_err(within)?
    {
        let text = |key: &str| github.optional_string(key).map(|t| t.map(str::to_owned));
        provenance.trigger = text("event_name").map_err(within)?;
        provenance.runner = text("runner_environment").map_err(within)?;
    }
    Ok(())
}
