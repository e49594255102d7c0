//! The artifact rules, applied: each takes its artifacts off the list, and some fail on what is left.

use std::collections::{BTreeMap, BTreeSet};

use attest::Agreement;
use attest::digest::DigestSet;

use super::finding::Finding;
use super::link::Link;
use super::rule::{Rule, Side};

/// Artifacts by their paths.
pub type Artifacts = BTreeMap<String, DigestSet>;

/// Applies the rules for one side of one step.
pub(super) fn apply(step: &str, side: Side, rules: &[Rule], links: &BTreeMap<String, Link>) -> Vec<Finding> {
    let Some(link) = links.get(step) else { return Vec::new() };
    let artifacts = of(link, side);
    let mut left: BTreeSet<&str> = artifacts.keys().map(String::as_str).collect();
    let mut findings = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let place = format!("step {step}, expected_{}[{index}]", side.name());
        match rule {
            Rule::Disallow(pattern) => {
                let found: Vec<&str> = left.iter().copied().filter(|path| pattern.matches(path)).collect();
                if !found.is_empty() {
                    findings.push(disallowed(&place, rule, &found));
                }
            }
            Rule::Require(path) if !left.contains(path.as_str()) => findings.push(
                Finding::new("artifact-rules", &format!("{step} has no {path} among its {}", side.name()))
                    .wanted(&rule.to_string())
                    .found("it is absent, or an earlier rule took it")
                    .at(&place)
                    .fix("do the step again so that it is there, or move the rule before the one that takes it"),
            ),
            Rule::Require(_) => {}
            _ => left.retain(|path| !takes(rule, path, link, artifacts, links)),
        }
    }
    findings
}

fn of(link: &Link, side: Side) -> &Artifacts {
    match side {
        Side::Materials => &link.materials,
        Side::Products => &link.products,
    }
}

/// Whether a rule takes this artifact off the list.
fn takes(
    rule: &Rule,
    path: &str,
    link: &Link,
    artifacts: &Artifacts,
    links: &BTreeMap<String, Link>,
) -> bool {
    let (before, after) = (link.materials.get(path), link.products.get(path));
    match rule {
        Rule::Allow(pattern) => pattern.matches(path),
        Rule::Create(pattern) => before.is_none() && after.is_some() && pattern.matches(path),
        Rule::Delete(pattern) => before.is_some() && after.is_none() && pattern.matches(path),
        // "cannot be compared" is not "modified": only what is proven to differ is taken
        Rule::Modify(pattern) => match (before, after) {
            (Some(before), Some(after)) => {
                matches!(before.agrees(after), Agreement::Differs(_)) && pattern.matches(path)
            }
            _ => false,
        },
        Rule::Match { pattern, prefix, side, other_prefix, from } => {
            let Some(short) = path.strip_prefix(prefix.as_str()) else { return false };
            let other = links.get(from).and_then(|l| of(l, *side).get(&format!("{other_prefix}{short}")));
            let same = |there: &DigestSet| {
                artifacts.get(path).is_some_and(|here| here.agrees(there) == Agreement::Same)
            };
            pattern.matches(short) && other.is_some_and(same)
        }
        Rule::Disallow(_) | Rule::Require(_) => false,
    }
}

fn disallowed(place: &str, rule: &Rule, found: &[&str]) -> Finding {
    let shown = found.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    let more = found.len().saturating_sub(3);
    let shown = if more > 0 { format!("{shown} and {more} more") } else { shown };
    Finding::new("artifact-rules", "artifacts that no rule before accounts for")
        .wanted(&rule.to_string())
        .found(&shown)
        .at(place)
        .fix("do the step again without them, or have the layout's owners allow them")
}
