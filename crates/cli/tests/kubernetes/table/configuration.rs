//! Configuration as code: guarded objects are artifacts.

use crate::kubernetes::case::{Case, Place, case};
use crate::kubernetes::fixtures::Images;
use crate::kubernetes::manifest::{Spec, settings};
use crate::kubernetes::world::World;

use super::pods::UNKNOWN;

const CREATE: &str = "create -f -";
const GUARDED: &str = "artifact: [\"kubernetes:{ns}/ConfigMap/*\", \"kubernetes:{ns}/Secret/*\", \"kubernetes:{ns}/Deployment/*\"]
mode: enforce
require:
  signed-by: [vendor]
";
/// What guards a Deployment's configuration does not speak for its images, and the other way round.
const WITH_IMAGES: &str = "artifact: [\"kubernetes:{ns}/Deployment/*\", registry.example/shop]
mode: enforce
require:
  signed-by: [vendor]
";
const UNSIGNED: [&str; 1] = ["signed-by"];
/// The annotation still names the signature of what was there before.
const CHANGED: [&str; 2] = ["evidence-applies", "signed-by"];

pub fn cases(images: &Images) -> Vec<Case> {
    let guarded = || Place::Own(GUARDED, &["ConfigMap", "Secret"]);
    let map = settings("ConfigMap", "flags", "mode", "fast", &[]);
    let signed = map.clone();
    let secret = settings("Secret", "token", "password", "hunter2-hunter2", &[]);
    let mut cases = vec![
        case("a guarded ConfigMap that nobody signed")
            .place(guarded())
            .tenant(CREATE, map)
            .refused(&UNSIGNED, &["kubernetes:{ns}/ConfigMap/flags", "\n  wanted    ", "\n  fix       "]),
        case("a guarded ConfigMap that was signed, and then changed")
            .place(guarded())
            .act(move |world, namespace| create_signed(world, namespace, &signed))
            .tenant("label configmap flags tier=front", "")
            .refused(&CHANGED, &["kubernetes:{ns}/ConfigMap/flags"])
            .for_portcullis()
            .tenant(r#"patch configmap flags -p '{"data":{"mode":"slow"}}'"#, "")
            .refused(
                &CHANGED,
                &["kubernetes:{ns}/ConfigMap/flags", "\n  changed   data.mode: \"fast\" became \"slow\""],
            )
            .for_portcullis()
            .tenant("delete configmap flags", "")
            .says(&["deleted"])
            .for_portcullis(),
        case("a guarded Secret, and nobody reads in a message what is in it")
            .place(guarded())
            .tenant(CREATE, secret)
            .refused(&UNSIGNED, &["kubernetes:{ns}/Secret/token"])
            .act(|world, _| world.webhook().is_free_of(&["hunter2-hunter2", "aHVudGVyMi1odW50ZXIy"])),
        case("a ConfigMap that nobody guards")
            .tenant(CREATE, settings("ConfigMap", "flags", "mode", "fast", &[]))
            .says(&["configmap/flags created"]),
    ];
    cases.extend(workloads(images));
    cases.extend(ourselves(images));
    cases
}

/// A Deployment with its flags, as it was reviewed.
fn workloads(images: &Images) -> Vec<Case> {
    let good = &images.good[0];
    let signature = images.vendor_signature(&good.digest);
    let plain = Spec::of(&[good]).without_evidence().bundle(&signature).arguments(&["--port=80"]).replicas(
        "Deployment",
        "web",
        0,
    );
    let debug = Spec::of(&[good])
        .without_evidence()
        .bundle(&signature)
        .arguments(&["--port=80", "--debug"])
        .replicas("Deployment", "web", 0);
    let patch = r#"patch deployment web --type json -p '[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--debug"}]'"#;
    let place = || Place::Own(WITH_IMAGES, &["Deployment"]);
    vec![
        case("a guarded Deployment as it was reviewed, and then with --debug")
            .place(place())
            .act(move |world, namespace| create_signed(world, namespace, &plain))
            .tenant(patch, "")
            .refused(
                &CHANGED,
                &[
                    "kubernetes:{ns}/Deployment/web",
                    "\n  changed   spec.template.spec.containers[c0].args",
                    "--debug",
                ],
            )
            .for_portcullis()
            .tenant("scale deployment web --replicas=0", "")
            .says(&["scaled"])
            .for_portcullis(),
        case("a guarded Deployment that nobody reviewed")
            .place(place())
            .tenant(CREATE, debug)
            .refused(&UNSIGNED, &["kubernetes:{ns}/Deployment/web"]),
    ]
}

/// Signs the final form of an object, as the server would store it, and creates it with that evidence.
fn create_signed(world: &World<'_>, namespace: &str, manifest: &str) {
    let digest = world.webhook().configuration_digest(world.cluster, namespace, manifest);
    let bundle = world.images.vendor_signature(&digest);
    let stored = world.webhook().attach(&digest.to_string(), &[bundle], None);
    let annotated = with_annotation(manifest, "portcullis.dev/evidence-digest", &stored);
    let said = world.cluster.kubectl(
        crate::kubernetes::cluster::Person::Tenant,
        namespace,
        &["create", "-f", "-"],
        &annotated,
    );
    assert_eq!(said.exit, 0, "{}", said.stderr);
}

fn with_annotation(manifest: &str, name: &str, value: &str) -> String {
    let mut object = attest::json::parse(manifest.as_bytes()).unwrap().as_object().unwrap().clone();
    let mut metadata = object.object("metadata").unwrap().clone();
    let mut annotations = metadata.optional_object("annotations").unwrap().cloned().unwrap_or_default();
    annotations.set(name, value);
    metadata.set("annotations", annotations);
    object.set("metadata", metadata);
    attest::Json::from(object).to_string()
}

/// What looks after the webhook itself.
fn ourselves(images: &Images) -> Vec<Case> {
    let bad = &images.unsigned;
    let mut cases = Vec::new();
    for what in
        ["validatingwebhookconfiguration", "mutatingwebhookconfiguration", "validatingadmissionpolicy"]
    {
        cases.push(
            case(&format!("neither tenant nor namespace admin can delete a {what}"))
                .tenant(&format!("delete {what} --all"), "")
                .kubernetes("forbidden")
                .admin(&format!("delete {what} --all"), "")
                .kubernetes("forbidden"),
        );
    }
    cases.push(
        case("neither tenant nor namespace admin can take the namespace out of sight")
            .tenant("label namespace {ns} world-", "")
            .kubernetes("forbidden")
            .admin("label namespace {ns} world- portcullis.dev/exempt=true", "")
            .kubernetes("forbidden")
            .tenant(CREATE, Spec::of(&[bad]).pod("web"))
            .refused(&UNKNOWN, &["spec.containers[0].image"]),
    );
    cases
}
