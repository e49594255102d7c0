//! Checks of what is known about an image: how it was built, and what is wrong with it.

use attest::yaml::{Fields, Node, Problems};

use super::Asked;
use crate::binauthz::keys::items;
use crate::draft::{Draft, Effect};

pub(super) fn slsa(node: &Node, asked: &mut Asked, draft: &mut Draft, problems: &mut Problems) {
    let Some(fields) = Fields::read(node, "`slsaCheck`", &["rules"], problems) else { return };
    let place = node.place.to_string();
    asked.is_built = true;
    let why = "put the key with which Google Cloud Build signs, and the builder.id it claims, under `builders`; until then nothing is admitted";
    draft.note(Effect::Todo, &place, "google-cloud-build", why);
    let why = "`built-by` asks for no unlisted parameter of the build: list them under `parameters`";
    draft.note(Effect::Stricter, &place, "parameters", why);
    let rules = items(&fields, "rules", problems);
    if rules.len() > 1 {
        draft.note(
            Effect::Looser,
            &place,
            "several rules",
            "any of them would do; only the builder, which all have, is asked for",
        );
    }
    for rule in rules {
        let repository = read_rule(rule, draft, problems);
        if rules.len() == 1 {
            asked.repository = repository;
        }
    }
}

fn read_rule(node: &Node, draft: &mut Draft, problems: &mut Problems) -> Option<String> {
    const KNOWN: [&str; 5] = [
        "trustedBuilder",
        "attestationSource",
        "configBasedBuildRequired",
        "trustedSourceRepoPatterns",
        "customConstraints",
    ];
    let fields = Fields::read(node, "a rule of `slsaCheck`", &KNOWN, problems)?;
    let builder = fields.required("trustedBuilder", problems)?;
    if problems.keep(builder.string())? != "GOOGLE_CLOUD_BUILD" {
        problems.push(builder.mismatch("GOOGLE_CLOUD_BUILD"));
    }
    let mut left_out = |key: &str, effect: Effect, why: &str| {
        if let Some(node) = fields.optional(key) {
            draft.note(effect, &node.place.to_string(), key, why);
        }
    };
    left_out(
        "attestationSource",
        Effect::Todo,
        "attestations are not looked up: bring them beside the image",
    );
    left_out(
        "configBasedBuildRequired",
        Effect::Looser,
        "no rule asks for it: `target` says which build of the reviewed source",
    );
    left_out("customConstraints", Effect::Looser, "an expression; say it with rules of this book");
    let patterns = items(&fields, "trustedSourceRepoPatterns", problems);
    match patterns {
        [] => None,
        [one] if !one.string().unwrap_or("*").contains('*') => {
            let text = problems.keep(one.string())?;
            let repository = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
            let why = "`source.repository` is exact: check that provenance spells it so";
            draft.note(Effect::Todo, &one.place.to_string(), &repository, why);
            Some(repository)
        }
        several => {
            let words: Vec<&str> = several.iter().filter_map(|n| n.string().ok()).collect();
            let why = "`source.repository` is one repository, without a pattern: write a policy for each";
            draft.note(Effect::Looser, &node.place.to_string(), &words.join(", "), why);
            None
        }
    }
}

/// What is accepted at most, from nothing to everything.
const SEVERITIES: [(&str, &str); 7] = [
    ("BLOCK_ALL", "none"),
    ("MINIMAL", "none"),
    ("LOW", "low"),
    ("MEDIUM", "medium"),
    ("HIGH", "high"),
    ("CRITICAL", "critical"),
    ("ALLOW_ALL", "critical"),
];

pub(super) fn vulnerabilities(node: &Node, asked: &mut Asked, draft: &mut Draft, problems: &mut Problems) {
    const KNOWN: [&str; 5] = [
        "maximumFixableSeverity",
        "maximumUnfixableSeverity",
        "allowedCves",
        "blockedCves",
        "containerAnalysisVulnerabilityProjects",
    ];
    let Some(fields) = Fields::read(node, "`vulnerabilityCheck`", &KNOWN, problems) else { return };
    let place = node.place.to_string();
    let fixable = severity(&fields, "maximumFixableSeverity", problems);
    let unfixable = severity(&fields, "maximumUnfixableSeverity", problems);
    if fixable != unfixable {
        let why = "a scan does not say what can be fixed: the smaller of the two counts for all";
        draft.note(Effect::Stricter, &place, "fixable and unfixable", why);
    }
    let before = SEVERITIES.iter().position(|(_, word)| Some(*word) == asked.worst).unwrap_or(usize::MAX);
    let least = before.min(fixable).min(unfixable);
    asked.worst = SEVERITIES.get(least).map(|(_, word)| *word);
    draft.note(
        Effect::Todo,
        &place,
        "the scanner",
        "put who signs scans under `scanners`; until then nothing is admitted",
    );
    draft.note(
        Effect::Stricter,
        &place,
        "the scan's age",
        "a scan is at most 7 days old; Binary Authorization has no such bound",
    );
    let lists = [
        ("allowedCves", Effect::Stricter, "no rule excuses one vulnerability"),
        ("blockedCves", Effect::Looser, "no rule names one vulnerability"),
        (
            "containerAnalysisVulnerabilityProjects",
            Effect::Todo,
            "scans are not looked up: bring them beside the image",
        ),
    ];
    for (key, effect, why) in lists {
        for item in items(&fields, key, problems) {
            if let Some(name) = problems.keep(item.string()) {
                draft.note(effect, &format!("{}, {key}", item.place), name, why);
            }
        }
    }
}

/// Its place in [`SEVERITIES`]. What is not said blocks all.
fn severity(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> usize {
    let Some(node) = fields.optional(key) else { return 0 };
    let Some(word) = problems.keep(node.string()) else { return 0 };
    match SEVERITIES.iter().position(|(known, _)| *known == word) {
        // two words for none are one
        Some(at) => {
            if at == 1 {
                0
            } else {
                at
            }
        }
        None if word == "MAXIMUM_ALLOWED_SEVERITY_UNSPECIFIED" => 0,
        None => {
            problems.push(node.mismatch("BLOCK_ALL, MINIMAL, LOW, MEDIUM, HIGH, CRITICAL or ALLOW_ALL"));
            0
        }
    }
}
