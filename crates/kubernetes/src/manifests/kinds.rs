//! Kinds as people write them, resources as the API server routes them.

use attest::{Json, Object};

use super::ManifestError;

/// Everything that holds images, or gives a Pod what was not judged with it: group, resources.
pub(super) const IMAGES: [(&str, &[&str]); 3] = [
    ("", &["pods", "pods/ephemeralcontainers", "podtemplates", "replicationcontrollers"]),
    ("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
    ("batch", &["cronjobs", "jobs"]),
];

/// The kinds of the API server that can be guarded without saying more: kind, group, resource.
const KNOWN: [(&str, &str, &str); 20] = [
    ("ClusterRole", "rbac.authorization.k8s.io", "clusterroles"),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ("ConfigMap", "", "configmaps"),
    ("CronJob", "batch", "cronjobs"),
    ("DaemonSet", "apps", "daemonsets"),
    ("Deployment", "apps", "deployments"),
    ("Ingress", "networking.k8s.io", "ingresses"),
    ("Job", "batch", "jobs"),
    ("LimitRange", "", "limitranges"),
    ("NetworkPolicy", "networking.k8s.io", "networkpolicies"),
    ("Pod", "", "pods"),
    ("PodDisruptionBudget", "policy", "poddisruptionbudgets"),
    ("ReplicaSet", "apps", "replicasets"),
    ("ResourceQuota", "", "resourcequotas"),
    ("Role", "rbac.authorization.k8s.io", "roles"),
    ("RoleBinding", "rbac.authorization.k8s.io", "rolebindings"),
    ("Secret", "", "secrets"),
    ("Service", "", "services"),
    ("ServiceAccount", "", "serviceaccounts"),
    ("StatefulSet", "apps", "statefulsets"),
];

/// The group and the resource of a kind that people may write without its group.
fn known(kind: &str) -> Option<(&'static str, &'static str)> {
    KNOWN.iter().find(|(name, ..)| *name == kind).map(|(_, group, resource)| (*group, *resource))
}

/// The rule that sends a kind to the webhook. The resources of a custom kind are all of its group: its plural stands
/// in the cluster and not in its name, and a wrong guess would be a hole that nobody sees.
pub(super) fn rule(kind: &str, scope: &str) -> Result<Json, ManifestError> {
    match (known(kind), kind.split_once('.')) {
        (Some((group, resource)), None) => Ok(rule_of(group, &[resource], scope)),
        (None, Some((name, group))) if !name.is_empty() && group.contains('.') => {
            Ok(rule_of(group, &["*"], scope))
        }
        _ => Err(ManifestError::new(
            "a kind that nobody knows",
            "a kind of the API server, or KIND.GROUP as in Rollout.argoproj.io",
            kind,
            "write its group behind it",
        )),
    }
}

/// The group and resource by which an owner of this kind is read. A wrong guess here refuses, and is seen.
pub(super) fn owner(kind: &str) -> Option<(String, String)> {
    let (name, group) = kind.split_once('.')?;
    let name = name.to_ascii_lowercase();
    let plural = match name.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if name.ends_with('s') => format!("{name}es"),
        None => format!("{name}s"),
    };
    Some((group.to_owned(), plural))
}

/// One rule for what is created and changed.
pub(super) fn rule_of(group: &str, resources: &[&str], scope: &str) -> Json {
    Object::new()
        .with("apiGroups", vec![group])
        .with("apiVersions", vec!["*"])
        .with("operations", vec!["CREATE", "UPDATE"])
        .with("resources", resources.to_vec())
        .with("scope", scope)
        .into()
}

/// The rules for everything that holds images.
pub(super) fn image_rules() -> Vec<Json> {
    IMAGES.iter().map(|(group, resources)| rule_of(group, resources, "Namespaced")).collect()
}
