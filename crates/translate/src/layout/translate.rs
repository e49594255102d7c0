//! A layout as a policy and a fragment of a trust root, and line by line what neither of them says.
//!
//! A layout speaks of links, and a policy of evidence about the artifact. So functionaries become names in the trust root:
//! who does the last step as builder or signer, who does a step that leaves nothing behind as tester. Chains of
//! artifacts between steps have no counterpart: provenance names its inputs itself.

use std::collections::BTreeMap;

use attest::PublicKey;

use super::model::{Layout, LayoutKey, Step};
use super::rule::Rule;
use crate::draft::{Draft, Effect, comments, key_entry, one_line, quoted, quoted_list};

mod rules;

/// What a functionary is in the trust root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Builders,
    Testers,
    Signers,
}

/// Sections, each with names, each with a key and, for builders, the step.
type Root<'a> = BTreeMap<Section, BTreeMap<String, (&'a PublicKey, &'a Step)>>;

/// Translates a layout. Nothing of it is verified: who signed it is asked by [`super::verify`].
#[must_use]
pub fn translate(layout: &Layout) -> Draft {
    let mut draft = Draft::default();
    let mut root = Root::new();
    let mut require = String::new();
    let last = layout.steps.len().saturating_sub(1);
    let mut tests: Vec<(&Step, Vec<String>)> = Vec::new();
    for (index, step) in layout.steps.iter().enumerate() {
        let place = format!("step {}", step.name);
        let people = functionaries(layout, step, &place, &mut draft);
        if index == last {
            require = final_step(step, &people, &mut root, &mut draft);
        } else if leaves_nothing(step) && !people.is_empty() {
            tests.push((step, enlist(Section::Testers, step, &people, &mut root)));
            rules::test(step, &place, &mut draft);
        } else {
            let what = format!("{} of {} functionaries", step.threshold, step.pubkeys.len());
            draft.note(Effect::Looser, &place, &what, "no rule asks for the link of a step before the last; ask for what it was for: source, dependencies, source.reviewed");
        }
        rules::artifacts(step, &place, &mut draft);
    }
    require.push_str(&tests_rule(&tests));
    rules::whole(layout, &mut draft);
    draft.trust_root = trust_root(&root, layout, &draft);
    let text = policy(&require, &draft);
    draft.policies.push(("layout.yaml".to_owned(), text));
    draft
}

/// The usable keys of a step, by names for the trust root.
fn functionaries<'a>(
    layout: &'a Layout,
    step: &Step,
    place: &str,
    draft: &mut Draft,
) -> BTreeMap<String, &'a PublicKey> {
    let mut people = BTreeMap::new();
    for id in &step.pubkeys {
        match layout.keys.get(id) {
            Some(LayoutKey::Ok(key)) => drop(people.insert(name(key), key)),
            Some(LayoutKey::Err(why)) => {
                draft.note(Effect::Stricter, place, &format!("key {id}"), &why.to_string())
            }
            None => {}
        }
    }
    if step.has_constraints {
        draft.note(
            Effect::Stricter,
            place,
            "cert_constraints",
            "certificates of a private authority are no principal here",
        );
    }
    people
}

/// By the key's own bytes: two ids of one key are one name.
fn name(key: &PublicKey) -> String {
    format!("functionary-{}", key.id().chars().take(16).collect::<String>())
}

fn enlist<'a>(
    section: Section,
    step: &'a Step,
    people: &BTreeMap<String, &'a PublicKey>,
    root: &mut Root<'a>,
) -> Vec<String> {
    let names = root.entry(section).or_default();
    for (name, key) in people {
        names.entry(name.clone()).or_insert((*key, step));
    }
    people.keys().cloned().collect()
}

