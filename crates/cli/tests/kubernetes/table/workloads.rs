//! Every kind that holds a template of Pods.

use crate::kubernetes::case::{Case, case};
use crate::kubernetes::cluster::Person;
use crate::kubernetes::fixtures::Images;
use crate::kubernetes::manifest::{KINDS, Spec};

use super::pods::UNKNOWN;

const CREATE: &str = "create -f -";

pub fn cases(images: &Images) -> Vec<Case> {
    let (good, bad) = (&images.good[0], &images.unsigned);
    let mut cases = Vec::new();
    let people = [Person::Tenant, Person::NamespaceAdmin, Person::ClusterAdmin];
    for ((kind, _, at), who) in KINDS.into_iter().zip(people.into_iter().cycle()) {
        let (one, two) = (format!("{at}.containers[0].image"), format!("{at}.initContainers[0].image"));
        let volume = format!("{at}.volumes[0].image.reference");
        let create = |case: Case, input: String| match who {
            Person::Tenant => case.tenant(CREATE, input),
            Person::NamespaceAdmin => case.admin(CREATE, input),
            Person::ClusterAdmin => case.root(CREATE, input),
        };
        let refused = |name: &str, spec: &Spec, path: &str| {
            create(case(&format!("{kind} {name}")), spec.workload(kind, "web")).refused(&UNKNOWN, &[path])
        };
        cases.push(refused("with an unsigned container", &Spec::of(&[bad]), &one));
        cases.push(refused("with an unsigned init container", &Spec::of(&[good]).init(bad), &two));
        cases.push(refused("with an unsigned image volume", &Spec::of(&[good]).volume(bad), &volume));
        cases.push(
            create(case(&format!("{kind} with a good image")), Spec::of(&[good]).workload(kind, "web"))
                .says(&["/web created"])
                .audited("decision", "admit"),
        );
    }
    cases.push(
        case("a custom resource with an unsigned image at a configured path")
            .tenant(CREATE, Spec::of(&[bad]).workload("Rollout", "web"))
            .refused(&UNKNOWN, &["spec.template.spec.containers[0].image"]),
    );
    cases.push(
        case("a custom resource with a good image")
            .tenant(CREATE, Spec::of(&[good]).workload("Rollout", "web"))
            .says(&["rollout.argoproj.io/web created"]),
    );
    cases
}
