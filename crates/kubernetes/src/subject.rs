//! What of a request is a deployment, and what is none, by name. What already runs is never blocked by accident: the
//! list of that is here, and exact.

use attest::{Digest, Object};

use crate::difference::{Difference, difference};
use crate::digest::{DigestForm, configuration_digest, configuration_form};
use crate::evidence::PREFIX;
use crate::images::{ImageUse, images, pod_prefix};
use crate::mapping::Mapping;
use crate::refusal::Refusal;
use crate::review::{Operation, Review};

/// Images that one object may use. Each is decided and recorded; nobody runs so many containers in one pod.
pub const MAX_USES: usize = 256;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// Why there is nothing to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// Something goes away.
    Delete,
    /// A connection to what runs; the field is the subresource.
    Connect(String),
    /// A number of replicas.
    Scale,
    /// A status, with nothing in it that is judged.
    Status,
    /// Resources of a running pod, with nothing else changed.
    Resize,
    /// A pod is to leave its node.
    Eviction,
    /// A pod goes to its node, and brings no annotation that is read here.
    Binding,
    /// A node registers what it runs from its own disk, in a namespace where that is allowed.
    MirrorPod,
    /// Something that is being deleted already changes, in nothing that is judged: its finalizers go.
    Deleting,
    /// The cluster's own certificate, which its publisher puts into every namespace.
    ClusterCertificate,
    /// The kind holds no image and is not guarded.
    NotDeployed,
}

impl Nothing {
    /// The word in audit annotations and metrics: one of a short list.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Connect(_) => "connect",
            Self::Scale => "scale",
            Self::Status => "status",
            Self::Resize => "resize",
            Self::Eviction => "eviction",
            Self::Binding => "binding",
            Self::MirrorPod => "mirror-pod",
            Self::Deleting => "deleting",
            Self::ClusterCertificate => "cluster-certificate",
            Self::NotDeployed => "not-deployed",
        }
    }
}

/// What of a request is to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nothing, for a named reason.
    Nothing(Nothing),
    /// It cannot be read the one way: [`crate::unread`] is what is judged of it.
    Refused(Refusal),
    /// These images, this configuration.
    Judged(Judged),
}

/// What is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Every image use.
    pub uses: Vec<Use>,
    /// The object itself, where it is guarded.
    pub configuration: Option<Guarded>,
}

/// An image use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Where and which.
    pub image: ImageUse,
    /// Whether the same image stood at the same place, and nothing that is judged changed with it.
    pub unchanged: bool,
}

/// A guarded object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// Its canonical digest.
    pub digest: Digest,
    /// Whether the digest was the same before, and no image changed.
    pub unchanged: bool,
    /// What changed, for messages.
    pub changes: Vec<Difference>,
}

impl Subject {
    /// Classifies a request. `secret_key` binds the data of guarded Secrets.
    #[must_use]
    pub fn of(review: &Review, mapping: &Mapping, secret_key: Option<&[u8]>) -> Self {
        match review.operation {
            Operation::Delete => return Self::Nothing(Nothing::Delete),
            Operation::Connect => return Self::Nothing(Nothing::Connect(review.subresource.clone())),
            Operation::Create | Operation::Update => {}
        }
        let Some(object) = &review.object else { return Self::Nothing(Nothing::NotDeployed) };
        if review.kind.group.is_empty() && review.kind.kind == "Binding" {
            return binding(object);
        }
        if is_mirror(review, object, mapping) {
            return Self::Nothing(Nothing::MirrorPod);
        }
        if is_cluster_certificate(review) {
            return Self::Nothing(Nothing::ClusterCertificate);
        }
        match judged(review, object, mapping, secret_key) {
            Err(refusal) => Self::Refused(refusal),
            Ok(judged) => judged.settle(review),
        }
    }
}

impl Judged {
    /// Whether nothing of what is judged changes: what runs is not blocked because of what is wrong beside it.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.uses.iter().all(|u| u.unchanged) && self.configuration.as_ref().is_none_or(|c| c.unchanged)
    }

    /// A subresource that changes nothing of what is judged is named; one that does, whatever the API promises, is
    /// judged like any other change.
    fn settle(self, review: &Review) -> Subject {
        let is_empty = self.uses.is_empty() && self.configuration.is_none();
        let unchanged = self.is_unchanged();
        match review.subresource.as_str() {
            "scale" if is_empty => Subject::Nothing(Nothing::Scale),
            "eviction" if is_empty => Subject::Nothing(Nothing::Eviction),
            "status" if unchanged => Subject::Nothing(Nothing::Status),
            "resize" if unchanged => Subject::Nothing(Nothing::Resize),
            _ if is_empty => Subject::Nothing(Nothing::NotDeployed),
            _ if unchanged && is_going(review) => Subject::Nothing(Nothing::Deleting),
            _ => Subject::Judged(self),
        }
    }
}

/// The API server copies a Binding's annotations into the pod after the pod was admitted.
fn binding(object: &Object) -> Subject {
    let annotations = match object.object("metadata").and_then(|m| m.optional_object("annotations")) {
        Ok(annotations) => annotations,
        Err(e) => return Subject::Refused(malformed(&e.within("metadata"))),
    };
    let ours = annotations
        .into_iter()
        .flat_map(Object::iter)
        .map(|(key, _)| key)
        .find(|key| key.starts_with(PREFIX));
    match ours {
        None => Subject::Nothing(Nothing::Binding),
        Some(key) => Subject::Refused(
            Refusal::new(
                "binding-annotation",
                "metadata.annotations",
                "a Binding must not bring annotations that say what may run",
                "remove the annotation; evidence belongs on the pod, or the template that it is made of",
            )
            .wanted(&format!("no annotation that begins with {PREFIX}"))
            .found(key),
        ),
    }
}

