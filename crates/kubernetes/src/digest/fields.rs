//! The published list of what the server itself keeps in objects. `docs/reference/kubernetes-digest.md` is made of it.

/// When a field stays although it is on the list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keep {
    /// It never does.
    Never,
    /// Where it says exactly this: a person's choice, not the server's.
    IfIs(&'static str),
    /// Where another field says `true`.
    IfTrue(&'static [&'static str]),
}

/// One field that is left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Omitted {
    /// The kind, `*` for all, or [`BUILT_IN`] for all of Kubernetes itself.
    pub kind: &'static str,
    /// Where.
    pub path: &'static [&'static str],
    /// Unless.
    pub keep: Keep,
    /// Why.
    pub why: &'static str,
}

const fn field(kind: &'static str, path: &'static [&'static str], why: &'static str) -> Omitted {
    Omitted { kind, path, keep: Keep::Never, why }
}

/// Every kind of Kubernetes itself.
pub(super) const BUILT_IN: &str = "built-in";

const IDENTITY: &str = "made anew by the server for every object";
const VERSION: &str = "counts the server's writes";
const DELETION: &str = "says that the object goes away, not what it is";
const CONTROLLER: &str = "written by the controller that makes the object";
const ADDRESS: &str = "allocated by the server";

/// The kinds whose number of replicas an autoscaler may own.
pub(super) const REPLICAS: [&str; 4] = ["Deployment", "ReplicaSet", "ReplicationController", "StatefulSet"];

/// The list.
pub(super) const OMITTED: [Omitted; 36] = [
    field(BUILT_IN, &["status"], "what controllers observed, not what anybody asked for"),
    field("*", &["metadata", "uid"], IDENTITY),
    field("*", &["metadata", "creationTimestamp"], IDENTITY),
    field("*", &["metadata", "resourceVersion"], VERSION),
    field("*", &["metadata", "generation"], VERSION),
    field("*", &["metadata", "managedFields"], "who wrote which field, kept by the server"),
    field("*", &["metadata", "selfLink"], "an address, no longer written"),
    field("*", &["metadata", "deletionTimestamp"], DELETION),
    field("*", &["metadata", "deletionGracePeriodSeconds"], DELETION),
    field(
        "*",
        &["metadata", "finalizers"],
        "added and taken away by controllers; says who is told of the deletion",
    ),
    field("CronJob", &["spec", "jobTemplate", "metadata", "creationTimestamp"], IDENTITY),
    field("CronJob", &["spec", "jobTemplate", "spec", "template", "metadata", "creationTimestamp"], IDENTITY),
    field("DaemonSet", &["metadata", "annotations", "deprecated.daemonset.template.generation"], VERSION),
    field("DaemonSet", &["spec", "template", "metadata", "creationTimestamp"], IDENTITY),
    field("Deployment", &["metadata", "annotations", "deployment.kubernetes.io/revision"], VERSION),
    field("Deployment", &["spec", "template", "metadata", "creationTimestamp"], IDENTITY),
    field("Job", &["metadata", "labels", "batch.kubernetes.io/controller-uid"], CONTROLLER),
    field("Job", &["metadata", "labels", "batch.kubernetes.io/job-name"], CONTROLLER),
    field("Job", &["metadata", "labels", "controller-uid"], CONTROLLER),
    field("Job", &["metadata", "labels", "job-name"], CONTROLLER),
    Omitted {
        kind: "Job",
        path: &["spec", "selector"],
        keep: Keep::IfTrue(&["spec", "manualSelector"]),
        why: CONTROLLER,
    },
    field("Job", &["spec", "template", "metadata", "creationTimestamp"], IDENTITY),
    field(
        "Job",
        &["spec", "template", "metadata", "labels", "batch.kubernetes.io/controller-uid"],
        CONTROLLER,
    ),
    field("Job", &["spec", "template", "metadata", "labels", "batch.kubernetes.io/job-name"], CONTROLLER),
    field("Job", &["spec", "template", "metadata", "labels", "controller-uid"], CONTROLLER),
    field("Job", &["spec", "template", "metadata", "labels", "job-name"], CONTROLLER),
    field("Namespace", &["spec", "finalizers"], "added by the server"),
    field("Pod", &["spec", "nodeName"], "chosen by the scheduler"),
    field(
        "ReplicaSet",
        &["metadata", "annotations", "deployment.kubernetes.io/desired-replicas"],
        CONTROLLER,
    ),
    field("ReplicaSet", &["metadata", "annotations", "deployment.kubernetes.io/max-replicas"], CONTROLLER),
    field("ReplicaSet", &["metadata", "annotations", "deployment.kubernetes.io/revision"], VERSION),
    Omitted { kind: "Service", path: &["spec", "clusterIP"], keep: Keep::IfIs("None"), why: ADDRESS },
    Omitted { kind: "Service", path: &["spec", "clusterIPs"], keep: Keep::IfIs("None"), why: ADDRESS },
    field("Service", &["spec", "healthCheckNodePort"], ADDRESS),
    field("Service", &["spec", "ports", "[*]", "nodePort"], ADDRESS),
    field("StatefulSet", &["spec", "template", "metadata", "creationTimestamp"], IDENTITY),
];

/// The reference page, in Markdown.
#[must_use]
pub fn reference_page() -> String {
    let mut out = String::from(HEAD);
    for entry in OMITTED {
        let kind = match entry.kind {
            "*" => "every kind",
            BUILT_IN => "every kind of Kubernetes itself",
            kind => kind,
        };
        let path = entry.path.join(".").replace(".[*]", "[*]");
        let unless = match entry.keep {
            Keep::Never => String::new(),
            Keep::IfIs(value) => format!("it is `{value}`"),
            Keep::IfTrue(path) => format!("`{}` is `true`", path.join(".")),
        };
        out.push_str(&format!("| {kind} | `{path}` | {unless} | {} |\n", entry.why));
    }
    out.push_str(TAIL);
    out
}

const HEAD: &str = "\
# The digest of a configuration object

Made from the code (`crates/kubernetes/src/digest/fields.rs`). A guarded object is an artifact: its URI is
`kubernetes:NAMESPACE/KIND/NAME` (`kubernetes:KIND/NAME` outside of namespaces; in names, everything but letters, digits, `.`, `_` and `-` is
percent-encoded), and its digest is SHA-256 of the canonical text of the object as the API server would store it, without the fields below.
Canonical is RFC 8785 (keys sorted by UTF-16 code units, no white space), except that a number that is no integer of 53 bits stays as the API
server spells it. Labels and annotations stay in. A map that has nothing left once fields are left out goes too.

| kind | field | stays where | why it is left out |
|---|---|---|---|
";

const TAIL: &str = "
## Besides
- `spec.replicas` of Deployment, ReplicaSet, ReplicationController and StatefulSet is left out where the webhook's configuration says
  `autoscaled: true` for the guarded objects. Nothing in the cluster can say it: whoever may make a HorizontalPodAutoscaler must not thereby
  take a field out of review.
- Annotations that begin with `portcullis.dev/`, on the object and on the templates in it: they only name evidence, every piece of which is
  proven for exactly this digest. They can make a deployment be refused, and never make another one be admitted.
- `kubectl.kubernetes.io/last-applied-configuration`: kubectl's copy of what it was given, evidence annotations included. It differs between
  `kubectl create`, `kubectl apply` and server-side apply of one object, and nothing but kubectl's own merge reads it; what that merge then
  writes is judged as a new form.
- The values under `data` and `stringData` of a Secret are replaced by `hmac-sha256:HEX` under the webhook's key, over namespace, name, field, key
  and value, each with its length before it. The value itself is neither hashed alone nor kept.

## What does not fit
- PersistentVolume and PersistentVolumeClaim cannot be guarded: the volume controllers write into the same fields, of the claim's
  `spec.volumeName` above all, in which somebody who makes one chooses the volume. Left out, a claim could take another volume; left in,
  binding would be refused.
- `status` of custom resources counts: where a definition has no status subresource it is a field as any other, and an object does
  not say which it is. An object whose controller has written a status has another digest than when it was made: evidence for its next
  change has to be about the object with that status. Prefer to guard custom kinds that have none.
- Left in, although a controller writes them: `deployment.kubernetes.io/revision-history` of a ReplicaSet, which a rollback changes, and
  owner references, which the garbage collector takes away with an owner that is gone. Such a write to a guarded object is judged as a change.
";
