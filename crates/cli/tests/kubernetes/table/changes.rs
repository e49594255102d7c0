//! What changes after it was admitted.

use crate::kubernetes::case::{Case, case};
use crate::kubernetes::fixtures::{Image, Images, inline};
use crate::kubernetes::manifest::Spec;

use super::pods::{MISLED, UNKNOWN};

const CREATE: &str = "create -f -";
const FIRST: [&str; 1] = ["spec.containers[0].image"];
const TEMPLATE: [&str; 1] = ["spec.template.spec.containers[0].image"];

pub fn cases(images: &Images) -> Vec<Case> {
    [running(images), replaced(images), templates(images), debugged(images), bound(images), neutral(images)]
        .into_iter()
        .flatten()
        .collect()
}

/// A case that begins with a good Pod.
fn pod(name: &str, images: &Images) -> Case {
    let spec = Spec::of(&[&images.good[0]]);
    case(name).tenant(CREATE, spec.pod("web")).says(&["pod/web created"])
}

fn deployment(name: &str, images: &Images) -> Case {
    let spec = Spec::of(&[&images.good[0]]);
    case(name).tenant(CREATE, spec.replicas("Deployment", "web", 0)).says(&["deployment.apps/web created"])
}

/// Brings other evidence to a Pod, before its image changes: that alone changes nothing that is judged.
fn annotate(images: &[&Image]) -> String {
    let bundles: Vec<String> = images.iter().flat_map(|image| image.evidence.clone()).collect();
    format!("annotate --overwrite pod web portcullis.dev/evidence={}", inline(&bundles))
}

