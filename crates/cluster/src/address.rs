//! Where an object stands in the API: for built-in workloads only, so that no text from a request makes a path.

use std::fmt;

use crate::error::ClusterError;

/// API version, kind, and the plural under which the API has it.
const KINDS: [(&str, &str, &str); 8] = [
    ("v1", "Pod", "pods"),
    ("v1", "ReplicationController", "replicationcontrollers"),
    ("apps/v1", "ReplicaSet", "replicasets"),
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("apps/v1", "DaemonSet", "daemonsets"),
    ("batch/v1", "Job", "jobs"),
    ("batch/v1", "CronJob", "cronjobs"),
];
/// RFC 1123, as Kubernetes has it.
const MAX_NAME: usize = 253;

/// The plural of a kind that is looked up.
pub(crate) fn plural(api_version: &str, kind: &str) -> Option<&'static str> {
    let known = KINDS.into_iter().find(|(version, known, _)| *version == api_version && *known == kind);
    known.map(|(_, _, plural)| plural)
}

/// Exactly one object.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    plural: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Address {
    pub(crate) fn new(
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Self, ClusterError> {
        let known = KINDS.into_iter().find(|(version, known, _)| *version == api_version && *known == kind);
        let unknown = || ClusterError::Kind { api_version: api_version.to_owned(), kind: kind.to_owned() };
        let (api_version, kind, plural) = known.ok_or_else(unknown)?;
        // every kind in the table has a namespace
        let namespace = namespace.unwrap_or_default();
        for part in [namespace, name] {
            if !is_name(part) {
                return Err(ClusterError::Name(part.to_owned()));
            }
        }
        Ok(Self { api_version, kind, plural, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    pub(crate) fn path(&self) -> String {
        let root = if self.api_version.contains('/') { "apis" } else { "api" };
        let Self { api_version, plural, namespace, name, .. } = self;
        format!("/{root}/{api_version}/namespaces/{namespace}/{plural}/{name}")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A DNS subdomain: nothing in it can end a path's segment, or be one that leads elsewhere.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty() && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= MAX_NAME && text.split('.').all(label)
}
