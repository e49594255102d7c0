//! From YAML to a mapping.

use attest::LoadError;
use attest::yaml::{Fields, Node, Place, Problems};

use super::{Environment, Guard, Mapping, UNCLAIMED};
use crate::controller::default_controllers;
use crate::images::{CustomImages, pod_prefix};
use crate::path::Path;
use crate::review::GroupKind;

pub(super) fn mapping(fields: &Fields<'_>, problems: &mut Problems) -> Option<Mapping> {
    let cluster = fields.required("cluster", problems).and_then(|n| problems.keep(n.string()));
    let environments = each(fields, "environments", problems, environment);
    overlaps(&environments, problems);
    let guard = each(fields, "guard", problems, guard);
    guarded_twice(&guard, problems);
    let images: Vec<(CustomImages, Place)> = each(fields, "images", problems, images);
    for (index, (entry, place)) in images.iter().enumerate() {
        if images.iter().take(index).any(|(other, _)| other.kind == entry.kind) {
            let message = format!("{} stands twice in `images`", entry.kind);
            problems.push(LoadError::new(place, &message).fix("merge the two entries"));
        }
    }
    let controllers = match fields.optional("controllers") {
        Some(node) => accounts(node, problems),
        None => default_controllers(),
    };
    Some(Mapping {
        cluster: cluster?.to_owned(),
        environments: environments.into_iter().map(|(e, _)| e).collect(),
        guard: guard.into_iter().map(|(g, _)| g).collect(),
        images: images.into_iter().map(|(i, _)| i).collect(),
        controllers,
        mirror_namespaces: strings(fields, "mirror-namespaces", problems, is_namespace, "a namespace's name"),
    })
}

fn each<T>(
    fields: &Fields<'_>,
    key: &str,
    problems: &mut Problems,
    read: impl Fn(&Node, &mut Problems) -> Option<T>,
) -> Vec<(T, Place)> {
    let items = fields.optional(key).and_then(|n| problems.keep(n.list())).unwrap_or_default();
    items.iter().filter_map(|item| Some((read(item, problems)?, item.place.clone()))).collect()
}

fn strings(
    fields: &Fields<'_>,
    key: &str,
    problems: &mut Problems,
    is_good: impl Fn(&str) -> bool,
    wanted: &str,
) -> Vec<String> {
    let found = fields.optional(key).and_then(|n| problems.keep(n.strings())).unwrap_or_default();
    for (text, place) in &found {
        if !is_good(text) {
            let error =
                LoadError::new(place, &format!("`{text}` is not {wanted}")).wanted(wanted).found(text);
            problems.push(error.fix(&format!("write {wanted}")));
        }
    }
    found.into_iter().map(|(text, _)| text).collect()
}

