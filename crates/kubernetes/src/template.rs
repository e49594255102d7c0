//! Whether a pod is what a controller makes of a template: the same code with the same rights.
//!
//! The pod is taken apart: what the API server and the built-in controllers are known to add is taken out where the
//! template has nothing there, and the rest must be equal. So whatever is not on the list, a field of the next release
//! too, makes a pod that is not of the template, and is judged as somebody's own.

mod settle;

use attest::{Digest, Json, Object};

use crate::canonical::canonical;
use crate::difference::{Difference, difference};
use crate::evidence::PREFIX;
use crate::images::pod_in;
use crate::review::GroupKind;

/// Labels that controllers put on what they make. They select and count; nothing is run or allowed because of them.
const CONTROLLER_LABELS: [&str; 10] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];
/// Annotations that controllers and admission plugins of Kubernetes put on pods, with no effect on what runs.
const CONTROLLER_ANNOTATIONS: [&str; 4] = [
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-index-failure-count",
    "batch.kubernetes.io/job-index-ignored-failure-count",
    "kubernetes.io/limit-ranger",
];

/// What made a pod: some controllers add more than others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maker {
    kind: String,
    claims: Vec<String>,
}

impl Maker {
    /// From the live owner.
    #[must_use]
    pub fn of(kind: &GroupKind, owner: &Object) -> Self {
        let claims = match settle::at(owner, &["spec", "volumeClaimTemplates"]) {
            Some(Json::Array(items)) if kind.kind == "StatefulSet" => {
                items.iter().filter_map(claim_name).collect()
            }
            _ => Vec::new(),
        };
        Self { kind: kind.kind.clone(), claims }
    }
}

fn claim_name(claim: &Json) -> Option<String> {
    Some(claim.as_object().ok()?.object("metadata").ok()?.string("name").ok()?.to_owned())
}

/// The digest of the pod template in a workload; none for kinds without one. What is made of it by controllers has the
/// same digest: labels that controllers set, and our own annotations, are left out.
#[must_use]
pub fn template_digest(kind: &GroupKind, object: &Object) -> Option<Digest> {
    if kind.kind == "Pod" {
        return None;
    }
    pod_in(kind, object).map(digest_of_template)
}

/// The digest of a pod template by itself, as a ControllerRevision holds one.
#[must_use]
pub fn digest_of_template(template: &Object) -> Digest {
    let mut reduced = Object::new();
    reduced.set("metadata", metadata(template, None));
    reduced.set("spec", template.get("spec").cloned().unwrap_or(Json::Null));
    Digest::sha256(canonical(&reduced.into()).as_bytes())
}

/// Whether a pod was made of a template.
///
/// # Errors
/// The first [`Difference`] that is more than what the API server and the controllers add: `old` is the template's.
pub fn pod_is_of_template(pod: &Object, template: &Object, maker: &Maker) -> Result<(), Difference> {
    let spec = |object: &Object| match object.get("spec") {
        Some(Json::Object(spec)) => spec.clone(),
        _ => Object::new(),
    };
    let (mut made, mut wanted) = (spec(pod), spec(template));
    let name = match settle::at(pod, &["metadata", "name"]) {
        Some(Json::String(name)) => name.as_str(),
        _ => "",
    };
    settle::settle(&mut made, &mut wanted, maker, name);
    let made = Object::new().with("metadata", metadata(pod, Some(template))).with("spec", made);
    let wanted = Object::new().with("metadata", metadata(template, None)).with("spec", wanted);
    if canonical(&made.clone().into()) == canonical(&wanted.clone().into()) {
        return Ok(());
    }
    let found = difference(&wanted, &made).into_iter().next();
    Err(found.unwrap_or(Difference { path: "spec".to_owned(), old: None, new: None }))
}

/// Labels and annotations, without what controllers set and without ours. With a template, annotations of controllers
/// are taken out only where the template has none of that name.
fn metadata(of: &Object, template: Option<&Object>) -> Object {
    let mut out = Object::new();
    for (key, known) in [("labels", &CONTROLLER_LABELS[..]), ("annotations", &CONTROLLER_ANNOTATIONS[..])] {
        let Some(Json::Object(map)) = settle::at(of, &["metadata", key]) else { continue };
        let is_in_template =
            |name: &str| template.is_some_and(|t| settle::at(t, &["metadata", key, name]).is_some());
        let is_left_out = |name: &str| match key {
            "labels" => known.contains(&name),
            _ => {
                name.starts_with(PREFIX)
                    || (template.is_some() && known.contains(&name) && !is_in_template(name))
            }
        };
        let kept: Vec<(String, Json)> = map
            .iter()
            .filter(|(name, _)| !is_left_out(name))
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        if !kept.is_empty() {
            out.set(key, Object::from_unique(kept));
        }
    }
    out
}
