//! Pods that are created.

use crate::kubernetes::case::{Case, Place, case};
use crate::kubernetes::fixtures::Images;
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::world::World;

const CREATE: &str = "create -f -";
const NO_PROVENANCE: &str = "error[built-by]: no provenance says how it was built";
/// What a person needs to see of an image without evidence.
pub const UNSIGNED: [&str; 4] = [
    NO_PROVENANCE,
    "\n  wanted    provenance, signed by ci or leaving-ci",
    "\n  found     none about this artifact",
    "\n  fix       submit the bundle that the build wrote beside the artifact",
];

pub fn cases(images: &Images) -> Vec<Case> {
    [places(images), refusals(images), references(images), odd(images)].into_iter().flatten().collect()
}

/// Wherever an image stands.
fn places(images: &Images) -> Vec<Case> {
    let (good, bad) = (&images.good[0], &images.unsigned);
    let only = |path: &'static str| [&UNSIGNED[..], &[path]].concat();
    vec![
        case("a reviewed image is admitted, and the audit log says by which decision")
            .tenant(CREATE, Spec::of(&[good]).pod("web"))
            .says(&["pod/web created"])
            .audited("decision", "admit")
            .audited("basis", "policy")
            .audited("record", "=")
            .audited("receipt", "="),
        case("an unsigned container")
            .tenant(CREATE, Spec::of(&[bad]).pod("web"))
            .refused(&UNKNOWN, &only("spec.containers[0].image"))
            .audited("decision", "reject"),
        case("an unsigned init container beside a good one")
            .tenant(CREATE, Spec::of(&[good]).init(bad).pod("web"))
            .refused(&UNKNOWN, &only("spec.initContainers[0].image")),
        case("an unsigned sidecar")
            .admin(CREATE, Spec::of(&[good]).sidecar(bad).pod("web"))
            .refused(&UNKNOWN, &only("spec.initContainers[0].image")),
        case("an unsigned image volume")
            .tenant(CREATE, Spec::of(&[good]).volume(bad).pod("web"))
            .refused(&UNKNOWN, &only("spec.volumes[0].image.reference")),
        case("a good image in all places that a new Pod has")
            .tenant(CREATE, Spec::of(&[good]).init(good).sidecar(good).volume(good).pod("web"))
            .says(&["pod/web created"]),
        case("an ephemeral container in a new Pod is nothing that Kubernetes takes")
            .tenant(CREATE, Spec::of(&[good]).ephemeral(bad).pod("web"))
            .kubernetes("ephemeralContainers"),
        case("all that is wrong is said at once")
            .tenant(
                CREATE,
                Spec::of(&[bad])
                    .init(&images.stranger)
                    .volume(&images.misled)
                    .evidence_of(&images.stranger)
                    .evidence_of(&images.misled)
                    .pod("web"),
            )
            .refused(
                &["built-by", "evidence-authentic", "evidence-applies"],
                &[
                    "spec.containers[0].image",
                    "spec.initContainers[0].image",
                    "spec.volumes[0].image.reference",
                ],
            ),
        case("the second of two images has no evidence")
            .tenant(CREATE, Spec::of(&[good, bad]).pod("web"))
            .refused(&UNKNOWN, &only("spec.containers[1].image")),
        case("two images, the evidence of both in one annotation")
            .tenant(CREATE, Spec::of(&[good, &images.good[1]]).pod("web"))
            .says(&["pod/web created"]),
        case("the cluster admin is no exception")
            .root(CREATE, Spec::of(&[bad]).pod("web"))
            .refused(&UNKNOWN, &only("spec.containers[0].image")),
    ]
}

/// What is refused of an image of which nothing is known.
pub const UNKNOWN: [&str; 1] = ["built-by"];
pub const FORK: [&str; 1] = ["source-repository"];
pub const UNREVIEWED: [&str; 1] = ["source-reviewed"];
pub const STRANGE: [&str; 2] = ["evidence-authentic", "built-by"];
pub const MISLED: [&str; 2] = ["evidence-applies", "built-by"];

