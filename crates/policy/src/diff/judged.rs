//! Whose provenance is judged changes what other rules see, even where they stay as they are.

use std::collections::BTreeSet;

use super::force::InForce;
use super::statement::{Flip, Statement};
use crate::policy::Policy;
use crate::rule::Requirement;

/// Rules that are asked without judged provenance, and see more with it: the commit that evidence is about, the tag, the
/// build that a test is of.
pub(super) const DEPENDENT: [&str; 4] = ["evidence-applies", "tests", "version", "scanned"];

/// What changes because another builder's word counts, or none did or does.
pub(super) fn compare(in_force: &InForce<'_>) -> Vec<Statement> {
    let (before, after) = in_force.policies;
    match (builders(before), builders(after)) {
        (old, new) if old == new => Vec::new(),
        (None, Some(_)) => one_judges(in_force, Flip::Met, Flip::Unmet),
        (Some(_), None) => one_judges(in_force, Flip::Unmet, Flip::Met),
        (Some(old), Some(new)) => cosigned(in_force, &old, &new),
        (None, None) => Vec::new(),
    }
}

/// The names of `built-by` under `require`; what `upcoming` says of it is asked, and says nothing of who is judged.
fn builders(policy: &Policy) -> Option<BTreeSet<&str>> {
    let names = policy.names_of("built-by");
    (!names.is_empty()).then(|| names.iter().map(|n| n.name.as_str()).collect())
}

/// One side judges provenance, and the other does not.
fn one_judges(
    in_force: &InForce<'_>,
    passed_where_judged: Flip,
    failed_where_judged: Flip,
) -> Vec<Statement> {
    let is_in_force = |rule: &str, all: &[&Requirement]| all.iter().any(|r| r.rule.name == rule);
    let in_both = |rule: &str| is_in_force(rule, &in_force.before) && is_in_force(rule, &in_force.after);
    // where no rule asks for it, evidence about a commit that nothing ties to the artifact is refused for that alone
    let more = DEPENDENT.into_iter().filter(|rule| *rule == "evidence-applies" || in_both(rule));
    let words =
        "what has evidence about the commit that it was built from: only judged provenance says which";
    let mut statements = vec![about_builders(in_force, passed_where_judged, words, more.collect())];
    let against: Vec<&str> = ["tests", "version"].into_iter().filter(|rule| in_both(rule)).collect();
    if !against.is_empty() {
        let words = "what its judged provenance speaks against: by its tag, or by tests of that build";
        statements.push(about_builders(in_force, failed_where_judged, words, against));
    }
    statements
}

/// Several builders may have signed one build, and only what those say counts that are listed.
fn cosigned(in_force: &InForce<'_>, old: &BTreeSet<&str>, new: &BTreeSet<&str>) -> Vec<Statement> {
    let in_both = |asks: &dyn Fn(&Requirement) -> bool| {
        [&in_force.before, &in_force.after].iter().all(|all| all.iter().any(|r| asks(r)))
    };
    let mut statements = Vec::new();
    if in_both(&|r| r.rule.name == "hermetic") {
        let words = "what several builders signed, where another one's word counts that it was hermetic";
        let flips = [(new, old, Flip::Met), (old, new, Flip::Unmet)];
        let turned = flips.into_iter().filter(|(some, others, _)| !some.is_subset(others));
        statements.extend(turned.map(|(_, _, flip)| about_builders(in_force, flip, words, vec!["hermetic"])));
    }
    // another one's list of parts may be the one that was missing, or the one that names what is refused
    if in_both(&|r| r.check.reads_builders()) {
        let words = "what several builders signed, where another one's list of its parts counts";
        let both = [Flip::Met, Flip::Unmet];
        statements.extend(both.map(|flip| about_builders(in_force, flip, words, vec!["dependencies"])));
    }
    statements
}

fn about_builders(in_force: &InForce<'_>, flip: Flip, words: &str, rules: Vec<&'static str>) -> Statement {
    let place = |policy: &Policy| policy.names_of("built-by").first().map(|n| n.place.clone());
    let (before, after) = in_force.policies;
    let statement = in_force.statement(flip, "built-by", words.to_owned(), rules);
    Statement { old: place(before), new: place(after), ..statement }
}