/// What is going already must be able to go, whatever a policy says today: a finalizer that nobody may take away would
/// keep it for ever. The server set the time; a change of an image is judged as ever.
fn is_going(review: &Review) -> bool {
    let metadata = |object: &Object| object.optional_object("metadata").ok().flatten().cloned();
    let old = review.old_object.as_ref().filter(|_| review.operation == Operation::Update).and_then(metadata);
    old.is_some_and(|metadata| metadata.get("deletionTimestamp").is_some())
}

/// Published by an account that nobody else can use, under a name that nobody else may take from it.
fn is_cluster_certificate(review: &Review) -> bool {
    review.kind.group.is_empty()
        && review.kind.kind == "ConfigMap"
        && review.display_name() == "kube-root-ca.crt"
        && review.user.username == "system:serviceaccount:kube-system:root-ca-cert-publisher"
}

/// What a node runs from its own disk, registered by that very node, where the configuration allows it. Whoever else
/// writes the annotation gets an ordinary pod, and it is judged.
fn is_mirror(review: &Review, object: &Object, mapping: &Mapping) -> bool {
    let text = |outer: &str, inner: &str| {
        let outer = object.optional_object(outer).ok().flatten()?;
        outer.optional_string(inner).ok().flatten()
    };
    let metadata = object.optional_object("metadata").ok().flatten();
    let annotations = metadata.and_then(|m| m.optional_object("annotations").ok().flatten());
    let node = text("spec", "nodeName").unwrap_or_default();
    review.operation == Operation::Create
        && review.kind.group.is_empty()
        && review.kind.kind == "Pod"
        && review.subresource.is_empty()
        && annotations.is_some_and(|a| a.get(MIRROR).is_some())
        && !node.is_empty()
        && review.user.username == format!("system:node:{node}")
        && review.user.groups.iter().any(|g| g == "system:nodes")
        && mapping.mirror_namespaces.contains(&review.namespace)
}

fn judged(
    review: &Review,
    object: &Object,
    mapping: &Mapping,
    secret_key: Option<&[u8]>,
) -> Result<Judged, Refusal> {
    let kind = &review.kind;
    if pod_prefix(kind).is_some() && kind.version != "v1" {
        let version = kind.api_version();
        return Err(Refusal::new(
            "unknown-version",
            "apiVersion",
            &format!("{} of {version} is not known, and could hold images elsewhere", kind.kind),
            "use version v1, or a release of portcullis that knows this one",
        )
        .wanted("v1")
        .found(&version));
    }
    let new = images(kind, object, &mapping.images).map_err(|e| malformed(&e))?;
    let old_object = review.old_object.as_ref().filter(|_| review.operation == Operation::Update);
    // an old object that cannot be read was not judged by anybody: nothing about it is "unchanged"
    let old = old_object.and_then(|o| images(kind, o, &mapping.images).ok());
    let same_images = old.as_ref() == Some(&new);
    if new.len() > MAX_USES && !same_images {
        let message = "the object uses more images than are judged at once";
        let refusal = Refusal::new("too-many-images", "", message, "split it into several objects");
        return Err(refusal.wanted(&format!("at most {MAX_USES}")).found(&new.len().to_string()));
    }
    let configuration = guarded(review, object, mapping, secret_key)?;
    let same_configuration = configuration.as_ref().is_none_or(|c| c.unchanged);
    let is_pod = kind.kind == "Pod" && pod_prefix(kind).is_some();
    let unchanged = |image: &ImageUse| {
        // the containers of a pod that runs go on as they are when another is added; a template is made anew whole
        let stood_there = is_pod && old.as_ref().is_some_and(|old| old.contains(image));
        same_configuration && (same_images || stood_there)
    };
    let uses = new.iter().map(|image| Use { image: image.clone(), unchanged: unchanged(image) }).collect();
    let configuration = configuration.map(|c| Guarded { unchanged: c.unchanged && same_images, ..c });
    Ok(Judged { uses, configuration })
}

fn guarded(
    review: &Review,
    object: &Object,
    mapping: &Mapping,
    secret_key: Option<&[u8]>,
) -> Result<Option<Guarded>, Refusal> {
    let Some(guard) = mapping.guard_of(&review.kind, &review.namespace, &review.display_name()) else {
        return Ok(None);
    };
    let form = DigestForm { autoscaled: guard.autoscaled, secret_key };
    let refuse = |e: crate::digest::FormError| {
        Refusal::new(
            "no-digest",
            "",
            &e.to_string(),
            "give the webhook a key for Secrets, or guard no Secrets",
        )
    };
    let digest = configuration_digest(&review.kind, object, form).map_err(refuse)?;
    let old = review.old_object.as_ref().filter(|_| review.operation == Operation::Update);
    let before = old.and_then(|old| configuration_digest(&review.kind, old, form).ok());
    let unchanged = before.as_ref() == Some(&digest);
    let changes = match old.filter(|_| !unchanged) {
        Some(old) => {
            let shown = |object: &Object| configuration_form(&review.kind, object, form).map_err(refuse);
            difference(&shown(old)?, &shown(object)?)
        }
        None => Vec::new(),
    };
    Ok(Some(Guarded { digest, unchanged, changes }))
}

fn malformed(e: &attest::json::ShapeError) -> Refusal {
    Refusal::new(
        "malformed-object",
        &e.path,
        "the object has another shape than its kind",
        "write it as the API says",
    )
    .wanted(&e.wanted)
    .found(&e.found)
}
