//! What an event says of us: that we decided, that there was nothing to decide, that nobody answered, or nothing.

use attest::Digest;

use super::AuditEvent;
use crate::manifests::SYSTEM_NAMESPACES;
use crate::mapping::Mapping;

/// Every webhook that `portcullis kubernetes manifests` writes is called like this.
const OURS: &str = ".portcullis.dev";
/// What the API server notes where a webhook did not answer and the request went on; its value is the webhook's name.
const FAILED_OPEN: &str = "failed-open.validating.webhook.admission.k8s.io/";

/// Everything that holds images, or gives a Pod one later: group, resource, subresource, kind.
const JUDGED: [(&str, &str, &str, &str); 10] = [
    ("", "pods", "", "Pod"),
    ("", "pods", "ephemeralcontainers", "Pod"),
    ("", "podtemplates", "", "PodTemplate"),
    ("", "replicationcontrollers", "", "ReplicationController"),
    ("apps", "daemonsets", "", "DaemonSet"),
    ("apps", "deployments", "", "Deployment"),
    ("apps", "replicasets", "", "ReplicaSet"),
    ("apps", "statefulsets", "", "StatefulSet"),
    ("batch", "cronjobs", "", "CronJob"),
    ("batch", "jobs", "", "Job"),
];

/// What an event says of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It brings nothing to a node: another resource, no write, a write that was refused, a dry run, an earlier stage.
    Irrelevant,
    /// One of ours was asked and found nothing to judge, for this reason, which such a request can have.
    Nothing(String),
    /// One of ours did not answer, and the request went on.
    FailedOpen(Vec<String>),
    /// One of ours decided; these are the records that it named.
    Recorded(Vec<Named>),
    /// One of ours is said to have answered, and not with what it answers to such a write; why.
    Odd(String),
    /// Nobody of ours was asked.
    Silent,
}

/// A record, as an annotation names it: `17:sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Who wrote it, where several share the log.
    pub writer: Option<String>,
    /// Its place in the log, or its number among its writer's entries.
    pub index: u64,
    /// The hash of its leaf.
    pub leaf: Digest,
}

impl Named {
    fn parse(text: &str) -> Option<Self> {
        let (place, leaf) = text.split_once(':')?;
        let (writer, index) = place.rsplit_once('/').map_or((None, place), |(w, index)| (Some(w), index));
        if writer.is_some_and(str::is_empty) {
            return None;
        }
        let writer = writer.map(str::to_owned);
        Some(Self { writer, index: index.parse().ok()?, leaf: Digest::parse(leaf).ok()? })
    }
}

impl Claim {
    pub(super) fn of(event: &AuditEvent, mapping: &Mapping) -> Self {
        if !is_write(event) || !is_judged(event, mapping) {
            return Self::Irrelevant;
        }
        let open: Vec<String> = event
            .annotations()
            .filter(|(key, webhook)| key.starts_with(FAILED_OPEN) && webhook.ends_with(OURS))
            .map(|(_, webhook)| webhook.to_owned())
            .collect();
        if !open.is_empty() {
            return Self::FailedOpen(open);
        }
        let ours = |name: &str| {
            let is_ours = |key: &str| key.strip_suffix(name).is_some_and(|webhook| webhook.ends_with(OURS));
            event
                .annotations()
                .filter(move |(key, _)| is_ours(key))
                .map(|(_, value)| value)
                .collect::<Vec<_>>()
        };
        let (receipts, decisions, nothing) = (ours("/receipt"), ours("/decision"), ours("/nothing"));
        match (receipts.as_slice(), nothing.first()) {
            ([], Some(word)) if fits(word, event) => Self::Nothing((*word).to_owned()),
            ([], Some(word)) => Self::Odd(format!("it is said to have found nothing to judge: {word}")),
            ([], None) if decisions.is_empty() => Self::Silent,
            ([], None) => Self::Odd("it is said to have decided, and names no record".to_owned()),
            (receipts, _) => recorded(receipts),
        }
    }
}

/// Every record that is named, or nothing: one that cannot be read would be one that nobody looks up.
fn recorded(receipts: &[&str]) -> Claim {
    let mut all = Vec::new();
    for part in receipts.iter().flat_map(|text| text.split_whitespace()) {
        // places, which stand before, may have blanks
        let Some((_, receipt)) = part.rsplit_once('=') else { continue };
        match Named::parse(receipt) {
            Some(named) => all.push(named),
            None => return Claim::Odd(format!("it names a record that is none: {receipt}")),
        }
    }
    if all.is_empty() {
        return Claim::Odd("it is said to have decided, and names no record".to_owned());
    }
    Claim::Recorded(all)
}

/// Whether something was stored.
fn is_write(event: &AuditEvent) -> bool {
    let is_stored = event.status.is_some_and(|status| (200..300).contains(&status));
    let is_complete = event.stage == "ResponseComplete" || event.stage == "Panic";
    is_complete && is_stored && matches!(event.verb.as_str(), "create" | "update" | "patch") && !is_dry(event)
}

/// `dryRun=All` in the query, and not in the value of something else. A spelling that is not read here is taken for a
/// write.
fn is_dry(event: &AuditEvent) -> bool {
    let query = event.uri.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| pair == "dryRun=All")
}

fn is_judged(event: &AuditEvent, mapping: &Mapping) -> bool {
    let Some(object) = &event.object else { return false };
    let place = (object.group.as_str(), object.resource.as_str(), object.subresource.as_str());
    JUDGED.iter().any(|(group, resource, sub, _)| (*group, *resource, *sub) == place)
        || is_custom(object, mapping)
}

/// A custom kind stands in the configuration by its kind and group, and here by its plural: all of its group whose
/// name begins like it.
fn is_custom(object: &super::ObjectReference, mapping: &Mapping) -> bool {
    mapping.images.iter().filter_map(|images| images.kind.split_once('.')).any(|(kind, group)| {
        let stem = kind.to_ascii_lowercase();
        let stem = stem.strip_suffix('y').unwrap_or(&stem);
        group == object.group && object.subresource.is_empty() && object.resource.starts_with(stem)
    })
}

/// Whether a choke point may answer so to such a write.
fn fits(word: &str, event: &AuditEvent) -> bool {
    let sub = event.object.as_ref().map_or("", |object| object.subresource.as_str());
    let is_new = event.verb == "create" && sub.is_empty();
    match word {
        "mirror-pod" => event.user.starts_with("system:node:"),
        "deleting" => !is_new,
        _ => false,
    }
}

/// Whether nobody is to decide in a namespace: those that hold the cluster together, unless the configuration claims
/// them.
#[must_use]
pub fn is_system(namespace: &str, mapping: &Mapping) -> bool {
    let is_claimed = mapping.environments.iter().any(|e| e.namespaces.iter().any(|n| n == namespace));
    SYSTEM_NAMESPACES.contains(&namespace) && !is_claimed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::pod_prefix;
    use crate::review::GroupKind;

    #[test]
    fn everything_that_holds_a_pod_is_judged() {
        for (group, _, _, kind) in JUDGED {
            let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
            assert!(pod_prefix(&GroupKind::of(&version, kind)).is_some(), "{kind}");
        }
        let kinds = crate::images::fields::POD_KINDS.len();
        let judged: std::collections::BTreeSet<_> =
            JUDGED.iter().map(|(group, _, _, kind)| (group, kind)).collect();
        assert_eq!(judged.len(), kinds, "a kind that holds a Pod is missing");
    }
}