fn container(image: &str) -> String {
    format!(r#"{{"name":"c0","image":"{image}"}}"#)
}

/// The image of a running Pod.
fn running(images: &Images) -> Vec<Case> {
    let (bad, other) = (&images.unsigned.reference, &images.good[1].reference);
    vec![
        pod("set image, to an image of which nothing is known", images)
            .tenant(&format!("set image pod/web c0={bad}"), "")
            .refused(&MISLED, &FIRST),
        pod("set image, to an image whose evidence is there", images)
            .tenant(&annotate(&[&images.good[1]]), "")
            .tenant(&format!("set image pod/web c0={other}"), "")
            .says(&["pod/web image updated"])
            .audited("basis", "policy"),
        pod("a JSON patch of the image", images)
            .tenant(
                &format!(r#"patch pod web --type json -p '[{{"op":"replace","path":"/spec/containers/0/image","value":"{bad}"}}]'"#),
                "",
            )
            .refused(&MISLED, &FIRST),
        pod("a strategic patch of the image", images)
            .admin(&format!(r#"patch pod web -p '{{"spec":{{"containers":[{}]}}}}'"#, container(bad)), "")
            .refused(&MISLED, &FIRST),
        pod("server-side apply by another manager", images)
            .tenant(
                "apply --server-side --force-conflicts --field-manager=mallory -f -",
                format!(
                    r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web"}},"spec":{{"containers":[{}]}}}}"#,
                    container(bad)
                ),
            )
            .refused(&MISLED, &FIRST),
        pod("a patch in a dry run", images)
            .tenant(&format!(r#"patch pod web --dry-run=server -p '{{"spec":{{"containers":[{}]}}}}'"#, container(bad)), "")
            .refused(&MISLED, &FIRST),
        pod("a Pod that is going, held by a finalizer, gets another image", images)
            .tenant(r#"patch pod web --type merge -p '{"metadata":{"finalizers":["example.com/wait"]}}'"#, "")
            .tenant("delete pod web --wait=false", "")
            .says(&["deleted"])
            .tenant(&format!("set image pod/web c0={bad}"), "")
            .refused(&MISLED, &FIRST)
            .tenant(r#"patch pod web --type merge -p '{"metadata":{"finalizers":null}}'"#, ""),
    ]
}

/// By the whole object.
fn replaced(images: &Images) -> Vec<Case> {
    let (good, bad) = (&images.good[0], &images.unsigned);
    let edit = format!("sed -i s/{}/{}/", good.digest.hex(), bad.digest.hex());
    vec![
        pod("edit", images).tenant("edit pod web", "").editor(&edit).refused(&MISLED, &FIRST),
        deployment("replace", images)
            .tenant("replace -f -", Spec::of(&[bad]).replicas("Deployment", "web", 0))
            .refused(&UNKNOWN, &TEMPLATE),
        deployment("apply", images)
            .tenant("apply -f -", Spec::of(&[bad]).replicas("Deployment", "web", 0))
            .refused(&MISLED, &TEMPLATE),
        deployment("replace --force", images)
            .tenant("replace --force -f -", Spec::of(&[bad]).replicas("Deployment", "web", 0))
            .refused(&UNKNOWN, &TEMPLATE),
    ]
}

/// The template of a workload.
fn templates(images: &Images) -> Vec<Case> {
    let (bad, other) = (&images.unsigned.reference, &images.good[1].reference);
    let patch = |image: &str| {
        format!(r#"'{{"spec":{{"template":{{"spec":{{"containers":[{}]}}}}}}}}'"#, container(image))
    };
    vec![
        deployment("set image in a template", images)
            .admin(&format!("set image deployment/web c0={bad}"), "")
            .refused(&MISLED, &TEMPLATE),
        deployment("another good image, and its evidence with it", images)
            .admin("apply -f -", Spec::of(&[&images.good[1]]).replicas("Deployment", "web", 0))
            .says(&["deployment.apps/web configured"])
            .audited("basis", "policy"),
        deployment("another good image, and only the evidence of the one before", images)
            .admin(&format!("set image deployment/web c0={other}"), "")
            .refused(&MISLED, &TEMPLATE),
        deployment("a merge patch of a template", images)
            .tenant(&format!("patch deployment web --type merge -p {}", patch(bad)), "")
            .refused(&MISLED, &TEMPLATE),
        deployment("more replicas and another image at once", images)
            .tenant(
                &format!(
                    r#"patch deployment web -p '{{"spec":{{"replicas":0,"template":{{"spec":{{"containers":[{}]}}}}}}}}'"#,
                    container(bad)
                ),
                "",
            )
            .refused(&MISLED, &TEMPLATE),
        deployment("the evidence goes and another image comes", images)
            .tenant(
                &format!(
                    r#"patch deployment web -p '{{"spec":{{"template":{{"metadata":{{"annotations":{{"portcullis.dev/evidence":null}}}},"spec":{{"containers":[{}]}}}}}}}}'"#,
                    container(other)
                ),
                "",
            )
            .refused(&UNKNOWN, &TEMPLATE),
    ]
}

/// Ephemeral containers.
fn debugged(images: &Images) -> Vec<Case> {
    let (bad, other) = (&images.unsigned.reference, &images.good[1].reference);
    vec![
        pod("kubectl debug with an image of which nothing is known", images)
            .admin(&format!("debug web --image={bad} --attach=false"), "")
            .refused(&UNKNOWN, &["spec.ephemeralContainers[0].image"]),
        pod("kubectl debug with an image whose evidence is there", images)
            .tenant(&annotate(&[&images.good[0], &images.good[1]]), "")
            .admin(&format!("debug web --image={other} --attach=false -c tool"), "")
            .admin("get pod web -o jsonpath={.spec.ephemeralContainers[*].name}", "")
            .says(&["tool"]),
        pod("kubectl debug with a copy of the Pod", images)
            .tenant(&format!("debug web --copy-to=copy --set-image=c0={bad} --attach=false"), "")
            .refused(&MISLED, &FIRST),
    ]
}

/// A binding's annotations become the Pod's, after the Pod was admitted.
fn bound(images: &Images) -> Vec<Case> {
    let binding = |annotations: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Binding","metadata":{{"name":"web","annotations":{{{annotations}}}}},"target":{{"apiVersion":"v1","kind":"Node","name":"node-1"}}}}"#
        )
    };
    let ours = r#""portcullis.dev/evidence":"x""#;
    vec![
        pod("a binding", images)
            .root("create --raw /api/v1/namespaces/{ns}/pods/web/binding -f -", binding(""))
            .root("get pod web -o jsonpath={.spec.nodeName}", "")
            .says(&["node-1"]),
        pod("a binding that writes our annotation", images)
            .root("create --raw /api/v1/namespaces/{ns}/pods/web/binding -f -", binding(ours))
            .refused(&["request-readable"], &["\n  found     portcullis.dev/evidence"]),
        pod("the older kind of binding that writes our annotation", images)
            .root("create --raw /api/v1/namespaces/{ns}/bindings -f -", binding(ours))
            .refused(&["request-readable"], &["\n  found     portcullis.dev/evidence"]),
    ]
}

/// What is never blocked: it changes no image.
fn neutral(images: &Images) -> Vec<Case> {
    vec![
        pod("a label", images)
            .tenant("label pod web tier=front", "")
            .says(&["labeled"])
            .audited("basis", "policy"),
        pod("an annotation", images).tenant("annotate pod web example.com/note=hello", "").says(&["annotated"]),
        pod("the evidence of a running Pod is taken away", images)
            .tenant("annotate pod web portcullis.dev/evidence-", "")
            .says(&["annotated"])
            .tenant("label pod web tier=front", "")
            .says(&["labeled"])
            .audited("basis", "standing"),
        case("a running Pod gets other resources")
            .tenant(CREATE, Spec::of(&[&images.good[0]]).processor("20m").pod("web"))
            .tenant(
                r#"patch pod web --subresource resize -p '{"spec":{"containers":[{"name":"c0","resources":{"requests":{"cpu":"10m"}}}]}}'"#,
                "",
            )
            .says(&["patched"])
            .audited("nothing", "resize"),
        pod("a status", images)
            .root(r#"patch pod web --subresource status -p '{"status":{"message":"hello"}}'"#, "")
            .says(&["patched"]),
        pod("delete", images).tenant("delete pod web", "").says(&["deleted"]),
        deployment("scale", images)
            .tenant("scale deployment web --replicas=1", "")
            .says(&["scaled"])
            .tenant("get pods -l app=web -o jsonpath={.items[*].metadata.name}", "")
            .eventually("web-")
            .tenant("scale deployment web --replicas=0", "")
            .says(&["scaled"]),
        deployment("an edit of a workload's own annotations", images)
            .tenant("annotate deployment web example.com/note=hello", "")
            .says(&["annotated"])
            .audited("basis", "policy"),
        before(images),
    ]
}

/// What ran before the webhook was there.
fn before(images: &Images) -> Case {
    let bad = &images.unsigned;
    case("what ran before anybody asked is left alone, until it gets another image")
        .root("label namespace {ns} world-", "")
        .tenant(CREATE, Spec::of(&[bad]).pod("old"))
        .says(&["pod/old created"])
        .root("label namespace {ns} world={world}", "")
        .tenant("label pod old tier=front", "")
        .says(&["labeled"])
        .audited("basis", "standing")
        .for_portcullis()
        .tenant(&format!("set image pod/old c0={}", images.stranger.reference), "")
        .refused(&UNKNOWN, &FIRST)
        .for_portcullis()
        .tenant("delete pod old", "")
        .says(&["deleted"])
}