/// A DNS label. No patterns: a namespace that somebody makes tomorrow is claimed by nobody.
fn is_namespace(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| plain(b) || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_workload(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('/') else { return false };
    let is_name = |n: &str| n == "*" || (!n.is_empty() && !n.contains(['/', '*', ' ']));
    is_kind(kind) && is_name(name)
}

/// `Deployment`, or `Rollout.argoproj.io` for kinds of others.
fn is_kind(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

fn place_of_objects(
    fields: &Fields<'_>,
    node: &Node,
    problems: &mut Problems,
) -> Option<(Vec<String>, bool)> {
    let namespaces =
        strings(fields, "namespaces", problems, is_namespace, "a namespace's name, without patterns");
    let scoped = fields.optional("cluster-scoped").and_then(|n| problems.keep(n.boolean())).unwrap_or(false);
    if namespaces.is_empty() && !scoped && fields.optional("namespaces").is_none() {
        let error = LoadError::new(&node.place, "the entry says nothing of where")
            .wanted("`namespaces`, `cluster-scoped: true`, or both");
        problems.push(error.fix("add a line `namespaces: [NAME]`"));
        return None;
    }
    Some((namespaces, scoped))
}

fn environment(node: &Node, problems: &mut Problems) -> Option<Environment> {
    let known = ["environment", "namespaces", "cluster-scoped", "workloads"];
    let fields = Fields::read(node, "an entry of `environments`", &known, problems)?;
    let name_node = fields.required("environment", problems)?;
    let name = problems.keep(name_node.string())?;
    if name.starts_with(UNCLAIMED) || name.contains(['*', ' ']) {
        let error = LoadError::new(&name_node.place, &format!("`{name}` is no environment's name"))
            .wanted("a name without patterns that does not begin with `unclaimed/`");
        problems.push(error.found(name).fix("write a name as in prod/shop"));
    }
    let (namespaces, cluster_scoped) = place_of_objects(&fields, node, problems)?;
    let wanted = "a workload as in Deployment/pay or Job/*";
    let workloads = strings(&fields, "workloads", problems, is_workload, wanted);
    Some(Environment { name: name.to_owned(), namespaces, cluster_scoped, workloads })
}

/// Two entries that could claim one workload: nobody should have to know which one wins.
fn overlaps(entries: &[(Environment, Place)], problems: &mut Problems) {
    for (index, (entry, place)) in entries.iter().enumerate() {
        for (other, first) in entries.iter().take(index) {
            let namespace =
                entry.namespaces.iter().find(|n| other.namespaces.contains(n)).map(String::as_str);
            let scope =
                (entry.cluster_scoped && other.cluster_scoped).then_some("objects outside of namespaces");
            let Some(shared) = namespace.or(scope) else { continue };
            let both = match (entry.workloads.is_empty(), other.workloads.is_empty()) {
                (true, true) => Some("every workload".to_owned()),
                (false, false) => {
                    entry.workloads.iter().find(|w| other.workloads.iter().any(|o| meet(w, o))).cloned()
                }
                _ => None, // one names workloads, and the other has the rest
            };
            if let Some(both) = both {
                let message = format!("two entries claim {both} in {shared}");
                let error = LoadError::new(place, &message).found(&format!("also {} at {first}", other.name));
                problems.push(error.fix("separate them by `workloads`, or remove the namespace from one"));
            }
        }
    }
}

fn meet(one: &str, other: &str) -> bool {
    let (Some((kind, name)), Some((other_kind, other_name))) = (one.split_once('/'), other.split_once('/'))
    else {
        return false;
    };
    kind == other_kind && (name == other_name || name == "*" || other_name == "*")
}

fn guard(node: &Node, problems: &mut Problems) -> Option<Guard> {
    let known = ["kinds", "namespaces", "cluster-scoped", "names", "autoscaled"];
    let fields = Fields::read(node, "an entry of `guard`", &known, problems)?;
    fields.required("kinds", problems);
    let kinds = strings(&fields, "kinds", problems, is_kind, "a kind as in ConfigMap or Rollout.argoproj.io");
    bound_by_controllers(&fields, problems);
    let (namespaces, cluster_scoped) = place_of_objects(&fields, node, problems)?;
    let is_name = |text: &str| !text.is_empty() && !text.contains(['*', '/', ' ']);
    let names = strings(&fields, "names", problems, is_name, "an object's name, without patterns");
    let autoscaled = fields.optional("autoscaled").and_then(|n| problems.keep(n.boolean())).unwrap_or(false);
    Some(Guard { kinds, namespaces, cluster_scoped, names, autoscaled })
}

/// Who binds a volume, and who chooses one, write the same fields: no digest can tell them apart.
fn bound_by_controllers(fields: &Fields<'_>, problems: &mut Problems) {
    let found = fields.optional("kinds").and_then(|n| n.strings().ok()).unwrap_or_default();
    for (kind, place) in &found {
        if matches!(kind.as_str(), "PersistentVolume" | "PersistentVolumeClaim") {
            let message = format!("{kind} cannot be guarded: binding writes what a tenant may choose");
            let error = LoadError::new(place, &message).found(kind);
            let error = error.wanted("a kind whose specification no controller writes");
            problems.push(error.fix("remove it; say who may make volumes and claims with RBAC and quotas"));
        }
    }
}

/// One object guarded by two entries could have two digests.
fn guarded_twice(entries: &[(Guard, Place)], problems: &mut Problems) {
    for (index, (entry, place)) in entries.iter().enumerate() {
        for (other, first) in entries.iter().take(index) {
            let kind = entry.kinds.iter().find(|k| other.kinds.contains(k));
            let shares = entry.namespaces.iter().any(|n| other.namespaces.contains(n))
                || (entry.cluster_scoped && other.cluster_scoped);
            let names = entry.names.is_empty()
                || other.names.is_empty()
                || entry.names.iter().any(|n| other.names.contains(n));
            if let (Some(kind), true, true) = (kind, shares, names) {
                let error = LoadError::new(place, &format!("two entries guard the same {kind}"));
                problems.push(
                    error.found(&format!("also at {first}")).fix("merge them, or separate them by `names`"),
                );
            }
        }
    }
}

fn images(node: &Node, problems: &mut Problems) -> Option<CustomImages> {
    let fields = Fields::read(node, "an entry of `images`", &["kind", "paths"], problems)?;
    let kind_node = fields.required("kind", problems)?;
    let kind = problems.keep(kind_node.string())?;
    if !is_kind(kind) {
        problems.push(kind_node.mismatch("a kind as in Rollout.argoproj.io"));
    }
    let mut paths = Vec::new();
    let node = fields.required("paths", problems)?;
    for (text, place) in problems.keep(node.strings())? {
        match Path::parse(&text) {
            Ok(path) => paths.push(path),
            Err(e) => {
                let error = LoadError::new(&place, &format!("`{text}` is no path: {e}"));
                problems.push(error.wanted("a path as in spec.template.spec.containers[*].image").found(&text).fix(
                    "write names with dots, `[*]` for every item of a list, `.*` for every value of a map",
                ));
            }
        }
    }
    let is_built_in = pod_prefix(&GroupKind::of("v1", kind)).is_some()
        || pod_prefix(&GroupKind::of("apps/v1", kind)).is_some()
        || pod_prefix(&GroupKind::of("batch/v1", kind)).is_some();
    for path in paths.iter().filter(|_| is_built_in) {
        if !path.to_string().contains("annotations[") {
            let error = LoadError::new(
                &kind_node.place,
                &format!("{kind} is known; its images are found without a path"),
            );
            problems.push(
                error.found(&path.to_string()).fix("remove the path; only annotations can be added to it"),
            );
        }
    }
    Some(CustomImages { kind: kind.to_owned(), paths })
}

fn accounts(node: &Node, problems: &mut Problems) -> Vec<String> {
    let names = problems.keep(node.strings()).unwrap_or_default();
    for (name, place) in &names {
        // a tenant can make any account in a namespace of his; only the system's own stand for its controllers
        if !name.starts_with("system:") {
            let error = LoadError::new(place, &format!("`{name}` is no account of the system")).found(name);
            problems.push(
                error
                    .wanted("a name that begins with `system:`")
                    .fix("write system:serviceaccount:kube-system:NAME, or system:kube-controller-manager"),
            );
        }
    }
    names.into_iter().map(|(name, _)| name).collect()
}
