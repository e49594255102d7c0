//! What the real controllers make of what people wrote, and who only looks like a controller.

use crate::kubernetes::case::{Case, Place, case};
use crate::kubernetes::fixtures::Images;
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::webhook::REQUIRED;

use super::pods::UNKNOWN;

const CREATE: &str = "create -f -";
const PODS: &str = "get pods -l app=web -o jsonpath={.items[*].metadata.name}";
const EVENTS: &str = "get events -o jsonpath={.items[*].message}";
const REPLICA_SETS: &str = "replicaset-controller";

const RELEASED: &str = "mode: enforce
require:
  built-by: [ci, leaving-ci]
  requested-by: [release-managers]
";
const TESTED: &str = "mode: enforce
require:
  built-by: [ci, leaving-ci]
  signed-by: [vendor]
";
const TESTED_NOW: &str = "mode: enforce
standing: 0d
require:
  built-by: [ci, leaving-ci]
  signed-by: [vendor]
";

/// As `RELEASED`, and nothing stands: what is made again is judged by who asked for it.
const RELEASED_NOW: &str = "mode: enforce
standing: 0d
require:
  built-by: [ci, leaving-ci]
  requested-by: [release-managers]
";
const ENVIRONMENTS: &str = "get pods -o jsonpath=[{.items[*].spec.containers[*].env[*].value}]";

/// What others do to a workload changes neither who asked for it nor that what runs may be taken away. Each was shown to go
/// wrong once, by somebody who was asked to attack it.
fn kept(images: &Images) -> Vec<Case> {
    let spec = Spec::of(&[&images.good[0]]);
    vec![
        case("a release manager scales up, and the Pods are still the release manager's")
            .place(Place::Own(RELEASED_NOW, &[]))
            .admin(CREATE, spec.replicas("Deployment", "web", 1))
            .says(&["created"])
            .tenant(PODS, "")
            .eventually("web-")
            .admin("scale deployment web --replicas=2", "")
            .says(&["scaled"])
            .tenant("get pods -l app=web -o jsonpath={.items[1].metadata.name}", "")
            .eventually("web-"),
        case("a release manager's note does not vouch for what a tenant put into the template")
            .place(Place::Own(RELEASED, &[]))
            .admin(CREATE, spec.replicas("Deployment", "web", 1))
            .says(&["created"])
            .tenant(PODS, "")
            .eventually("web-")
            .tenant("set env deployment/web EVIL=it-ran", "")
            .says(&["updated"])
            .tenant(EVENTS, "")
            .eventually("error[requested-by]")
            .for_portcullis()
            .admin("annotate deployment web note=seen", "")
            .says(&["annotated"])
            .admin("scale deployment web --replicas=2", "")
            .says(&["scaled"])
            .tenant("get pods -l app=web -o jsonpath={.items[1].metadata.name}", "")
            .eventually("web-")
            .tenant(ENVIRONMENTS, "")
            .says(&["[]"])
            .for_portcullis(),
    ]
}

pub fn cases(images: &Images) -> Vec<Case> {
    [made(images), forged(images), requested(images), again(images), kept(images)]
        .into_iter()
        .flatten()
        .collect()
}

