//! The Kubernetes choke point against the real kube-apiserver, etcd, kube-controller-manager and kubectl.
//!
//! `cargo xtask setup` builds the programs; `KUBEBUILDER_ASSETS` names a folder that has others.

mod tools;

mod kubernetes {
    pub mod cluster;
    pub mod process;
    pub mod schema;
}

use std::sync::OnceLock;

use kubernetes::cluster::{Cluster, Person};
use kubernetes::schema::Schemas;

/// One cluster for all tests of this file. It goes with the process.
fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let cluster = Cluster::start()?;
        eprintln!("etcd and the API server were ready after {:?}", cluster.took);
        Some(cluster)
    });
    cluster.as_ref()
}

#[test]
fn people_may_do_what_their_role_says_and_no_more() {
    let Some(cluster) = cluster() else { return };
    cluster.namespaces(&["people".to_owned()]);
    let may = |person: Person, namespace: &str, verb: &str, what: &str| {
        let said = cluster.kubectl(person, namespace, &["auth", "can-i", verb, what], "");
        assert!(matches!(said.stdout.trim(), "yes" | "no"), "{said:?}");
        said.stdout.trim() == "yes"
    };
    assert!(may(Person::ClusterAdmin, "default", "delete", "validatingwebhookconfigurations"));
    assert!(may(Person::NamespaceAdmin, "people", "create", "rolebindings"));
    assert!(may(Person::Tenant, "people", "create", "pods"));
    assert!(!may(Person::Tenant, "people", "create", "rolebindings"));
    for person in [Person::NamespaceAdmin, Person::Tenant] {
        assert!(!may(person, "default", "create", "pods"));
        assert!(!may(person, "people", "patch", "namespaces"));
        assert!(!may(person, "people", "delete", "validatingwebhookconfigurations"));
    }
}

/// What the pinned release has. A field that a later release adds makes this fail, and then somebody decides what it is.
const IMAGES: &str = include_str!("kubernetes/images.txt");

#[test]
fn every_image_like_field_of_the_live_schema_is_known() {
    let Some(cluster) = cluster() else { return };
    let schemas = Schemas::fetch(cluster);
    let found: String = schemas.image_like().into_iter().map(|path| path + "\n").collect();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("images.txt");
    std::fs::write(&file, &found).unwrap();
    assert!(found.contains("v1 Pod spec.containers[*].image\n"), "{found}");
    assert!(found == IMAGES, "the schema has other images than kubernetes/images.txt: see {}", file.display());
}
