//! From decisions to what the API server hears, and to what is written down about them.

use std::collections::BTreeSet;

use attest::Digest;
use chokepoint::{Answer, Basis};
use kubernetes::evidence::{BREAKGLASS, EVIDENCE_DIGEST};
use kubernetes::mapping::UNCLAIMED;
use kubernetes::{Deployment, DeploymentKind, Outcome as Heard, Refusal, Ruling};
use policy::{Diagnostic, Finding, Outcome, Severity};

use crate::webhook::engine::Ruled;
use crate::webhook::judge::Told;
use crate::webhook::registries::Looked;

/// So many changes of a guarded object are shown.
const CHANGES: usize = 8;

/// One deployment's outcome, as the answer has it.
pub(crate) fn heard(deployment: &Deployment, ruled: &Ruled, looked: Option<&Looked>) -> Heard {
    let (decision, artifact) = (&ruled.decision, deployment.artifact.short());
    let verdict = decision.verdict();
    let ruling = match (decision.answer(), decision.basis()) {
        (Answer::Admit, _) => Ruling::Admitted,
        (Answer::Reject, Basis::CannotDecide) => Ruling::CannotDecide,
        (Answer::Reject, _) => Ruling::Refused,
    };
    let why = match verdict.outcome() {
        Outcome::CannotDecide(why) => match looked.and_then(|looked| looked.unknown.as_ref()) {
            // part of the evidence store is the image's registry: which one failed is what helps
            Some(unknown) => Some(format!("{why}; of the registry: {unknown}")),
            None => Some(why.clone()),
        },
        Outcome::Met | Outcome::Unmet => None,
    };
    let show = |finding: &Finding| {
        let shown = Diagnostic::of_finding(finding, &artifact, Severity::Error);
        match finding.rule {
            "policy-missing" if deployment.environment.starts_with(UNCLAIMED) => shown.rather(
                "claim the namespace: an entry under `webhook: environments` in the choke point's configuration",
            ),
            // what was built well and not brought is the likeliest reason here
            "built-by" if deployment.envelopes.is_empty() => {
                shown.or(&format!("bring what the build wrote: portcullis attach {} --bundle FILE", exact(deployment)))
            }
            _ => shown,
        }
    };
    let mut findings: Vec<Diagnostic> = verdict.findings().iter().map(show).collect();
    if let Some(first) = findings.first_mut() {
        *first = changes(deployment).fold(first.clone(), |shown, change| shown.noting("changed", &change));
    }
    Heard {
        place: deployment.place(),
        findings,
        why,
        ruling,
        basis: decision.basis().name().to_owned(),
        warnings: warnings(&artifact, ruled),
        record: ruled.record.as_ref().map(|(index, _)| *index),
        receipt: ruled.receipt.clone(),
        artifact,
    }
}

/// The artifact as `portcullis attach` takes it.
fn exact(deployment: &Deployment) -> String {
    match deployment.artifact.digest() {
        Some(digest) => format!("{}@{digest}", deployment.artifact.uri()),
        None => "NAME@sha256:HEX".to_owned(),
    }
}

/// What an update changes in a guarded object: the likeliest reason why nobody vouches for it.
fn changes(deployment: &Deployment) -> impl Iterator<Item = String> {
    let all: &[_] = match &deployment.kind {
        DeploymentKind::Configuration(changes) => changes,
        DeploymentKind::Image(_) => &[],
    };
    let more = all.len().saturating_sub(CHANGES);
    let more = (more > 0).then(|| format!("and {more} more"));
    all.iter().take(CHANGES).map(ToString::to_string).chain(more)
}

/// What somebody whose deployment goes on should know: that it would not, and what is yet to come.
fn warnings(artifact: &str, ruled: &Ruled) -> Vec<String> {
    let (decision, verdict) = (&ruled.decision, ruled.decision.verdict());
    if decision.answer() != Answer::Admit {
        return Vec::new();
    }
    let upcoming = verdict.warnings().iter().map(|finding| format!("{}: {}", finding.rule, finding.message));
    let unmet = verdict.findings().iter().map(|finding| {
        format!(
            "admitted by {}; would be refused: {}: {}",
            decision.basis().name(),
            finding.rule,
            finding.message
        )
    });
    let mut all: Vec<String> = unmet.chain(upcoming).collect();
    if decision.basis() == Basis::Breakglass {
        all.insert(0, format!("breakglass: {artifact} is admitted by a grant, which is on record"));
    }
    all
}

/// One decision in words.
pub(crate) fn told(deployment: &Deployment, ruled: &Ruled) -> Told {
    let mut rules: Vec<String> =
        ruled.decision.verdict().findings().iter().map(|finding| finding.rule.to_owned()).collect();
    rules.dedup();
    Told {
        record: ruled.record.clone(),
        environment: deployment.environment.clone(),
        artifact: deployment.artifact.short(),
        decision: ruled.decision.word().to_owned(),
        basis: ruled.decision.basis().name().to_owned(),
        rules,
        unproven: None,
        registry: None,
    }
}

/// Where something is refused: bundles and grants that an annotation names and that are nowhere, the likeliest reason.
pub(crate) fn missing(deployments: &[Deployment], lost: &[Digest], ruled: &[Ruled]) -> Vec<Refusal> {
    let is_refused =
        |one: &Ruled| one.decision.answer() == Answer::Reject && one.decision.verdict().outage().is_none();
    if !ruled.iter().any(is_refused) {
        return Vec::new();
    }
    let evidence = |digest: &Digest| {
        let message = "evidence that an annotation names is not in the evidence store";
        let fix = "bring it with `portcullis attach`, and name what that prints";
        Refusal::new("evidence-missing", EVIDENCE_DIGEST, message, fix)
            .wanted("bundles that were attached")
            .found(&digest.to_string())
    };
    let grant = |digest: &Digest| {
        let message = "the breakglass grant that an annotation names is not in the evidence store";
        let fix = "open one with `portcullis breakglass open`, and name what that prints";
        Refusal::new("breakglass-grant", BREAKGLASS, message, fix)
            .wanted("a grant that was opened and brought")
            .found(&digest.to_string())
    };
    let bundles: BTreeSet<&Digest> = deployments.iter().flat_map(|d| &d.missing).collect();
    let grants: BTreeSet<&Digest> = lost.iter().collect();
    bundles.into_iter().map(evidence).chain(grants.into_iter().map(grant)).collect()
}

/// What the adapter calls a piece of evidence in messages.
pub(crate) fn stored(digest: &Digest) -> String {
    format!("{digest} in the evidence store")
}
