//! Which fields of Kubernetes' kinds hold images, and which only look as if they did. Checked against the schema of the
//! pinned release by `tests/images.rs`, and against a live API server's.

/// The kinds that are a pod or hold the template of one: group, kind, and where the pod begins.
pub const POD_KINDS: [(&str, &str, &str); 9] = [
    ("", "Pod", ""),
    ("", "PodTemplate", "template."),
    ("", "ReplicationController", "spec.template."),
    ("apps", "DaemonSet", "spec.template."),
    ("apps", "Deployment", "spec.template."),
    ("apps", "ReplicaSet", "spec.template."),
    ("apps", "StatefulSet", "spec.template."),
    ("batch", "CronJob", "spec.jobTemplate.spec.template."),
    ("batch", "Job", "spec.template."),
];

/// A field of a pod, or of a template of one.
#[derive(Clone, Copy, Debug)]
pub struct PodField {
    /// Where, from the pod's own beginning on.
    pub path: &'static str,
    /// Whether an image that a node will run or mount stands there.
    pub holds_image: bool,
    /// Why not, where not.
    pub why: &'static str,
}

const fn image(path: &'static str) -> PodField {
    PodField { path, holds_image: true, why: "" }
}

const fn not(path: &'static str, why: &'static str) -> PodField {
    PodField { path, holds_image: false, why }
}

const PULL: &str = "says when to pull; with a digest it alters nothing";
const SECRETS: &str = "names credentials for pulling";
const RBD: &str = "a Ceph block device, not a container image";
const QUOBYTE: &str = "addresses of a storage service, not an image";

/// Every field of a pod that could be taken for an image's.
pub const POD_FIELDS: [PodField; 11] = [
    image("spec.containers[*].image"),
    image("spec.ephemeralContainers[*].image"),
    image("spec.initContainers[*].image"),
    image("spec.volumes[*].image.reference"),
    not("spec.containers[*].imagePullPolicy", PULL),
    not("spec.ephemeralContainers[*].imagePullPolicy", PULL),
    not("spec.initContainers[*].imagePullPolicy", PULL),
    not("spec.volumes[*].image.pullPolicy", PULL),
    not("spec.imagePullSecrets[*].name", SECRETS),
    not("spec.volumes[*].rbd.image", RBD),
    not("spec.volumes[*].quobyte.registry", QUOBYTE),
];

const STATUS: &str = "what the kubelet saw; nothing is run because of it";
const DEVICE: &str =
    "a driver's own parameters; what they may name is between the driver and who writes its classes";

/// Every such field outside of a pod's specification: group, kind, path, and why it holds no image that is judged.
pub const OTHER_FIELDS: [(&str, &str, &str, &str); 23] = [
    ("apps", "ControllerRevision", "data", "an old template; what is made of it is a pod, and judged as one"),
    ("core", "Node", "status.images[*].names[*]", STATUS),
    ("core", "Node", "status.nodeInfo.osImage", "the node's operating system, for people"),
    ("core", "PersistentVolume", "spec.quobyte.registry", QUOBYTE),
    ("core", "PersistentVolume", "spec.rbd.image", RBD),
    ("core", "Pod", "status.containerStatuses[*].image", STATUS),
    ("core", "Pod", "status.containerStatuses[*].imageID", STATUS),
    ("core", "Pod", "status.containerStatuses[*].volumeMounts[*].volumeStatus.image.imageRef", STATUS),
    ("core", "Pod", "status.ephemeralContainerStatuses[*].image", STATUS),
    ("core", "Pod", "status.ephemeralContainerStatuses[*].imageID", STATUS),
    (
        "core",
        "Pod",
        "status.ephemeralContainerStatuses[*].volumeMounts[*].volumeStatus.image.imageRef",
        STATUS,
    ),
    ("core", "Pod", "status.initContainerStatuses[*].image", STATUS),
    ("core", "Pod", "status.initContainerStatuses[*].imageID", STATUS),
    ("core", "Pod", "status.initContainerStatuses[*].volumeMounts[*].volumeStatus.image.imageRef", STATUS),
    ("core", "ServiceAccount", "imagePullSecrets[*].name", SECRETS),
    ("core", "WatchEvent", "object", "never stored: how a watch tells of any object"),
    ("resource.k8s.io", "DeviceClass", "spec.config[*].opaque.parameters", DEVICE),
    ("resource.k8s.io", "ResourceClaim", "spec.devices.config[*].opaque.parameters", DEVICE),
    ("resource.k8s.io", "ResourceClaim", "status.allocation.devices.config[*].opaque.parameters", DEVICE),
    ("resource.k8s.io", "ResourceClaim", "status.devices[*].data", STATUS),
    ("resource.k8s.io", "ResourceClaimTemplate", "spec.spec.devices.config[*].opaque.parameters", DEVICE),
    ("storage.k8s.io", "VolumeAttachment", "spec.source.inlineVolumeSpec.quobyte.registry", QUOBYTE),
    ("storage.k8s.io", "VolumeAttachment", "spec.source.inlineVolumeSpec.rbd.image", RBD),
];
