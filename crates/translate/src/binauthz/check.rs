//! One check of a set, as what a policy can ask.

use attest::yaml::{Fields, Node, Problems};

use super::check_set::allowlist;
use super::keys::{items, read_pkix, text};
use super::signers::Signers;
use crate::draft::{Draft, Effect};

mod supply;

/// What the checks of one set ask for together.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// For each check of signatures: the names of which any will do.
    pub(super) signers: Vec<Vec<String>>,
    /// Whether Google's builder must have built it.
    pub(super) is_built: bool,
    pub(super) repository: Option<String>,
    pub(super) days: Option<u64>,
    pub(super) worst: Option<&'static str>,
    pub(super) artifacts: Option<Vec<String>>,
    /// Whether nothing passes.
    pub(super) is_denied: bool,
}

const CHECKS: [&str; 9] = [
    "displayName",
    "imageAllowlist",
    "alwaysDeny",
    "imageFreshnessCheck",
    "simpleSigningAttestationCheck",
    "sigstoreSignatureCheck",
    "slsaCheck",
    "trustedDirectoryCheck",
    "vulnerabilityCheck",
];

pub(super) fn read_check(
    node: &Node,
    asked: &mut Asked,
    signers: &mut Signers,
    draft: &mut Draft,
    problems: &mut Problems,
) {
    let Some(fields) = Fields::read(node, "a check", &CHECKS, problems) else { return };
    allowlist(&fields, draft, problems);
    if let Some(node) = fields.optional("alwaysDeny") {
        asked.is_denied |= problems.keep(node.boolean()).unwrap_or(true);
    }
    if let Some(node) = fields.optional("imageFreshnessCheck") {
        fresh(node, asked, draft, problems);
    }
    if let Some(node) = fields.optional("simpleSigningAttestationCheck") {
        asked.signers.push(simple_signing(node, signers, draft, problems));
    }
    if let Some(node) = fields.optional("sigstoreSignatureCheck") {
        asked.signers.push(sigstore(node, signers, draft, problems));
    }
    if let Some(node) = fields.optional("slsaCheck") {
        supply::slsa(node, asked, draft, problems);
    }
    if let Some(node) = fields.optional("trustedDirectoryCheck") {
        directories(node, asked, draft, problems);
    }
    if let Some(node) = fields.optional("vulnerabilityCheck") {
        supply::vulnerabilities(node, asked, draft, problems);
    }
}

fn fresh(node: &Node, asked: &mut Asked, draft: &mut Draft, problems: &mut Problems) {
    let Some(fields) = Fields::read(node, "`imageFreshnessCheck`", &["maxUploadAgeDays"], problems) else {
        return;
    };
    let days =
        fields.required("maxUploadAgeDays", problems).and_then(|n| problems.keep(n.number(1, 100_000)));
    let Some(days) = days else { return };
    asked.days = Some(asked.days.map_or(days, |known| known.min(days)));
    let why = "an image is as old as its build here, not as its upload, which is later";
    draft.note(Effect::Stricter, &node.place.to_string(), &format!("imageFreshnessCheck: {days} days"), why);
}

fn simple_signing(
    node: &Node,
    signers: &mut Signers,
    draft: &mut Draft,
    problems: &mut Problems,
) -> Vec<String> {
    let known = ["attestationAuthenticators", "containerAnalysisAttestationProjects"];
    let Some(fields) = Fields::read(node, "`simpleSigningAttestationCheck`", &known, problems) else {
        return Vec::new();
    };
    for project in items(&fields, "containerAnalysisAttestationProjects", problems) {
        if let Some(name) = problems.keep(project.string()) {
            let why = "attestations are not looked up: bring them beside the image";
            draft.note(Effect::Todo, &project.place.to_string(), name, why);
        }
    }
    let mut names = Vec::new();
    for item in items(&fields, "attestationAuthenticators", problems) {
        let known = ["displayName", "pkixPublicKeySet"];
        let Some(fields) = Fields::read(item, "an authenticator", &known, problems) else { continue };
        let Some(set) = fields.required("pkixPublicKeySet", problems) else { continue };
        let set = Fields::read(set, "`pkixPublicKeySet`", &["pkixPublicKeys"], problems);
        let who = text(&fields, "displayName", problems).unwrap_or("an authenticator");
        let keys = set.map(|set| items(&set, "pkixPublicKeys", problems)).unwrap_or_default();
        names.extend(key_names(keys, who, signers, draft, problems));
    }
    names
}

fn sigstore(node: &Node, signers: &mut Signers, draft: &mut Draft, problems: &mut Problems) -> Vec<String> {
    let known = ["sigstoreAuthorities"];
    let Some(fields) = Fields::read(node, "`sigstoreSignatureCheck`", &known, problems) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for item in items(&fields, "sigstoreAuthorities", problems) {
        let Some(fields) = Fields::read(item, "an authority", &["displayName", "publicKeySet"], problems)
        else {
            continue;
        };
        let Some(set) = fields.required("publicKeySet", problems) else { continue };
        let set = Fields::read(set, "`publicKeySet`", &["publicKeys"], problems);
        let who = text(&fields, "displayName", problems).unwrap_or("an authority");
        let keys = set.map(|set| items(&set, "publicKeys", problems)).unwrap_or_default();
        names.extend(key_names(keys, who, signers, draft, problems));
    }
    names
}

/// Any key of any authority will do, so each is a name of its own, and one that two authorities share is one.
fn key_names(
    keys: &[Node],
    who: &str,
    signers: &mut Signers,
    draft: &mut Draft,
    problems: &mut Problems,
) -> Vec<String> {
    let mut names = Vec::new();
    for node in keys {
        let Some(read) = read_pkix(node, problems) else { continue };
        match &read.key {
            Ok(key) => names.push(signers.add_alone(key, draft)),
            Err(why) => {
                draft.note(Effect::Stricter, &node.place.to_string(), &format!("{who}, key {}", read.id), why)
            }
        }
    }
    names
}

fn directories(node: &Node, asked: &mut Asked, draft: &mut Draft, problems: &mut Problems) {
    let Some(fields) = Fields::read(node, "`trustedDirectoryCheck`", &["trustedDirPatterns"], problems)
    else {
        return;
    };
    let mut patterns = Vec::new();
    for item in items(&fields, "trustedDirPatterns", problems) {
        let Some(text) = problems.keep(item.string()) else { continue };
        let is_plain =
            |segment: &str| segment == "*" || !(segment.is_empty() || segment.contains(['*', ' ']));
        if text.split('/').all(is_plain) {
            patterns.push(format!("{text}/*"));
        } else {
            let why = "a pattern here has whole segments alone: write the folders out under `artifact`";
            draft.note(Effect::Stricter, &item.place.to_string(), text, why);
        }
    }
    if asked.artifacts.is_some() {
        let why = "an image would have to be in a folder of each: only the first check is translated";
        draft.note(Effect::Looser, &node.place.to_string(), "a second trustedDirectoryCheck", why);
        return;
    }
    if patterns.is_empty() {
        // never any image at all: what restricts must not widen by being left out
        patterns.push("TODO-artifact".to_owned());
    }
    asked.artifacts = Some(patterns);
}
