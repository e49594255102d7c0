//! The chapter's cherry-pick: a shipped build again, with one fix, and nothing else different.

use std::path::Path;

use attest::provenance::{Dependency, Provenance};
use attest::{Envelope, Predicate, Role};
use builder::{BuildRequest, Orchestrator};

use crate::clock;
use crate::command::operator::Prepared;
use crate::failure::Failure;
use crate::input;

/// Refuses unless what would be built differs from a shipped build in its source alone.
pub(super) fn check(
    bundle: &Path,
    request: &BuildRequest,
    orchestrator: &Orchestrator<'_>,
    operator: &Prepared,
) -> Result<(), Failure> {
    let shipped = shipped(bundle, operator)?;
    let planned = orchestrator.plan(request).map_err(super::failure)?;
    let mut different = Vec::new();
    let mut compare = |what: &str, was: String, is: String| {
        if was != is {
            different.push(format!("{what}: {was} then, {is} now"));
        }
    };
    let source = shipped.source.clone().unwrap_or_default();
    compare("repository", source.repository, request.repository.clone());
    compare("target", shipped.target.clone().unwrap_or_default(), request.target.clone());
    compare("command", shipped.command.clone().unwrap_or_default().join(" "), planned.command.join(" "));
    for (was, is) in pairs(&shipped.dependencies, &planned.dependencies) {
        let digest = |d: Option<&Dependency>| {
            d.and_then(|d| d.digests.first()).map_or_else(|| "none".to_owned(), |d| d.short())
        };
        let name = was.or(is).map(|d| d.name.clone().unwrap_or_else(|| d.uri.clone())).unwrap_or_default();
        compare(&format!("input {name}"), digest(was), digest(is));
    }
    if different.is_empty() {
        return Ok(());
    }
    let failure = Failure::new("more than the source would change since the shipped build; nothing is built");
    let failure = different.iter().take(20).fold(failure, |f, line| f.line("found", line));
    Err(failure.line("fix", "take portcullis.build.yaml and portcullis.build.lock of the shipped commit into the fix's branch").found())
}

/// Every input of either side with its counterpart, by name or else by URI.
fn pairs<'a>(
    was: &'a [Dependency],
    is: &'a [Dependency],
) -> Vec<(Option<&'a Dependency>, Option<&'a Dependency>)> {
    let same = |a: &Dependency, b: &Dependency| match (&a.name, &b.name) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.uri == b.uri,
        _ => false,
    };
    let mut pairs: Vec<_> = was.iter().map(|w| (Some(w), is.iter().find(|i| same(w, i)))).collect();
    pairs.extend(is.iter().filter(|i| !was.iter().any(|w| same(w, i))).map(|i| (None, Some(i))));
    pairs
}

fn shipped(path: &Path, operator: &Prepared) -> Result<Provenance, Failure> {
    let refuse = |why: &str| {
        Failure::new(&format!("{} is no provenance that can be followed", path.display()))
            .line("found", why)
            .found()
    };
    let bytes = input::read("bundle", path, 4 << 20)?;
    let envelope = Envelope::parse(&bytes).map_err(|e| refuse(&e.to_string()))?;
    let trust = operator.trust().ok_or_else(|| refuse("no --trust-root says whom to believe"))?;
    let attestation = trust.open(&envelope, clock::now(None)?).map_err(|e| refuse(&e.to_string()))?;
    let is_builders = attestation.signers().iter().any(|s| s.roles.contains(&Role::Builder));
    match &attestation.statement().predicate {
        Predicate::Provenance(provenance) if is_builders => Ok(provenance.as_ref().clone()),
        Predicate::Provenance(_) => Err(refuse("it is not signed by a builder of the trust root")),
        _ => Err(refuse("it is no provenance")),
    }
}
