//! The engine against a reference evaluator that was written from the docs alone, by somebody who did not read the
//! engine. Every case is signed, opened and judged by the real code.
//!
//! `PORTCULLIS_CASES=100000 PORTCULLIS_SEED=1 cargo test --release -p policy --test differential` runs the full count.

#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/licences.rs"]
mod licences;
#[path = "differential/model.rs"]
#[allow(dead_code, reason = "the model is plain data")]
mod model;
#[path = "differential/others.rs"]
mod others;
#[path = "differential/reference.rs"]
mod reference;
#[path = "differential/render.rs"]
mod render;

use std::collections::BTreeSet;

use generate::Random;
use model::Answer;
use policy::{Case, DeploymentRequest, Outcome, Unreadable, evaluate};

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Which one is all the same to the rules.
fn unreadable() -> Unreadable {
    Unreadable {
        what: "the image reference cannot be read".to_owned(),
        place: "spec.containers[0].image".to_owned(),
        wanted: String::new(),
        found: "X".to_owned(),
        fix: "write another".to_owned(),
    }
}

#[test]
fn the_engine_and_the_reference_evaluator_agree() {
    let (cases, seed) = (setting("PORTCULLIS_CASES", 3000), setting("PORTCULLIS_SEED", 20_261_122));
    let mut random = Random::new(seed);
    let (mut met, mut refused_by) = (0, std::collections::BTreeMap::<&str, u64>::new());
    for number in 0..cases {
        let model = generate::model(&mut random);
        let expected = reference::judge(&model);
        let (book, root, scenario) = render::render(&model);
        let (root, mut case) = scenario.prepare(&book, &root);
        if model.case.unreadable {
            let request = DeploymentRequest { unreadable: vec![unreadable()], ..case.request().clone() };
            case = Case::open(request, case.frame().clone());
        }
        let verdict = evaluate(&case, &book, &root);
        let rules = |findings: &[policy::Finding]| findings.iter().map(|f| f.rule).collect::<BTreeSet<_>>();
        let (refused, warned) = (rules(verdict.findings()), rules(verdict.warnings()));
        let found = match verdict.outcome() {
            Outcome::Met => Answer::Met { warned },
            Outcome::Unmet => Answer::Unmet { refused: refused.clone(), warned },
            Outcome::CannotDecide(_) => Answer::CannotDecide,
        };
        assert!(
            found == expected,
            "seed {seed}, case {number}:\n engine    {found:?}\n reference {expected:?}\n{}\n{model:#?}",
            verdict.to_json().pretty()
        );
        met += u64::from(matches!(found, Answer::Met { .. }));
        refused.iter().for_each(|rule| *refused_by.entry(rule).or_default() += 1);
    }
    println!("{cases} cases agree (seed {seed}): {met} met; refusals by rule: {refused_by:?}");
    assert!(met > cases / 50, "the generator makes cases that are met: {met}");
    // the generator makes claims; these three are about bytes that are none, and about the request itself
    let others = ["evidence-readable", "digest-required", "breakglass-grant"];
    for rule in policy::rules::all().filter(|r| !others.contains(&r.name)) {
        assert!(refused_by.contains_key(rule.name), "no case was refused by {}", rule.name);
    }
}
