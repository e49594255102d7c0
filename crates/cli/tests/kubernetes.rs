//! The Kubernetes choke point against the real kube-apiserver, etcd, kube-controller-manager and kubectl.
//!
//! `cargo xtask setup` builds the programs; `KUBEBUILDER_ASSETS` names a folder that has others.

mod tools;

mod kubernetes {
    pub mod case;
    pub mod cluster;
    pub mod failures;
    pub mod fixtures;
    pub mod manifest;
    pub mod other;
    pub mod process;
    pub mod proxied;
    pub mod register;
    pub mod schema;
    pub mod table;
    pub mod webhook;
    pub mod world;
}

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use attest::Json;
use kubernetes::cluster::{Cluster, Person};
use kubernetes::fixtures::Images;
use kubernetes::schema::{Schemas, at};
use kubernetes::table::pods::UNSIGNED;
use kubernetes::table::{table, worth};
use kubernetes::webhook::REQUIRED;
use kubernetes::world::{Judge, World, rules_in};

/// The single switch: `portcullis serve` has the webhook. Until it is on, the table runs against a webhook that says yes only,
/// which shows that what each case does is right, and nothing about refusals.
const WEBHOOK_IS_THERE: bool = true;

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

/// What the cases to run have in their name, from `PORTCULLIS_CASE`; without, all run.
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn only() -> Option<String> {
    std::env::var("PORTCULLIS_CASE").ok()
}

/// Runs the table.
fn run<'c>(cluster: &'c Cluster, name: &str, is_real: bool) -> World<'c> {
    let cases = table(images());
    let start = Instant::now();
    let world = World::start(cluster, images(), name, &cases, is_real);
    let ready = start.elapsed();
    let ran = world.run(name, &cases, only().as_deref());
    let mut wrong = String::new();
    for case in &ran {
        if let Some(text) = &case.wrong {
            wrong += &format!("\n=== {}\n{text}\n", case.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    if is_real {
        let replayed = world.webhook().check_log();
        assert!(replayed.contains("are the same, byte for byte; 0 differ"), "{replayed}");
    }
    eprintln!("{} cases in {:?}, after {ready:?} for their namespaces", ran.len(), start.elapsed() - ready);
    world
}

/// The engine alone, without a cluster: what the table expects of each image is what its evidence is worth.
#[test]
fn each_image_is_worth_what_the_table_expects() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| tools::path(&folder.path().join(name)).to_owned();
    std::fs::create_dir(at("book")).unwrap();
    let policy = format!("environment: prod/shop\nartifact: registry.example/shop\n{REQUIRED}");
    std::fs::write(at("book/prod-shop.yaml"), policy).unwrap();
    std::fs::write(at("trust-root.yaml"), images().trust_root(false)).unwrap();
    for (name, image, rules) in worth(images()) {
        let (digest, book, root) = (image.digest.to_string(), at("book"), at("trust-root.yaml"));
        let mut args =
            vec!["verify", &digest, "--environment", "prod/shop", "--book", &book, "--trust-root", &root];
        let file = |number: usize, text: &String| {
            let file = at(&format!("{name}-{number}.json"));
            std::fs::write(&file, text).unwrap();
            file
        };
        let files: Vec<String> = image.evidence.iter().enumerate().map(|(n, text)| file(n, text)).collect();
        files.iter().for_each(|file| args.extend(["--bundle", file]));
        let said = tools::expect(i32::from(!rules.is_empty()), &args);
        assert_eq!(rules_in(&said), rules.iter().copied().collect(), "{name}: {said}");
        if name == "unsigned" {
            UNSIGNED
                .iter()
                .for_each(|line| assert!(said.contains(line.trim_start_matches('\n')), "{line} in {said}"));
        }
    }
}

#[test]
fn what_the_cases_do_works_where_a_webhook_says_yes() {
    let Some(cluster) = cluster() else { return };
    let world = run(cluster, "yes", false);
    let Judge::Yes(other) = &world.judge else { panic!("another judge") };
    let seen = other.seen.lock().unwrap();
    for (_, certificate) in seen.iter() {
        let is_shown = certificate.windows(14).any(|part| part == b"kube-apiserver");
        assert!(is_shown, "the API server shows its certificate to webhooks");
    }
    // what a real API server sends, for whoever reads it
    let reviews: String = seen.iter().map(|(review, _)| format!("{review}\n")).collect();
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("reviews.jsonl"), reviews).unwrap();
    if only().is_none() {
        check_ways(seen.iter().map(|(review, _)| review));
    }
}

/// Every way in which the table brings code to the webhook: `UPDATE pods/ephemeralcontainers`.
fn check_ways<'r>(reviews: impl Iterator<Item = &'r Json>) {
    let text = |review: &Json, path: &[&str]| {
        at(review, path).and_then(|t| t.as_str().ok()).unwrap_or_default().to_owned()
    };
    let way = |review: &Json| {
        let operation = text(review, &["request", "operation"]);
        let resource = text(review, &["request", "resource", "resource"]);
        let sub = text(review, &["request", "subResource"]);
        format!("{operation} {resource}/{sub}").trim_end_matches('/').to_owned()
    };
    let found: BTreeSet<String> = reviews.map(way).collect();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, WAYS);
}

const WAYS: [&str; 19] = [
    "CREATE bindings",
    "CREATE configmaps",
    "CREATE cronjobs",
    "CREATE daemonsets",
    "CREATE deployments",
    "CREATE jobs",
    "CREATE pods",
    "CREATE pods/binding",
    "CREATE podtemplates",
    "CREATE replicasets",
    "CREATE replicationcontrollers",
    "CREATE rollouts",
    "CREATE secrets",
    "CREATE statefulsets",
    "UPDATE deployments",
    "UPDATE pods",
    "UPDATE pods/ephemeralcontainers",
    "UPDATE pods/resize",
    "UPDATE replicasets",
];

#[test]
fn each_case_ends_as_the_table_says() {
    if !WEBHOOK_IS_THERE {
        eprintln!("\n*** SKIPPED: WEBHOOK_IS_THERE is false; NOTHING was refused by Portcullis ***\n");
        return;
    }
    let Some(cluster) = cluster() else { return };
    run(cluster, "real", true);
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
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images.txt");
    std::fs::write(&file, &found).unwrap();
    assert!(found.contains("v1 Pod spec.containers[*].image\n"), "{found}");
    assert!(
        found == IMAGES,
        "the schema has other images than kubernetes/images.txt: see {}",
        file.display()
    );
}

#[test]
fn through_the_proxy_goes_only_what_is_admitted() {
    kubernetes::proxied::only_what_is_admitted_goes_through();
}

#[test]
fn what_changed_while_it_was_judged_is_judged_anew() {
    kubernetes::proxied::what_changed_meanwhile_is_judged_anew();
}
