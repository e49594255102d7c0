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
        _ => cosigned(in_force),
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

/// Several builders may have signed one build; the first that is listed is asked whether it was hermetic.
fn cosigned(in_force: &InForce<'_>) -> Vec<Statement> {
    let asks = |all: &[&Requirement]| all.iter().any(|r| r.rule.name == "hermetic");
    if !asks(&in_force.before) || !asks(&in_force.after) {
        return Vec::new();
    }
    let words = "what several builders signed, where another one's word counts that it was hermetic";
    let say = |flip| about_builders(in_force, flip, words, vec!["hermetic"]);
    vec![say(Flip::Met), say(Flip::Unmet)]
}

fn about_builders(in_force: &InForce<'_>, flip: Flip, words: &str, rules: Vec<&'static str>) -> Statement {
    let place = |policy: &Policy| policy.names_of("built-by").first().map(|n| n.place.clone());
    let (before, after) = in_force.policies;
    let statement = in_force.statement(flip, "built-by", words.to_owned(), rules);
    Statement { old: place(before), new: place(after), ..statement }
}
