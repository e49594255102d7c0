//! Who else may change what guards the choke point, or enter a node past it.

use std::collections::BTreeSet;

use attest::{Json, Object};

use super::drift::{Difference, Live, id, name, text};
use super::{Account, Settings};

const WRITE: [&str; 6] = ["*", "create", "update", "patch", "delete", "deletecollection"];
const ANY: [&str; 2] = ["*", "get"];

/// The parts of Kubernetes itself that hold such powers in every cluster.
const SYSTEM: [&str; 5] = [
    "group system:masters",
    "user system:kube-controller-manager",
    "user system:serviceaccount:kube-system:generic-garbage-collector",
    "user system:serviceaccount:kube-system:namespace-controller",
    "user system:serviceaccount:kube-system:storage-version-migrator-controller",
];

/// Every binding that gives somebody else than the keepers one of these powers. Told only where the roles were given.
#[must_use]
pub fn powers(settings: &Settings, live: &Live) -> Vec<Difference> {
    let allowed: BTreeSet<String> = settings.keepers.iter().chain(&settings.emergency).map(account).collect();
    let mut differences = Vec::new();
    for binding in live.of_kind("ClusterRoleBinding") {
        let Some(role) = binding.get("roleRef").and_then(|r| r.as_object().ok()) else { continue };
        let role = live.of_kind("ClusterRole").find(|r| name(r) == text(role, "name"));
        let powers = role.map(given).unwrap_or_default();
        if powers.is_empty() {
            continue;
        }
        for subject in list(binding, "subjects") {
            let subject = subject_name(subject);
            if SYSTEM.contains(&subject.as_str()) || allowed.contains(&subject) {
                continue;
            }
            differences.push(Difference {
                object: id(binding),
                place: "subjects".to_owned(),
                wanted: "nobody but the keepers".to_owned(),
                found: format!("{subject} may {}", powers.join(", and ")),
                fix: "take the role away, or name the account with --keeper where it is meant".to_owned(),
            });
        }
    }
    differences.sort();
    differences
}

/// The powers that a role gives, in words.
fn given(role: &Object) -> Vec<&'static str> {
    let gives = |group: &str, resources: &[&str], verbs: &[&str]| {
        list(role, "rules").any(|rule| {
            let has =
                |key: &str, names: &[&str]| list_of_texts(rule, key).any(|n| n == "*" || names.contains(&n));
            has("apiGroups", &[group]) && has("resources", resources) && has("verbs", verbs)
        })
    };
    let mut powers = Vec::new();
    let webhooks = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"];
    let policies = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"];
    if gives("admissionregistration.k8s.io", &policies, &WRITE) {
        powers.push("change admission policies");
    }
    if gives("admissionregistration.k8s.io", &webhooks, &WRITE) {
        powers.push("change webhooks");
    }
    if gives("", &["nodes/proxy", "nodes/*", "*/proxy"], &[&ANY[..], &WRITE[..]].concat()) {
        powers.push("run commands in every container through nodes/proxy, unseen by admission");
    }
    if gives("", &["users", "groups", "serviceaccounts"], &["*", "impersonate"]) {
        powers.push("act as somebody else");
    }
    if gives("", &["serviceaccounts/token", "serviceaccounts/*", "*/token"], &["*", "create"]) {
        powers.push("take the token of any service account");
    }
    powers
}

fn list<'a>(object: &'a Object, key: &str) -> impl Iterator<Item = &'a Object> {
    let items = object.get(key).and_then(|v| v.as_array().ok()).unwrap_or_default();
    items.iter().filter_map(|item| item.as_object().ok())
}

fn list_of_texts<'a>(object: &'a Object, key: &str) -> impl Iterator<Item = &'a str> {
    let items = object.get(key).and_then(|v| v.as_array().ok()).unwrap_or_default();
    items.iter().filter_map(|item: &Json| item.as_str().ok())
}

fn account(account: &Account) -> String {
    match account {
        Account::User(name) => format!("user {name}"),
        Account::Group(name) => format!("group {name}"),
    }
}

fn subject_name(subject: &Object) -> String {
    match text(subject, "kind") {
        "ServiceAccount" => {
            format!("user system:serviceaccount:{}:{}", text(subject, "namespace"), text(subject, "name"))
        }
        "Group" => format!("group {}", text(subject, "name")),
        _ => format!("user {}", text(subject, "name")),
    }
}