/// Whatever can be wrong with an image.
fn refusals(images: &Images) -> Vec<Case> {
    let pod = |image| Spec::of(&[image]).pod("web");
    vec![
        case("built from a fork").tenant(CREATE, pod(&images.fork)).refused(
            &FORK,
            &[
                "error[source-repository]: built from another repository than the policy allows",
                "\n  wanted    https://git.example/acme/shop",
                "\n  found     https://git.example/mallory/shop",
                "\n  fix       rebuild from the allowed repository",
                "book/prod-shop.yaml:",
            ],
        ),
        case("nobody approved the commit").tenant(CREATE, pod(&images.unreviewed)).refused(
            &UNREVIEWED,
            &["error[source-reviewed]: nobody has approved", "portcullis attest review"],
        ),
        case("signed by a stranger")
            .tenant(CREATE, pod(&images.stranger))
            .refused(&STRANGE, &["error[evidence-authentic]"]),
        case("signed with a key that was lost long ago")
            .tenant(CREATE, pod(&images.revoked))
            .refused(&STRANGE, &["error[evidence-authentic]", "lost laptop"]),
        case("evidence about another image")
            .tenant(CREATE, pod(&images.misled))
            .refused(&MISLED, &["error[evidence-applies]: the provenance applies to another artifact"]),
        case("a namespace that nobody claimed")
            .place(Place::Unclaimed)
            .admin(CREATE, pod(&images.good[0]))
            .refused(&["policy-missing"], &["unclaimed/{ns}"]),
        case("a repository that the policy does not list")
            .tenant(CREATE, pod(&images.good[0].called("registry.example/another")))
            .refused(&["policy-missing"], &["registry.example/another"]),
        case("a repository of that name at another registry")
            .tenant(CREATE, pod(&images.good[0].called("shop")))
            .refused(&["policy-missing"], &["docker.io/library/shop"]),
    ]
}

/// Tags and digests.
fn references(images: &Images) -> Vec<Case> {
    // an image of its own: what is attached counts for everybody who names nothing
    let (good, bad) = (&images.good[3], &images.unsigned);
    let tagged = Spec::of(&[]).container("registry.example/shop:known").evidence_of(good).pod("web");
    let known = good.digest.to_string();
    let tag = {
        let good = good.clone();
        move |world: &World<'_>, _: &str| {
            world.webhook().attach(&good.reference, &good.evidence, Some("registry.example/shop:known"));
        }
    };
    vec![
        case("a tag without a digest, where nobody said what it stands for")
            .tenant(CREATE, Spec::of(&[]).container("registry.example/shop:1").pod("web"))
            .refused(
                &["digest-required"],
                &["registry.example/shop, without a digest", "spec.containers[0].image"],
            ),
        case("no tag and no digest")
            .tenant(CREATE, Spec::of(&[]).container("registry.example/shop").pod("web"))
            .refused(&["digest-required"], &["\n  fix       write registry.example/shop@sha256:"]),
        case("a tag without a digest, and the message has the digest to use")
            .act(tag.clone())
            .tenant(CREATE, tagged.clone())
            .refused(&["digest-required"], &[&known]),
        case("the mutating webhook writes the digest, and the validating one decides on it")
            .place(Place::Pinned)
            .act(tag)
            .tenant(CREATE, tagged)
            .says(&["pod/web created"])
            .tenant("get pod web -o jsonpath={.spec.containers[0].image}", "")
            .says(&[&known])
            .for_portcullis(),
        case("a tag beside a good digest is for people")
            .tenant(CREATE, Spec::of(&[&good.called("registry.example/shop:1.2")]).pod("web"))
            .says(&["pod/web created"]),
        case("a good tag beside another digest does not count")
            .tenant(CREATE, Spec::of(&[&bad.called("registry.example/shop:known")]).pod("web"))
            .refused(&UNKNOWN, &["spec.containers[0].image"]),
        case("half a digest")
            .tenant(CREATE, Spec::of(&[]).container("registry.example/shop@sha256:abcd").pod("web"))
            .refused(&["request-readable"], &["spec.containers[0].image"])
            .audited("basis", "spec.containers[0].image=policy")
            .audited("record", "spec.containers[0].image="),
        case("a digest in capitals")
            .tenant(
                CREATE,
                Spec::of(&[]).container(&good.reference.to_uppercase()).evidence_of(good).pod("web"),
            )
            .refused(&["request-readable"], &["spec.containers[0].image"]),
    ]
}

