//! What of a layout has no counterpart, named one by one.

use crate::draft::{Draft, Effect};
use crate::layout::model::{Layout, Step};
use crate::layout::rule::Rule;

/// A step whose functionaries became testers.
pub(super) fn test(step: &Step, place: &str, draft: &mut Draft) {
    if step.threshold > 1 {
        let what = format!("threshold {}", step.threshold);
        draft.note(Effect::Looser, place, &what, "a test counts once, whoever of the testers states it");
    }
    if !step.command.is_empty() {
        let why = "a test result does not say what ran; the tester is believed";
        draft.note(Effect::Looser, place, "expected_command", why);
    }
    let why = "it leaves nothing behind, so it was taken for a test: its functionaries state `portcullis attest test` instead of a link";
    draft.note(Effect::Todo, place, "the step itself", why);
}

/// The artifact rules of a step, each on its own line.
pub(super) fn artifacts(step: &Step, place: &str, draft: &mut Draft) {
    let sides = [("expected_materials", &step.materials), ("expected_products", &step.products)];
    for (field, rules) in sides {
        for (index, rule) in rules.iter().enumerate() {
            let place = format!("{place}, {field}[{index}]");
            draft.note(effect(rule), &place, &rule.to_string(), why(rule));
        }
    }
}

/// Only two words refuse; the others say what those two do not mean.
fn effect(rule: &Rule) -> Effect {
    match rule {
        Rule::Disallow(_) | Rule::Require(_) => Effect::Looser,
        _ => Effect::Todo,
    }
}

fn why(rule: &Rule) -> &'static str {
    match rule {
        Rule::Match { .. } => {
            "what passed from step to step is not compared; provenance names source and dependencies by digest, and rules ask for those"
        }
        Rule::Disallow(_) => {
            "no rule lists what a step may not leave behind; `hermetic` and `dependencies` bound what goes in"
        }
        Rule::Require(_) => "no rule asks for a file by its path; the artifact itself is asked for by digest",
        Rule::Allow(_) | Rule::Create(_) | Rule::Delete(_) | Rule::Modify(_) => {
            "it only says what a DISALLOW behind it does not mean"
        }
    }
}

/// What belongs to no step.
pub(super) fn whole(layout: &Layout, draft: &mut Draft) {
    draft.note(
        Effect::Todo,
        "expires",
        &layout.expires.to_string(),
        "a policy does not expire; the keys in the trust root count until then",
    );
    draft.note(
        Effect::Todo,
        "signatures",
        "the layout's owners",
        "policies are not signed by their owners but reviewed, and come into force through the choke point",
    );
    if layout.has_authorities {
        let why = "certificates of a private authority are no principal here";
        draft.note(Effect::Stricter, "rootcas, intermediatecas", "certificate authorities", why);
    }
    for inspection in &layout.inspections {
        let place = format!("inspection {}", inspection.name);
        let what = format!("run: {}", inspection.run.join(" "));
        draft.note(
            Effect::Looser,
            &place,
            &what,
            "nothing is run while deciding; let CI run it and state a test result",
        );
        for rule in inspection.materials.iter().chain(&inspection.products) {
            draft.note(
                effect(rule),
                &place,
                &rule.to_string(),
                "it is about what the inspection finds, which is not run",
            );
        }
    }
}
