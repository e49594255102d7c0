//! The platform's policy: sets of checks, of which the first whose scope fits is asked.

use std::collections::BTreeSet;

use attest::yaml::{Fields, Node, Problems};

use super::check::{Asked, read_check};
use super::guard::{Guard, environment, exempt};
use super::keys::{items, text};
use super::signers::Signers;
use crate::draft::{Draft, Effect, quoted_list};

pub(super) fn read(node: &Node, signers: &mut Signers, draft: &mut Draft, problems: &mut Problems) {
    let known = ["name", "description", "etag", "updateTime", "gkePolicy"];
    let Some(fields) = Fields::read(node, "a platform policy", &known, problems) else { return };
    let Some(policy) = fields.required("gkePolicy", problems) else { return };
    let Some(policy) = Fields::read(policy, "`gkePolicy`", &["checkSets", "imageAllowlist"], problems) else {
        return;
    };
    allowlist(&policy, draft, problems);
    let why = "a platform policy watches what runs and refuses nothing, so each policy is a dry run; remove `mode` to enforce it";
    draft.note(Effect::Todo, "gkePolicy", "mode", why);
    let mut taken = BTreeSet::new();
    for set in items(&policy, "checkSets", problems) {
        read_set(set, &mut taken, signers, draft, problems);
    }
}

/// Images that are exempt, in a policy, a set or a check.
pub(super) fn allowlist(fields: &Fields<'_>, draft: &mut Draft, problems: &mut Problems) {
    let Some(node) = fields.optional("imageAllowlist") else { return };
    let Some(list) = Fields::read(node, "`imageAllowlist`", &["allowPattern"], problems) else { return };
    for pattern in items(&list, "allowPattern", problems) {
        if let Some(name) = problems.keep(pattern.string()) {
            exempt(&format!("{}, imageAllowlist", pattern.place), name, draft);
        }
    }
}

fn read_set(
    node: &Node,
    taken: &mut BTreeSet<String>,
    signers: &mut Signers,
    draft: &mut Draft,
    problems: &mut Problems,
) {
    let known = ["displayName", "scope", "imageAllowlist", "checks"];
    let Some(fields) = Fields::read(node, "a check set", &known, problems) else { return };
    let from = draft.untranslated.len();
    let Some(environment) = scope(&fields, node, draft, problems) else { return };
    allowlist(&fields, draft, problems);
    let mut asked = Asked::default();
    for check in items(&fields, "checks", problems) {
        read_check(check, &mut asked, signers, draft, problems);
    }
    let place = format!("{}, {environment}", node.place);
    if !taken.insert(environment.clone()) {
        draft.note(
            Effect::Todo,
            &place,
            "a second set for one scope",
            "the first one is asked and this one never: left out",
        );
        return;
    }
    if asked.is_denied {
        draft.note(Effect::Todo, &place, "alwaysDeny", "no policy is written: what none guards is refused");
        return;
    }
    let require = require(&asked, &place, draft);
    if require.is_empty() {
        let why = "a policy must ask for `signed-by` or `built-by`: nothing is admitted there until somebody writes one that does";
        draft.note(Effect::Stricter, &place, "no check that says who signs", why);
        return;
    }
    Guard { environment, artifacts: asked.artifacts.clone().unwrap_or_default(), is_dry_run: true, require }
        .write(from, draft);
}

fn scope(fields: &Fields<'_>, node: &Node, draft: &mut Draft, problems: &mut Problems) -> Option<String> {
    let Some(scope) = fields.optional("scope") else { return Some("binauthz/default".to_owned()) };
    let scope =
        Fields::read(scope, "`scope`", &["kubernetesNamespace", "kubernetesServiceAccount"], problems)?;
    let place = format!("{}, scope", node.place);
    match (text(&scope, "kubernetesNamespace", problems), text(&scope, "kubernetesServiceAccount", problems))
    {
        (Some(name), None) => environment("namespace", name, &place, draft),
        (None, Some(name)) => environment("service-account", name, &place, draft),
        _ => {
            problems
                .push(node.mismatch("one of kubernetesNamespace and kubernetesServiceAccount in `scope`"));
            None
        }
    }
}

/// The lines below `require`; none where nothing says who signs.
fn require(asked: &Asked, place: &str, draft: &mut Draft) -> String {
    let mut out = String::new();
    out.push_str(&signed_by(&asked.signers, place, draft));
    if asked.is_built {
        out.push_str("  built-by: [google-cloud-build]\n");
    }
    if out.is_empty() {
        return out;
    }
    if let Some(repository) = &asked.repository {
        out.push_str(&format!("  source: {{ repository: {} }}\n", crate::draft::quoted(repository)));
    }
    match asked.days {
        Some(days) if asked.is_built => out.push_str(&format!("  built-within: {days}d\n")),
        Some(days) => {
            let why = "only provenance says how old a build is: ask for `built-by` too, and `built-within`";
            draft.note(Effect::Looser, place, &format!("imageFreshnessCheck: {days} days"), why);
        }
        None => {}
    }
    if let Some(worst) = asked.worst {
        out.push_str(&format!("  scanned: {{ within: 7d, worst: {worst} }}\n"));
    }
    out
}

/// Each check is met by any of its keys, and all checks must be met.
fn signed_by(groups: &[Vec<String>], place: &str, draft: &mut Draft) -> String {
    let mut all: Vec<&str> = groups.iter().flatten().map(String::as_str).collect();
    all.sort_unstable();
    all.dedup();
    let at_least = match groups {
        [] => return String::new(),
        // a check without a key that can be used is met by nobody
        groups if groups.iter().any(Vec::is_empty) => return "  signed-by: [nobody]\n".to_owned(),
        [_] => 1,
        groups => {
            if groups.iter().any(|group| group.len() > 1) {
                let why = "one policy has one quorum, so every key of every check must sign";
                draft.note(Effect::Stricter, place, "several signature checks", why);
            }
            all.len()
        }
    };
    format!("  signed-by: {{ at-least: {at_least}, of: {} }}\n", quoted_list(all))
}
