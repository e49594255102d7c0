//! The difference of two books against what both decide, case by case: whatever turns is accounted for by a statement,
//! rule for rule.
//!
//! `PORTCULLIS_CASES=100000 PORTCULLIS_SEED=1 cargo test --release -p policy --test diff` runs the full count.

#[path = "diff/change.rs"]
mod change;
#[path = "differential/generate.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod generate;
#[path = "differential/model.rs"]
#[allow(dead_code, reason = "the model is plain data")]
mod model;
#[path = "differential/render.rs"]
mod render;

use std::collections::BTreeMap;

use generate::Random;
use model::Model;
use policy::diff::{Flip, diff};
use policy::{Outcome, Verdict, evaluate};

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Two models that differ in their policies alone.
fn pair(r: &mut Random) -> (Model, Model) {
    let model = generate::model(r);
    let policies: Vec<_> = model.policies.iter().map(|p| change::policy(r, p)).collect();
    let other = Model { root: model.root.clone(), policies, case: model.case.clone() };
    if r.chance(50) { (model, other) } else { (other, model) }
}

#[test]
fn whatever_turns_between_two_books_is_in_their_difference() {
    let (cases, seed) = (setting("PORTCULLIS_CASES", 4000), setting("PORTCULLIS_SEED", 20_261_123));
    let mut random = Random::new(seed);
    let mut turned = BTreeMap::<(&str, Flip), u64>::new();
    let (mut empty, mut no_more) = (0, 0);
    for number in 0..cases {
        let (before, after) = pair(&mut random);
        let (old, root, scenario) = render::render(&before);
        let (new, ..) = render::render(&after);
        let difference = diff(&old, &new);
        let judge = |book| {
            let (root, case) = scenario.prepare(book, &root);
            (evaluate(&case, book, &root), case)
        };
        let ((was, case), (is, _)) = (judge(&old), judge(&new));
        let context = || {
            format!(
                "seed {seed}, case {number}\nold {:#?}\nnew {:#?}\n{}\n{}\n{}",
                before.policies,
                after.policies,
                difference.to_json().pretty(),
                was.to_json().pretty(),
                is.to_json().pretty()
            )
        };
        let Some((flip, failing)) = flip(&was, &is) else {
            empty += u64::from(difference.is_empty());
            continue;
        };
        match flip {
            Flip::Met => assert!(difference.admits(), "{}", context()),
            Flip::Unmet => assert!(difference.refuses(), "{}", context()),
        }
        no_more += u64::from(!difference.admits());
        for finding in failing.findings() {
            let mut there = difference
                .statements()
                .iter()
                .filter(|s| s.covers(case.environment(), case.artifact().uri(), case.at()));
            let is_told = there.any(|s| s.explains(finding.rule, &was, &is));
            assert!(is_told, "{} is not accounted for\n{}", finding.rule, context());
            *turned.entry((finding.rule, flip)).or_default() += 1;
        }
    }
    println!("{cases} cases (seed {seed}): {empty} times nothing changes, turned by: {turned:?}");
    assert!(empty > 0 && no_more > 0);
    for rule in policy::rules::all().filter(|r| r.read.is_some()) {
        for flip in [Flip::Met, Flip::Unmet] {
            let is_rare = rule.name == "format";
            assert!(
                is_rare || turned.contains_key(&(rule.name, flip)),
                "nothing turned {flip:?} by {}",
                rule.name
            );
        }
    }
}

/// Which way a verdict turned, and the one that is unmet.
fn flip<'v>(was: &'v Verdict, is: &'v Verdict) -> Option<(Flip, &'v Verdict)> {
    match (was.outcome(), is.outcome()) {
        (Outcome::Unmet, Outcome::Met) => Some((Flip::Met, was)),
        (Outcome::Met, Outcome::Unmet) => Some((Flip::Unmet, is)),
        (Outcome::CannotDecide(_), Outcome::CannotDecide(_)) => None,
        (one, other) => {
            // a book that guards nothing decides what another one cannot
            assert!(one == other || [was, is].iter().any(|v| v.policy().is_none()), "{one:?} {other:?}");
            None
        }
    }
}
