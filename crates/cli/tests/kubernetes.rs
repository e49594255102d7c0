//! The Kubernetes choke point against the real kube-apiserver, etcd, kube-controller-manager and kubectl.
//!
//! `cargo xtask setup` builds the programs; `KUBEBUILDER_ASSETS` names a folder that has others.

mod tools;

mod kubernetes {
    pub mod case;
    pub mod cluster;
    pub mod fixtures;
    pub mod manifest;
    pub mod other;
    pub mod process;
    pub mod register;
    pub mod schema;
    pub mod table;
    pub mod webhook;
    pub mod world;
}

use std::sync::OnceLock;

use kubernetes::cluster::{Cluster, Person};
use kubernetes::fixtures::Images;
use kubernetes::schema::Schemas;
use kubernetes::table::table;
use kubernetes::world::World;

/// The single switch: `portcullis serve` has the webhook. Until it is on, the table runs against a webhook that says yes only,
/// which shows that what each case does is right, and nothing about refusals.
const WEBHOOK_IS_THERE: bool = false;

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

fn images() -> &'static Images {
    static IMAGES: OnceLock<Images> = OnceLock::new();
    IMAGES.get_or_init(|| Images::new(tempfile::tempdir().unwrap().path()))
}

/// Runs the table, all of it or the cases that have `PORTCULLIS_CASE` in their name.
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn run(cluster: &Cluster, name: &str, is_real: bool) -> usize {
    let cases = table(images());
    let world = World::start(cluster, images(), name, &cases, is_real);
    let only = std::env::var("PORTCULLIS_CASE").ok();
    let ran = world.run(name, &cases, only.as_deref());
    let mut wrong = String::new();
    for case in &ran {
        let how = if case.wrong.is_some() { "WRONG" } else { "right" };
        eprintln!("{how} {:>6.2} s  {}", case.took.as_secs_f64(), case.name);
        if let Some(text) = &case.wrong {
            wrong += &format!("\n=== {}\n{text}\n", case.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    if is_real {
        let replayed = world.webhook().check_log();
        assert!(replayed.contains("byte for byte the same"), "{replayed}");
    }
    ran.len()
}

#[test]
fn what_the_cases_do_works_where_a_webhook_says_yes() {
    let Some(cluster) = cluster() else { return };
    let count = run(cluster, "yes", false);
    eprintln!("{count} cases, each as Kubernetes itself wants it");
}

#[test]
fn each_case_ends_as_the_table_says() {
    if !WEBHOOK_IS_THERE {
        eprintln!("\n*** SKIPPED: WEBHOOK_IS_THERE is false; NOTHING was refused by Portcullis ***\n");
        return;
    }
    let Some(cluster) = cluster() else { return };
    let count = run(cluster, "real", true);
    eprintln!("{count} cases");
}

#[test]
fn people_may_do_what_their_role_says_and_no_more() {
    let Some(cluster) = cluster() else { return };
    cluster.namespaces(&["people".to_owned()], &[String::new()]);
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
