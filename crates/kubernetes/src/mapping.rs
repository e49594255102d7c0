//! Which environment a workload belongs to, what is guarded, who the controllers are: the webhook's configuration,
//! written by those who run the cluster. Nothing in the cluster is asked: a namespace's labels belong to its owner.

mod read;

use attest::yaml::{Fields, Problems};

use crate::controller::default_controllers;
use crate::images::CustomImages;
use crate::review::GroupKind;

/// Where environments of nobody begin. No entry may claim one, so no policy is met there by accident.
pub const UNCLAIMED: &str = "unclaimed/";

/// One environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its name, as in `prod/shop`.
    pub name: String,
    /// Its namespaces; empty for objects outside of namespaces.
    pub namespaces: Vec<String>,
    /// Whether it holds objects outside of namespaces.
    pub cluster_scoped: bool,
    /// Its workloads, as in `Deployment/pay` and `Job/*`; empty for all that no other entry names.
    pub workloads: Vec<String>,
}

/// Objects that are artifacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Their kinds, as in [`GroupKind::name`].
    pub kinds: Vec<String>,
    /// Their namespaces.
    pub namespaces: Vec<String>,
    /// Whether objects outside of namespaces are meant.
    pub cluster_scoped: bool,
    /// Their names; empty for all.
    pub names: Vec<String>,
    /// Whether an autoscaler owns the number of replicas.
    pub autoscaled: bool,
}

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The cluster's name.
    pub cluster: String,
    /// Environments.
    pub environments: Vec<Environment>,
    /// Guarded objects.
    pub guard: Vec<Guard>,
    /// Custom resources that hold images.
    pub images: Vec<CustomImages>,
    /// The accounts of controllers.
    pub controllers: Vec<String>,
    /// Namespaces in which a node may register what it runs from its own disk.
    pub mirror_namespaces: Vec<String>,
}

/// The keys of `webhook:` that [`Mapping::read`] reads, for who reads the rest of that map.
pub const KEYS: [&str; 6] =
    ["cluster", "environments", "guard", "images", "controllers", "mirror-namespaces"];

impl Mapping {
    /// A mapping that claims nothing: everything is `unclaimed/…`.
    #[must_use]
    pub fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            environments: Vec::new(),
            guard: Vec::new(),
            images: Vec::new(),
            controllers: default_controllers(),
            mirror_namespaces: Vec::new(),
        }
    }

    /// Reads the keys in [`KEYS`]; two entries that could claim one workload, and everything else that has two
    /// meanings, become problems with their places.
    pub fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Self> {
        read::mapping(fields, problems)
    }

    /// The one environment of a workload, as in `Deployment` and `pay`. A namespace is empty for objects outside of
    /// namespaces.
    #[must_use]
    pub fn environment(&self, namespace: &str, kind: &str, name: &str) -> String {
        let here = |e: &&Environment| {
            if namespace.is_empty() { e.cluster_scoped } else { e.namespaces.iter().any(|n| n == namespace) }
        };
        let names = |e: &&Environment| e.workloads.iter().any(|w| claims(w, kind, name));
        let named = self.environments.iter().filter(here).find(names);
        let rest = || self.environments.iter().filter(here).find(|e| e.workloads.is_empty());
        match named.or_else(rest) {
            Some(environment) => environment.name.clone(),
            // parentheses stand in no namespace's name
            None if namespace.is_empty() => format!("{UNCLAIMED}(cluster)"),
            None => format!("{UNCLAIMED}{namespace}"),
        }
    }

    /// The entry that guards an object, if one does.
    #[must_use]
    pub fn guard_of(&self, kind: &GroupKind, namespace: &str, name: &str) -> Option<&Guard> {
        let kind = kind.name();
        self.guard.iter().find(|guard| {
            let here = if namespace.is_empty() {
                guard.cluster_scoped
            } else {
                guard.namespaces.iter().any(|n| n == namespace)
            };
            // a name that the server still has to make, `flags-*`, could become any that begins so
            let is_name =
                |n: &String| n == name || name.strip_suffix('*').is_some_and(|prefix| n.starts_with(prefix));
            let named = guard.names.is_empty() || guard.names.iter().any(is_name);
            here && named && guard.kinds.contains(&kind)
        })
    }
}

/// Whether `Deployment/pay` or `Deployment/*` names a workload.
fn claims(entry: &str, kind: &str, name: &str) -> bool {
    entry.split_once('/').is_some_and(|(k, n)| k == kind && (n == "*" || n == name))
}
