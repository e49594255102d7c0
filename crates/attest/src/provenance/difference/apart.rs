//! A build, taken apart into what can be compared.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Part, Value};
use crate::digest::DigestSet;
use crate::json::Object;
use crate::provenance::{Dependency, Provenance, Source};

/// The variable that carries the commit's time into a build.
const SOURCE_DATE: &str = "SOURCE_DATE_EPOCH";

/// Takes a build apart.
pub(super) fn parts(provenance: &Provenance) -> BTreeMap<Part, Value> {
    let Provenance {
        format,
        build_type,
        builder_id,
        builder_version,
        source,
        target,
        parameters,
        dependencies,
        command,
        environment,
        hermetic,
        isolation,
        cached_from,
        trigger,
        runner,
        invocation,
        started,
        finished,
    } = provenance;
    let mut parts = BTreeMap::new();
    if let Some(source) = source {
        add_source(&mut parts, source);
    }
    let committed = source.as_ref().and_then(|source| source.committed);
    add_parameters(&mut parts, parameters);
    add_environment(&mut parts, environment, committed);
    add_dependencies(&mut parts, dependencies);
    let text = |text: &String| Value::Text(text.clone());
    let singles = [
        (Part::Target, target.as_ref().map(text)),
        (Part::Command, command.clone().map(Value::Words)),
        (Part::BuildType, Some(text(build_type))),
        (Part::Builder, Some(text(builder_id))),
        (Part::BuilderVersion, builder_version.as_ref().map(text)),
        (Part::Hermetic, Some(Value::Flag(*hermetic))),
        (Part::Isolation, isolation.as_ref().map(|i| Value::Json(i.to_json()))),
        (Part::CachedFrom, cached_from.clone().map(Value::Digest)),
        (Part::Trigger, trigger.as_ref().map(text)),
        (Part::Runner, runner.as_ref().map(text)),
        (Part::Format, Some(text(format))),
        (Part::Invocation, invocation.as_ref().map(text)),
        (Part::Started, started.map(Value::Time)),
        (Part::Finished, finished.map(Value::Time)),
    ];
    parts.extend(singles.into_iter().filter_map(|(part, value)| Some((part, value?))));
    parts
}

fn add_source(parts: &mut BTreeMap<Part, Value>, source: &Source) {
    let Source { repository, reference, tagged_branch, digests, committed, history, kept_until } = source;
    parts.insert(Part::Repository, Value::Text(repository.clone()));
    parts.extend(reference.iter().map(|r| (Part::Reference, Value::Text(r.clone()))));
    parts.extend(tagged_branch.iter().map(|r| (Part::TaggedBranch, Value::Text(r.clone()))));
    parts.extend(digests.iter().map(|d| (Part::Version(d.algorithm()), Value::Digest(d))));
    parts.extend(committed.iter().map(|c| (Part::Committed, Value::Time(*c))));
    parts.extend(kept_until.iter().map(|t| (Part::KeptUntil, Value::Time(*t))));
    if !history.is_empty() {
        parts.insert(Part::History, Value::Commits(history.clone()));
    }
}

fn add_parameters(parts: &mut BTreeMap<Part, Value>, parameters: &Object) {
    parts.extend(
        parameters.iter().map(|(name, value)| (Part::Parameter(name.to_owned()), Value::Json(value.clone()))),
    );
}

/// The date of the source follows from the commit, and changes with it; under the same name, anything else is a
/// variable like others.
fn add_environment(
    parts: &mut BTreeMap<Part, Value>,
    environment: &BTreeMap<String, String>,
    committed: Option<Timestamp>,
) {
    let date = committed.map(|time| time.as_second().to_string());
    for (name, value) in environment {
        let is_date = name == SOURCE_DATE && date.as_ref() == Some(value);
        let part = if is_date { Part::SourceDate } else { Part::Environment(name.clone()) };
        parts.insert(part, Value::Text(value.clone()));
    }
}

/// Inputs of one name stand together: which of them came first says nothing.
fn add_dependencies(parts: &mut BTreeMap<Part, Value>, dependencies: &[Dependency]) {
    let mut named: BTreeMap<Part, Vec<DigestSet>> = BTreeMap::new();
    // the same bytes are the same input, whichever bundle proved them
    for Dependency { name, uri, digests, is_tool, provenance: _ } in dependencies {
        let name = name.as_ref().unwrap_or(uri).clone();
        let part = if *is_tool { Part::Tool(name) } else { Part::Input(name) };
        named.entry(part).or_default().push(digests.clone());
    }
    parts.extend(named.into_iter().map(|(part, mut sets)| {
        sets.sort();
        (part, Value::Digests(sets))
    }));
}
