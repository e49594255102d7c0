//! The policy of a project: a default, exceptions from it, and images that are exempt.

use attest::yaml::{Fields, LoadError, Node, Problems};

use super::attestor::Attestor;
use super::check_set;
use super::guard::{Guard, environment, exempt};
use super::keys::items;
use super::signers::Signers;
use crate::draft::{Draft, Effect, comments, quoted_list};

const KNOWN: [&str; 11] = [
    "name",
    "description",
    "etag",
    "updateTime",
    "globalPolicyEvaluationMode",
    "admissionWhitelistPatterns",
    "clusterAdmissionRules",
    "kubernetesNamespaceAdmissionRules",
    "kubernetesServiceAccountAdmissionRules",
    "istioServiceIdentityAdmissionRules",
    "defaultAdmissionRule",
];

/// From the most to the least specific, as Binary Authorization picks them.
const EXCEPTIONS: [(&str, &str); 4] = [
    ("istioServiceIdentityAdmissionRules", "identity"),
    ("kubernetesServiceAccountAdmissionRules", "service-account"),
    ("kubernetesNamespaceAdmissionRules", "namespace"),
    ("clusterAdmissionRules", "cluster"),
];

/// Translates a policy in YAML or JSON, of a project or, where it has `gkePolicy`, of the platform. Attestors bring the keys.
///
/// # Errors
/// All problems, each with its place; a field that is not known is one.
pub fn translate(file: &str, text: &str, attestors: &[Attestor]) -> Result<Draft, Vec<LoadError>> {
    let node = Node::parse(file, text).map_err(|e| vec![e])?;
    let mut problems = Problems::new();
    let mut draft = Draft::default();
    let mut signers = Signers::default();
    let is_platform = node.entries().is_ok_and(|mut pairs| pairs.any(|(key, ..)| key == "gkePolicy"));
    if is_platform {
        check_set::read(&node, &mut signers, &mut draft, &mut problems);
    } else {
        read(&node, attestors, &mut signers, &mut draft, &mut problems);
    }
    draft.trust_root = format!(
        "# Translated from Binary Authorization: a fragment, to be merged into the trust root by review.\n{}version: 1\n{}",
        comments(
            &draft.untranslated.iter().filter(|u| u.effect == Effect::Todo).cloned().collect::<Vec<_>>()
        ),
        signers.to_yaml()
    );
    problems.finish(Some(draft))
}

fn read(
    node: &Node,
    attestors: &[Attestor],
    signers: &mut Signers,
    draft: &mut Draft,
    problems: &mut Problems,
) {
    let Some(fields) = Fields::read(node, "a policy of Binary Authorization", &KNOWN, problems) else {
        return;
    };
    for pattern in items(&fields, "admissionWhitelistPatterns", problems) {
        let read = Fields::read(pattern, "an exempt image", &["namePattern"], problems);
        let name =
            read.and_then(|f| f.required("namePattern", problems)).and_then(|n| problems.keep(n.string()));
        if let Some(name) = name {
            exempt(&format!("{}, admissionWhitelistPatterns", pattern.place), name, draft);
        }
    }
    if let Some(global) = fields.optional("globalPolicyEvaluationMode")
        && problems.keep(global.string()) == Some("ENABLE")
    {
        exempt(
            &format!("{}, globalPolicyEvaluationMode", global.place),
            "images of Google's own list",
            draft,
        );
    }
    let mut rules = Vec::new();
    for (key, kind) in EXCEPTIONS {
        let listed =
            fields.optional(key).and_then(|n| problems.keep(n.entries()).map(Iterator::collect::<Vec<_>>));
        for (name, place, rule) in listed.unwrap_or_default() {
            let environment = environment(kind, name, &format!("{}, {key}", place.place), draft);
            rules.extend(environment.map(|e| (e, rule)));
        }
    }
    let default = fields.required("defaultAdmissionRule", problems);
    rules.extend(default.map(|rule| ("binauthz/default".to_owned(), rule)));
    if rules.len() > 1 {
        let why = "the mapping must say which workload is where: identity before service account, namespace, cluster, default";
        draft.note(Effect::Todo, "the mapping", "environments below binauthz/", why);
    }
    for (environment, rule) in rules {
        Admission { environment, node: rule, attestors }.write(signers, draft, problems);
    }
}

