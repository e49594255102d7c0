//! What the API server and the built-in controllers add to a pod, taken out again. Every line here is a claim that the
//! addition neither runs code nor gains rights.

use attest::{Json, Object};

use super::Maker;

/// Longer lists than this are compared as they are: additions to them are not looked for.
const MAX_LIST: usize = 256;
const ACCOUNT_VOLUME: &str = "kube-api-access-";
const ACCOUNT_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Added by the scheduler, priority and account admission where the template is silent: where and how soon a pod runs,
/// and with which credentials its image is pulled. `serviceAccountName` is not here: it is a right.
const FILLED: [&str; 5] =
    ["imagePullSecrets", "nodeName", "preemptionPolicy", "priority", "priorityClassName"];
const NAMED: [&str; 2] = ["hostname", "subdomain"];

pub(super) fn at<'a>(object: &'a Object, path: &[&str]) -> Option<&'a Json> {
    let (first, rest) = path.split_first()?;
    let value = object.get(first)?;
    if rest.is_empty() { Some(value) } else { at(value.as_object().ok()?, rest) }
}

/// Takes additions out of `pod` (and from both, what a StatefulSet replaces by its claims).
pub(super) fn settle(pod: &mut Object, template: &mut Object, maker: &Maker, name: &str) {
    for key in FILLED {
        if template.get(key).is_none() {
            pod.remove(key);
        }
    }
    if matches!(maker.kind.as_str(), "StatefulSet" | "Job") {
        NAMED.iter().filter(|key| template.get(key).is_none()).for_each(|key| drop(pod.remove(key)));
    }
    // filled in for pods, and not for templates
    if template.get("enableServiceLinks").is_none()
        && pod.get("enableServiceLinks") == Some(&Json::from(true))
    {
        pod.remove("enableServiceLinks");
    }
    account(pod, template);
    runtime(pod, template);
    claims(pod, template, maker, name);
    let injected = account_volumes(pod, template);
    keep(pod, "volumes", |volume| !name_of(volume).is_some_and(|n| injected.iter().any(|i| i == n)));
    let known = items(template, "tolerations").to_vec();
    keep(pod, "tolerations", |toleration| !is_node_toleration(toleration) || known.contains(toleration));
    // a pod-level selector can only narrow where it runs
    added_keys(pod, template, "nodeSelector");
    added_resources(pod, template);
    if maker.kind == "DaemonSet" {
        own_node(pod, template);
    }
    let is_on_host = pod.get("hostNetwork") == Some(&Json::from(true));
    for list in ["containers", "initContainers"] {
        let wanted = items(template, list).to_vec();
        let Some((_, Json::Array(made))) = pod.iter_mut().find(|(key, _)| *key == list) else { continue };
        if made.len() > MAX_LIST {
            continue;
        }
        for made in made {
            let partner = wanted.iter().find(|w| name_of(w).is_some() && name_of(w) == name_of(made));
            if let (Json::Object(made), Some(Json::Object(wanted))) = (made, partner) {
                container(made, wanted, &injected, maker);
                if is_on_host {
                    host_ports(made, wanted);
                }
            }
        }
    }
    pod_drop_empty(pod, template);
}