fn made(images: &Images) -> Vec<Case> {
    let good = &images.good[0];
    let spec = Spec::of(&[good]);
    vec![
        // it waits for the next minute: the others run meanwhile
        case("a CronJob's Job, when its time comes")
            .tenant(CREATE, spec.workload("CronJob", "web").replace("0 0 1 1 *", "* * * * *"))
            .tenant("get jobs -o jsonpath={.items[*].metadata.name}", "")
            .eventually("web-")
            .audited_for("cronjob-controller", "decision", "admit")
            .tenant("get pods -o jsonpath={.items[*].metadata.name}", "")
            .eventually("web-")
            .audited_for("job-controller", "decision", "admit"),
        case("a Deployment's Pods")
            .admin(CREATE, spec.replicas("Deployment", "web", 2))
            .tenant(PODS, "")
            .eventually(" web-")
            .audited_for(REPLICA_SETS, "decision", "admit"),
        case("a StatefulSet's Pods")
            .admin(CREATE, spec.workload("StatefulSet", "web"))
            .tenant(PODS, "")
            .eventually("web-0")
            .audited_for("statefulset-controller", "decision", "admit"),
        case("a DaemonSet's Pods")
            .admin(CREATE, spec.workload("DaemonSet", "web"))
            .tenant(PODS, "")
            .eventually("web-")
            .audited_for("daemon-set-controller", "decision", "admit"),
        case("a ReplicationController's Pods")
            .admin(CREATE, spec.workload("ReplicationController", "web"))
            .tenant(PODS, "")
            .eventually("web-")
            .audited_for("replication-controller", "decision", "admit"),
        case("a Job's Pods")
            .tenant(CREATE, spec.workload("Job", "web"))
            .tenant(PODS, "")
            .eventually("web-")
            .audited_for("job-controller", "decision", "admit"),
        case("a CronJob's Job, made by hand")
            .tenant(CREATE, spec.workload("CronJob", "web"))
            .tenant("create job now --from=cronjob/web", "")
            .tenant(PODS, "")
            .eventually("now-"),
    ]
}

/// Somebody who owns the namespace writes what a controller would.
fn forged(images: &Images) -> Vec<Case> {
    let (good, bad) = (&images.good[0], &images.unsigned);
    let owned = |spec: Spec, kind: &str, version: &str, object: &str| {
        let owner = format!(
            r#"[{{"apiVersion":"{version}","kind":"{kind}","name":"web","uid":"{{uid:{object}}}","controller":true}}]"#
        );
        spec.metadata("ownerReferences", &owner).label("app", "web")
    };
    let by_set = |spec: Spec| owned(spec, "ReplicaSet", "apps/v1", "replicaset/web");
    let set = Spec::of(&[good]).replicas("ReplicaSet", "web", 0);
    vec![
        case("a Pod that claims a blessed owner, with another image")
            .tenant(CREATE, set.clone())
            .tenant(CREATE, by_set(Spec::of(&[bad])).pod("web-x"))
            .refused(&UNKNOWN, &["spec.containers[0].image"]),
        case("a Pod that claims a blessed owner, with its image, and no evidence")
            .tenant(CREATE, set.clone())
            .tenant(CREATE, by_set(Spec::of(&[good]).without_evidence()).pod("web-x"))
            .refused(&UNKNOWN, &["spec.containers[0].image"]),
        case("a ReplicaSet that claims a blessed Deployment")
            .tenant(CREATE, Spec::of(&[good]).replicas("Deployment", "web", 0))
            .tenant(
                CREATE,
                owned(Spec::of(&[bad]), "Deployment", "apps/v1", "deployment/web").replicas("ReplicaSet", "forged", 0),
            )
            .refused(&UNKNOWN, &["spec.template.spec.containers[0].image"]),
        case("a Pod whose owner does not exist")
            .tenant(
                CREATE,
                Spec::of(&[bad])
                    .metadata(
                        "ownerReferences",
                        r#"[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"none","uid":"6b6f6e65-0000-4000-8000-000000000000","controller":true}]"#,
                    )
                    .pod("web"),
            )
            .refused(&UNKNOWN, &["spec.containers[0].image"]),
        case("a tenant cannot act as a controller")
            .tenant("get pods --as=system:serviceaccount:kube-system:replicaset-controller", "")
            .kubernetes("cannot impersonate"),
        case("a tenant's own service account is no controller")
            .admin("create serviceaccount replicaset-controller", "")
            .admin("create rolebinding robot --clusterrole=edit --serviceaccount={ns}:replicaset-controller", "")
            .root(
                "create -f - --as=system:serviceaccount:{ns}:replicaset-controller",
                Spec::of(&[bad]).pod("web"),
            )
            .refused(&UNKNOWN, &["spec.containers[0].image"]),
    ]
}