/// One admission rule, for one environment.
struct Admission<'a> {
    environment: String,
    node: &'a Node,
    attestors: &'a [Attestor],
}

impl Admission<'_> {
    fn write(&self, signers: &mut Signers, draft: &mut Draft, problems: &mut Problems) {
        const KNOWN: [&str; 3] = ["evaluationMode", "enforcementMode", "requireAttestationsBy"];
        let Some(fields) = Fields::read(self.node, "an admission rule", &KNOWN, problems) else { return };
        let words = |key: &str, problems: &mut Problems| {
            fields.required(key, problems).and_then(|n| problems.keep(n.string()).map(|text| (n, text)))
        };
        let (Some((mode, evaluation)), Some((enforced, enforcement))) =
            (words("evaluationMode", problems), words("enforcementMode", problems))
        else {
            return;
        };
        let is_dry_run = match enforcement {
            "ENFORCED_BLOCK_AND_AUDIT_LOG" => false,
            "DRYRUN_AUDIT_LOG_ONLY" => true,
            _ => {
                return problems
                    .push(enforced.mismatch("ENFORCED_BLOCK_AND_AUDIT_LOG or DRYRUN_AUDIT_LOG_ONLY"));
            }
        };
        let place = format!("{}, {}", self.node.place, self.environment);
        match evaluation {
            "ALWAYS_ALLOW" => {
                let why = "no policy admits everything: nothing is admitted there until somebody writes what it asks for";
                draft.note(Effect::Stricter, &place, evaluation, why);
            }
            "ALWAYS_DENY" if is_dry_run => {
                let why = "without a policy nothing is admitted there, not even in a dry run";
                draft.note(Effect::Stricter, &place, "ALWAYS_DENY in a dry run", why);
            }
            "ALWAYS_DENY" => draft.note(
                Effect::Todo,
                &place,
                evaluation,
                "no policy is written: what none guards is refused",
            ),
            "REQUIRE_ATTESTATION" => self.require(&fields, is_dry_run, &place, signers, (draft, problems)),
            _ => problems.push(mode.mismatch("REQUIRE_ATTESTATION, ALWAYS_ALLOW or ALWAYS_DENY")),
        }
    }

    /// Every attestor that is named must have attested.
    fn require(
        &self,
        fields: &Fields<'_>,
        is_dry_run: bool,
        place: &str,
        signers: &mut Signers,
        (draft, problems): (&mut Draft, &mut Problems),
    ) {
        let from = draft.untranslated.len();
        let Some(list) = fields.required("requireAttestationsBy", problems) else { return };
        let names = problems.keep(list.strings()).unwrap_or_default();
        for (name, _) in &names {
            let Some(attestor) = self.attestors.iter().find(|a| a.name() == name) else {
                let why = "its keys were not given, so nobody can sign as it yet: give the attestor too";
                draft.note(Effect::Todo, place, name, why);
                continue;
            };
            for key in &attestor.keys {
                match &key.key {
                    Ok(usable) => signers.add(name, usable, draft),
                    Err(why) => draft.note(Effect::Stricter, place, &format!("{name}, key {}", key.id), why),
                }
            }
        }
        let all = quoted_list(names.iter().map(|(name, _)| name.as_str()));
        Guard {
            environment: self.environment.clone(),
            artifacts: Vec::new(),
            is_dry_run,
            require: format!("  signed-by: {{ at-least: {}, of: {all} }}\n", names.len()),
        }
        .write(from, draft);
    }
}