/// The last step makes the artifact: whoever does it with a fixed command is a builder, and otherwise a signer.
fn final_step<'a>(
    step: &'a Step,
    people: &BTreeMap<String, &'a PublicKey>,
    root: &mut Root<'a>,
    draft: &mut Draft,
) -> String {
    let place = format!("step {}", step.name);
    if people.len() < step.threshold || people.is_empty() {
        let what = format!("{} of {} functionaries", step.threshold, step.pubkeys.len());
        draft.note(Effect::Stricter, &place, &what, "fewer keys than that can be used; `nobody` signs nothing, so nothing is admitted: name who may sign");
        return "  signed-by: [nobody]\n".to_owned();
    }
    if step.command.is_empty() || step.threshold > 1 {
        let names = enlist(Section::Signers, step, people, root);
        let names = quoted_list(names.iter().map(String::as_str));
        if !step.command.is_empty() {
            draft.note(Effect::Looser, &place, "expected_command", "one provenance is judged, by one builder, so a command and a threshold do not go together: use `rebuilt` with rebuilders");
        }
        return format!("  signed-by: {{ at-least: {}, of: {names} }}\n", step.threshold);
    }
    let names = enlist(Section::Builders, step, people, root);
    draft.note(Effect::Todo, &place, "the builder.id", "a link has none: put what the functionary's provenance claims where the trust root says builder.invalid; until then nothing is admitted");
    let why = "`built-by` asks for no unlisted parameter of the build: list them under `parameters`";
    draft.note(Effect::Stricter, &place, "parameters", why);
    let built_by = format!("  built-by: {}\n", quoted_list(names.iter().map(String::as_str)));
    if step.command.iter().any(String::is_empty) {
        draft.note(Effect::Looser, &place, "expected_command", "no word of a command may be empty here");
        return built_by;
    }
    format!("{built_by}  command: {}\n", quoted_list(step.command.iter().map(String::as_str)))
}

/// Whether a step may leave no product that is its own: then it looks at something, as a test does.
fn leaves_nothing(step: &Step) -> bool {
    let all = |rule: &Rule| matches!(rule, Rule::Disallow(pattern) if pattern.text() == "*");
    let makes = |rule: &&Rule| !matches!(rule, Rule::Match { .. } | Rule::Disallow(_) | Rule::Require(_));
    step.products.iter().any(all)
        && step.products.iter().take_while(|rule| !all(rule)).filter(makes).count() == 0
}

fn tests_rule(tests: &[(&Step, Vec<String>)]) -> String {
    if tests.is_empty() {
        return String::new();
    }
    let names = quoted_list(tests.iter().map(|(step, _)| step.name.as_str()));
    let mut by: Vec<&str> = tests.iter().flat_map(|(_, by)| by.iter().map(String::as_str)).collect();
    by.sort_unstable();
    by.dedup();
    format!("  tests: {{ names: {names}, by: {} }}\n", quoted_list(by))
}

fn policy(require: &str, draft: &Draft) -> String {
    format!(
        "# Translated from an in-toto layout. Review it; each line below is something that it does not say.\n\
         # looser: lets in what the layout refuses. stricter: refuses what it lets in. to do: write it yourself.\n\
         {}environment: TODO-environment\nartifact: TODO-artifact\nrequire:\n{require}",
        comments(&draft.untranslated)
    )
}

fn trust_root(root: &Root<'_>, layout: &Layout, draft: &Draft) -> String {
    let mut out = format!(
        "# Translated from an in-toto layout: a fragment, to be merged into the trust root by review.\n\
         # No key counts longer than the layout does.\n{}version: 1\n",
        comments(
            &draft.untranslated.iter().filter(|u| u.effect == Effect::Todo).cloned().collect::<Vec<_>>()
        )
    );
    for (section, names) in root {
        out.push_str(match section {
            Section::Builders => "builders:\n",
            Section::Testers => "testers:\n",
            Section::Signers => "signers:\n",
        });
        for (name, (key, step)) in names {
            out.push_str(&format!("  {name}:  # {}\n", one_line(&step.name)));
            if *section == Section::Builders {
                let id = format!("https://builder.invalid/{name}");
                out.push_str(&format!("    ids: [{}]\n", quoted(&id)));
            }
            out.push_str(&format!("    keys:\n{}", key_entry(key, Some(layout.expires))));
        }
    }
    out
}