/// People are judged at what they wrote.
fn requested(images: &Images) -> Vec<Case> {
    let own = || Place::Own(RELEASED, &[]);
    let spec = Spec::of(&[&images.good[0]]);
    vec![
        case("a release manager's Deployment, and the Pods that a controller makes of it")
            .place(own())
            .admin(CREATE, spec.replicas("Deployment", "web", 1))
            .says(&["created"])
            .tenant(PODS, "")
            .eventually("web-"),
        case("a tenant who is no release manager")
            .place(own())
            .tenant(CREATE, spec.replicas("Deployment", "web", 1))
            .refused(&["requested-by"], &["tom", "release-managers"]),
        case("a tenant scales what a release manager deployed")
            .place(own())
            .admin(CREATE, spec.replicas("Deployment", "web", 0))
            .tenant("scale deployment web --replicas=1", "")
            .says(&["scaled"])
            .tenant(PODS, "")
            .eventually("web-"),
        case("a tenant writes a Pod like those of a release manager's Deployment")
            .place(own())
            .admin(CREATE, spec.replicas("Deployment", "web", 0))
            .tenant(CREATE, spec.pod("web-x"))
            .refused(&["requested-by"], &["tom"]),
    ]
}

/// What was admitted is made again after the policy changed, and what was not is not.
fn again(images: &Images) -> Vec<Case> {
    let own = || Place::Own(REQUIRED, &[]);
    let (first, second) = (&images.good[0], &images.good[1]);
    let both = |image| Spec::of(&[image]);
    let update = both(second).replicas("Deployment", "web", 1);
    let deployed = |name: &str| {
        case(name)
            .place(own())
            .tenant(CREATE, both(first).replicas("Deployment", "web", 1))
            .tenant(PODS, "")
            .eventually("web-")
    };
    let unmet = ["signed-by"];
    vec![
        deployed("a Pod is made again after its policy became stricter")
            .policy(TESTED)
            .tenant("delete pods -l app=web", "")
            .tenant(PODS, "")
            .eventually("web-")
            .audited_for(REPLICA_SETS, "basis", "standing"),
        deployed("a new workload is judged by the stricter policy")
            .policy(TESTED)
            .tenant(CREATE, both(first).replicas("Deployment", "new", 1))
            .refused(&unmet, &["error[signed-by]"])
            .for_portcullis(),
        deployed("a Pod is not made again where the policy lets nothing stand")
            .policy(TESTED_NOW)
            .tenant("delete pods -l app=web", "")
            .for_portcullis()
            .tenant(EVENTS, "")
            .eventually("error[signed-by]")
            .for_portcullis(),
        deployed("rollout undo, where both digests meet the policy")
            .tenant("apply -f -", update.clone())
            .says(&["configured"])
            .tenant("rollout undo deployment/web", "")
            .says(&["rolled back"]),
        deployed("rollout undo to another digest is a new deployment")
            .tenant("apply -f -", update.clone())
            .says(&["configured"])
            .policy(TESTED)
            .tenant("rollout undo deployment/web", "")
            .refused(&unmet, &["spec.template.spec.containers[0].image"])
            .for_portcullis(),
        revoked(images),
    ]
}

/// What is revoked does not stand.
fn revoked(images: &Images) -> Case {
    let root = images.trust_root(true);
    case("a Pod is not made again after the key was revoked")
        .place(Place::Own(REQUIRED, &[]))
        .tenant(CREATE, Spec::of(&[&images.leaving]).replicas("Deployment", "web", 1))
        .tenant(PODS, "")
        .eventually("web-")
        .act(move |world, _| world.webhook().write_trust_root(&root))
        .tenant("delete pods -l app=web", "")
        .for_portcullis()
        .tenant(EVENTS, "")
        .eventually("error[evidence-authentic]")
        .for_portcullis()
        // the rollout that replaces it is not held up by what it replaces
        .tenant("apply -f -", Spec::of(&[&images.good[1]]).replicas("Deployment", "web", 0))
        .says(&["configured"])
        .tenant("get rs -o jsonpath={.items[*].spec.replicas}", "")
        .eventually("0 0")
        .tenant("delete deployment web", "")
        .says(&["deleted"])
}
