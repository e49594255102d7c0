//! The graph of an artifact: back to its commit, builder, reviewers and inputs, and on from each of them to what else came
//! from there and runs.

use std::collections::BTreeSet;

use attest::Digest;
use inventory::{Fact, FactKind, Live, Source};

use super::asked::Asked;
use super::named;
use crate::failure::Failure;
use crate::tree::Branch;

/// So many others are named at each place; that there are more is said.
const OTHERS: usize = 5;
/// So many inputs are followed to what else has them.
const INPUTS: usize = 8;
/// So many places where something runs.
const PLACES: usize = 5;

/// Artifacts that stand in the graph already.
type Shown = BTreeSet<Digest>;

/// The graph of an artifact.
pub(super) fn graph(asked: &Asked, digest: &Digest, facts: &[Fact]) -> Result<Branch, Failure> {
    let mut shown = Shown::new();
    let root = artifact(asked, "the artifact", digest, &mut shown)?;
    let mut below = Vec::new();
    let of = |kind: FactKind| facts.iter().filter(move |fact| fact.kind == kind);
    for commit in of(FactKind::Commit) {
        let reviewers = of(FactKind::Reviewer).map(reviewer);
        let branch = Branch::new("built from", "commit", &commit.value, &format!("commit {}", commit.value));
        below.push(branch.with(reviewers).with(others(asked, digest, commit, &mut shown)?));
    }
    for repository in of(FactKind::Repository) {
        let references = of(FactKind::Reference).map(|r| Branch::new("at", "reference", &r.value, &r.value));
        let branch = Branch::new("out of", "repository", &repository.value, &repository.value);
        below.push(branch.with(references).with(others(asked, digest, repository, &mut shown)?));
    }
    for builder in of(FactKind::Builder) {
        let ids =
            of(FactKind::BuilderId).map(|id| Branch::new("which is", "builder-id", &id.value, &id.value));
        let built = of(FactKind::Built).map(|built| Branch::new("at", "time", &built.value, &built.value));
        let branch = Branch::new("built by", "builder", &builder.value, &builder.value);
        below.push(branch.with(ids).with(built).with(others(asked, digest, builder, &mut shown)?));
    }
    let inputs: Vec<&Fact> = of(FactKind::Dependency).chain(of(FactKind::Tool)).collect();
    for input in inputs.iter().take(INPUTS) {
        let relation = if input.kind == FactKind::Tool { "tool" } else { "input" };
        let label = format!("{} {}", input.detail.as_deref().unwrap_or_default(), short(&input.value));
        let branch = Branch::new(relation, "input", &input.value, label.trim());
        below.push(branch.with(others(asked, digest, input, &mut shown)?));
    }
    below.extend(more(inputs.len().saturating_sub(INPUTS), "input"));
    for signer in of(FactKind::Signer) {
        let what = signer.detail.as_deref().unwrap_or("evidence");
        let keys = of(FactKind::Key).filter(|key| key.detail.as_ref() == Some(&signer.value));
        let keys = keys.map(|key| Branch::new("with key", "key", &key.value, &key.value));
        let branch = Branch::new("signed by", "signer", &signer.value, &format!("{}: {what}", signer.value));
        below.push(branch.with(keys));
    }
    Ok(root.with(below))
}

fn reviewer(fact: &Fact) -> Branch {
    let when = fact.detail.as_deref().unwrap_or_default();
    Branch::new("reviewed by", "person", &fact.value, &format!("{} at {when}", fact.value))
}

/// An artifact, and where it runs; where it stands a second time, only its name.
fn artifact(asked: &Asked, relation: &str, digest: &Digest, shown: &mut Shown) -> Result<Branch, Failure> {
    let about = inventory::Subject::Digest(digest.clone());
    let decisions = asked.wait(asked.inventory.decisions(&about, 1))?;
    let name = decisions.newest.first().map(|decided| decided.artifact.clone()).unwrap_or_default();
    let label = named(&name, Some(digest));
    if !shown.insert(digest.clone()) {
        return Ok(Branch::new(relation, "artifact", &digest.to_string(), &format!("{label}, shown above")));
    }
    let limit = u32::try_from(PLACES + 1).unwrap_or(u32::MAX);
    let running = asked.wait(asked.inventory.running(digest, limit))?;
    let rest = more(running.len().saturating_sub(PLACES), "place");
    let places = running.iter().take(PLACES).map(place);
    Ok(Branch::new(relation, "artifact", &digest.to_string(), &label).with(places).with(rest))
}

fn place(live: &Live) -> Branch {
    let name = live.workload.as_deref().unwrap_or(&live.artifact);
    let (verb, environment) = match &live.source {
        Source::Observed { .. } => ("runs in", policy::one_line(&live.environment)),
        Source::Admitted => ("admitted to", policy::one_line(&live.environment)),
    };
    match live.decided {
        Some(index) => {
            Branch::new(&format!("{verb} {environment} by record {index}:"), "workload", name, name)
        }
        None => Branch::new(&format!("{verb} {environment}, decided by nobody:"), "undecided", name, name),
    }
}

/// What else came from there.
fn others(asked: &Asked, digest: &Digest, fact: &Fact, shown: &mut Shown) -> Result<Vec<Branch>, Failure> {
    let limit = u64::try_from(OTHERS + 2).unwrap_or(u64::MAX);
    let mut sharing = asked.wait(asked.inventory.sharing(fact.kind, &fact.value, limit))?;
    sharing.retain(|other| other != digest);
    let rest = more(sharing.len().saturating_sub(OTHERS), "artifact");
    let mut all = Vec::new();
    for other in sharing.iter().take(OTHERS) {
        all.push(artifact(asked, "also", other, shown)?);
    }
    all.extend(rest);
    Ok(all)
}

/// A line that says that there are more.
fn more(count: usize, what: &str) -> Option<Branch> {
    (count > 0).then(|| {
        Branch::new(
            "and more",
            "more",
            "",
            &format!("there are more {what}s: portcullis deployed lists them"),
        )
    })
}

fn short(digest: &str) -> String {
    Digest::parse(digest).map_or_else(|_| digest.to_owned(), |digest| digest.short())
}