/// A template that names no account gets `default`; the old spelling repeats the new one.
fn account(pod: &mut Object, template: &Object) {
    let text = |object: &Object, key: &str| match object.get(key) {
        Some(Json::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    let wanted = text(template, "serviceAccountName").or_else(|| text(template, "serviceAccount"));
    let wanted = wanted.unwrap_or_else(|| "default".to_owned());
    for key in ["serviceAccountName", "serviceAccount"] {
        if template.get(key).is_none() && text(pod, key).as_ref() == Some(&wanted) {
            pod.remove(key);
        }
    }
}

/// What a RuntimeClass, which a cluster's administrator wrote, adds to pods that name it.
fn runtime(pod: &mut Object, template: &Object) {
    if template.get("runtimeClassName").is_some() && template.get("overhead").is_none() {
        pod.remove("overhead");
    }
}

/// A StatefulSet puts its claims in place of volumes of the same names.
fn claims(pod: &mut Object, template: &mut Object, maker: &Maker, pod_name: &str) {
    for claim in maker.claims.iter().take(MAX_LIST) {
        let is_claim = |volume: &Json| {
            let source = Object::new().with("claimName", format!("{claim}-{pod_name}"));
            let volume_of = |source: Object| {
                Json::from(Object::new().with("name", claim.as_str()).with("persistentVolumeClaim", source))
            };
            *volume == volume_of(source.clone()) || *volume == volume_of(source.with("readOnly", false))
        };
        if items(pod, "volumes").iter().any(is_claim) {
            keep(pod, "volumes", |volume| !is_claim(volume));
            keep(template, "volumes", |volume| name_of(volume) != Some(claim));
        }
    }
}

/// The names of volumes that the account admission added: of exactly its shape, and none of the template's.
fn account_volumes(pod: &Object, template: &Object) -> Vec<String> {
    let known: Vec<&str> = items(template, "volumes").iter().filter_map(name_of).collect();
    items(pod, "volumes")
        .iter()
        .filter(|volume| is_account_volume(volume))
        .filter_map(name_of)
        .filter(|name| !known.contains(name))
        .map(str::to_owned)
        .take(1)
        .collect()
}

/// The token of the pod's own account, the cluster's certificate and the namespace's name; nothing else.
fn is_account_volume(volume: &Json) -> bool {
    let is_named = name_of(volume).is_some_and(|name| name.starts_with(ACCOUNT_VOLUME));
    let Json::Object(volume) = volume else { return false };
    let Some(Json::Object(projected)) = volume.get("projected") else { return false };
    let is_source = |source: &Json| {
        const SOURCES: [&str; 3] = [
            r#"{"configMap":{"items":[{"key":"ca.crt","path":"ca.crt"}],"name":"kube-root-ca.crt"}}"#,
            r#"{"downwardAPI":{"items":[{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"},"path":"namespace"}]}}"#,
            r#"{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}}"#,
        ];
        SOURCES.contains(&crate::canonical::canonical(source).as_str())
    };
    is_named
        && volume.iter().all(|(key, _)| matches!(key, "name" | "projected"))
        && projected.iter().all(|(key, _)| matches!(key, "sources" | "defaultMode"))
        && items(projected, "sources").iter().all(is_source)
}

fn container(made: &mut Object, wanted: &Object, injected: &[String], maker: &Maker) {
    let is_injected = |mount: &Json| {
        injected.iter().any(|name| {
            let mount_of = Object::new().with("name", name.as_str()).with("readOnly", true);
            let mount_of = Json::from(mount_of.with("mountPath", ACCOUNT_MOUNT));
            crate::canonical::canonical(mount) == crate::canonical::canonical(&mount_of)
        })
    };
    keep(made, "volumeMounts", |mount| !is_injected(mount));
    if maker.kind == "Job" {
        let known = items(wanted, "env").to_vec();
        keep(made, "env", |variable| !is_completion_index(variable) || known.contains(variable));
    }
    // an admission plugin that makes nodes ask the registry every time
    if made.get("imagePullPolicy") == Some(&Json::from("Always"))
        && let Some(policy) = wanted.get("imagePullPolicy")
    {
        made.set("imagePullPolicy", policy.clone());
    }
    added_resources(made, wanted);
    pod_drop_empty(made, wanted);
}

/// On the host's network, a port of the container is the same port of the host: filled in for pods alone.
fn host_ports(made: &mut Object, wanted: &Object) {
    let known = items(wanted, "ports").to_vec();
    let Some((_, Json::Array(ports))) = made.iter_mut().find(|(key, _)| *key == "ports") else { return };
    for (port, known) in ports.iter_mut().zip(&known) {
        let (Json::Object(port), Json::Object(known)) = (port, known) else { continue };
        if known.get("hostPort").is_none() && port.get("hostPort") == port.get("containerPort") {
            port.remove("hostPort");
        }
    }
}

/// `JOB_COMPLETION_INDEX`, read from the pod's own metadata.
fn is_completion_index(variable: &Json) -> bool {
    const PLACES: [&str; 2] = [
        "metadata.annotations['batch.kubernetes.io/job-completion-index']",
        "metadata.labels['batch.kubernetes.io/job-completion-index']",
    ];
    let Json::Object(variable) = variable else { return false };
    let place = at(variable, &["valueFrom", "fieldRef", "fieldPath"]);
    variable.get("name") == Some(&Json::from("JOB_COMPLETION_INDEX"))
        && variable.get("value").is_none()
        && matches!(place, Some(Json::String(place)) if PLACES.contains(&place.as_str()))
        && matches!(variable.get("valueFrom"), Some(Json::Object(from)) if from.len() == 1)
}

/// A limit range fills in requests and limits that the template leaves open.
fn added_resources(made: &mut Object, wanted: &Object) {
    for part in ["limits", "requests"] {
        let known: Vec<String> = match at(wanted, &["resources", part]) {
            Some(Json::Object(map)) => map.iter().map(|(key, _)| key.to_owned()).collect(),
            _ => Vec::new(),
        };
        let Some((_, Json::Object(resources))) = made.iter_mut().find(|(key, _)| *key == "resources") else {
            return;
        };
        let mut is_empty = false;
        if let Some((_, Json::Object(map))) = resources.iter_mut().find(|(key, _)| *key == part) {
            retain(map, |key| known.iter().any(|k| k == key));
            is_empty = map.is_empty();
        }
        if is_empty && at(wanted, &["resources", part]).is_none() {
            resources.remove(part);
        }
    }
}

fn added_keys(made: &mut Object, wanted: &Object, key: &str) {
    let known: Vec<String> = match wanted.get(key) {
        Some(Json::Object(map)) => map.iter().map(|(k, _)| k.to_owned()).collect(),
        _ => Vec::new(),
    };
    if let Some((_, Json::Object(map))) = made.iter_mut().find(|(k, _)| *k == key) {
        retain(map, |k| known.iter().any(|known| known == k));
    }
}

/// A DaemonSet pins each pod to its node by name, in place of the template's own terms.
fn own_node(pod: &mut Object, template: &mut Object) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = match at(pod, &["affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms"]) {
        Some(Json::Array(terms)) => terms.clone(),
        _ => return,
    };
    let by_name = |term: &Json| {
        let text = crate::canonical::canonical(term);
        text.starts_with(r#"{"matchFields":[{"key":"metadata.name","operator":"In","values":["#)
            && text.matches("\"key\"").count() == 1
    };
    if terms.len() == 1 && terms.iter().all(by_name) {
        for spec in [pod, template] {
            let Some((_, Json::Object(affinity))) = spec.iter_mut().find(|(k, _)| *k == "affinity") else {
                continue;
            };
            if let Some((_, Json::Object(node))) = affinity.iter_mut().find(|(k, _)| *k == "nodeAffinity") {
                node.remove(REQUIRED);
            }
            if matches!(affinity.get("nodeAffinity"), Some(Json::Object(node)) if node.is_empty()) {
                affinity.remove("nodeAffinity");
            }
            if affinity.is_empty() {
                spec.remove("affinity");
            }
        }
    }
}

fn is_node_toleration(toleration: &Json) -> bool {
    let Json::Object(toleration) = toleration else { return false };
    matches!(toleration.get("key"), Some(Json::String(key)) if key.starts_with("node.kubernetes.io/"))
}

/// Lists and maps that are empty once additions are out were not there, where the template has none.
fn pod_drop_empty(made: &mut Object, wanted: &Object) {
    for key in ["volumes", "volumeMounts", "tolerations", "nodeSelector", "env", "resources"] {
        let is_empty = match made.get(key) {
            Some(Json::Array(items)) => items.is_empty(),
            Some(Json::Object(map)) => map.is_empty(),
            _ => false,
        };
        if is_empty && wanted.get(key).is_none() {
            made.remove(key);
        }
    }
}

fn retain(map: &mut Object, is_kept: impl Fn(&str) -> bool) {
    let pairs: Vec<(String, Json)> = map
        .iter()
        .filter(|(key, _)| is_kept(key))
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    *map = Object::from_unique(pairs);
}

fn items<'a>(object: &'a Object, key: &str) -> &'a [Json] {
    match object.get(key) {
        Some(Json::Array(items)) => items,
        _ => &[],
    }
}

fn keep(object: &mut Object, key: &str, is_kept: impl FnMut(&Json) -> bool) {
    if let Some((_, Json::Array(items))) = object.iter_mut().find(|(k, _)| *k == key)
        && items.len() <= MAX_LIST
    {
        items.retain(is_kept);
    }
}

fn name_of(item: &Json) -> Option<&str> {
    item.as_object().ok()?.optional_string("name").ok()?
}