/// Names, sizes, and what a tenant can write beside the images.
fn odd(images: &Images) -> Vec<Case> {
    let (good, bad) = (&images.good[0], &images.unsigned);
    let mut cases = vec![
        case("a name that the server makes")
            .tenant(CREATE, Spec::of(&[good]).pod("web-"))
            .says(&["pod/web-", " created"])
            .tenant(CREATE, Spec::of(&[bad]).pod("bad-"))
            .refused(&UNKNOWN, &["spec.containers[0].image"]),
        case("a dry run is judged, and leaves no record")
            .tenant("create --dry-run=server -f -", Spec::of(&[bad]).pod("web"))
            .refused(&UNKNOWN, &UNSIGNED)
            .audited("record", "")
            .tenant("create --dry-run=server -f -", Spec::of(&[good]).pod("web"))
            .says(&["pod/web created (server dry run)"])
            .audited("record", ""),
        case("one image in eight containers")
            .tenant(CREATE, Spec::of(&[good; 8]).pod("web"))
            .says(&["pod/web created"]),
        case("one image in 64 containers, and another in the last")
            .tenant(CREATE, Spec::of(&[good; 64]).pod("web"))
            .says(&["pod/web created"])
            .tenant(CREATE, Spec::of(&[good; 63]).container(&bad.reference).pod("bad"))
            .refused(&UNKNOWN, &["spec.containers[63].image"]),
        case("a Pod of a megabyte")
            .tenant(CREATE, Spec::of(&[good]).large(1 << 20).pod("web"))
            .says(&["pod/web created"])
            .tenant(CREATE, Spec::of(&[bad]).large(1 << 20).pod("bad"))
            .refused(&UNKNOWN, &UNSIGNED),
        case("a Pod of four megabytes is nothing that Kubernetes takes")
            .tenant(CREATE, Spec::of(&[good]).large(4 << 20).pod("web"))
            .kubernetes("equest entity too large"),
        case("five thousand annotations")
            .tenant(CREATE, many(Spec::of(&[good])).pod("web"))
            .says(&["pod/web created"])
            .tenant(CREATE, many(Spec::of(&[bad])).pod("bad"))
            .refused(&UNKNOWN, &UNSIGNED),
    ];
    for name in
        ["admission.portcullis.dev/ignore", "policy.sigstore.dev/include", "kubernetes.io/bootstrapping"]
    {
        let spec = Spec::of(&[bad]).label(name, "false").annotation(name, "false");
        cases.push(
            case(&format!("a tenant writes {name}"))
                .tenant(CREATE, spec.pod("web"))
                .refused(&UNKNOWN, &UNSIGNED),
        );
    }
    for name in ["portcullis.dev/skip", "portcullis.dev/decision", "portcullis.dev/evidense"] {
        let spec = Spec::of(&[good]).annotation(name, "true");
        cases.push(
            case(&format!("a tenant writes {name}, which nobody reads"))
                .tenant(CREATE, spec.pod("web"))
                .refused(&["request-readable"], &[name, "is none that is known"]),
        );
        let labelled = Spec::of(&[bad]).label(name, "true").pod("web");
        cases.push(
            case(&format!("a tenant writes the label {name}"))
                .tenant(CREATE, labelled)
                .refused(&UNKNOWN, &UNSIGNED),
        );
    }
    let mirror =
        Spec::of(&[bad]).annotation("kubernetes.io/config.mirror", "x").field("nodeName", "\"node-1\"");
    cases.push(
        case("a tenant claims that it is a mirror of a static Pod")
            .tenant(CREATE, mirror.field("automountServiceAccountToken", "false").pod("web"))
            .refused(&UNKNOWN, &UNSIGNED),
    );
    cases
}

fn many(spec: Spec) -> Spec {
    (0..5000).fold(spec, |spec, number| spec.annotation(&format!("example.com/number-{number}"), "x"))
}
