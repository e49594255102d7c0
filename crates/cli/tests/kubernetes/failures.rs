//! What fails: webhooks that misbehave, the API server, and the choke point itself.

use std::time::{Duration, Instant};

use super::case::case;
use super::cluster::{Cluster, Person, Said};
use super::fixtures::Images;
use super::manifest::Spec;
use super::other::{Manner, Other};
use super::register::{Hook, register};
use super::schema::at;
use super::world::World;
use crate::{WEBHOOK_IS_THERE, cluster, images};

fn create(cluster: &Cluster, namespace: &str, name: &str, images: &Images) -> Said {
    let pod = Spec::of(&[&images.good[0]]).pod(name);
    cluster.kubectl(Person::Tenant, namespace, &["create", "-f", "-"], &pod)
}

/// Whether the audit log says that the API server went on without this webhook.
fn failed_open(cluster: &Cluster, namespace: &str) -> bool {
    let is_here = |event: &attest::Json| {
        at(event, &["objectRef", "namespace"]).is_some_and(|found| found == &attest::Json::from(namespace))
    };
    let says = |event: &attest::Json| {
        at(event, &["annotations"]).is_some_and(|found| found.to_string().contains("failed-open."))
    };
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        if cluster.audit().iter().any(|event| is_here(event) && says(event)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// What a webhook of ours would look like from outside if it broke: `Fail` refuses, and `Ignore` leaves a trace.
#[test]
fn a_webhook_that_misbehaves_fails_closed_or_leaves_a_trace() {
    let Some(cluster) = cluster() else { return };
    let manners = [
        ("slow", Manner::Slow(Duration::from_secs(5))),
        ("error", Manner::Status(500)),
        ("uid", Manner::WrongUid),
        ("cut", Manner::Truncated),
    ];
    for (name, manner) in manners {
        let other = Other::start(&cluster.folder, manner);
        for is_open in [false, true] {
            let namespace = format!("{name}-{}", if is_open { "open" } else { "closed" });
            let labels = format!(r#""world":"{namespace}""#);
            let hook =
                Hook::validating(&namespace, &format!("{namespace}.example.com"), &other.url).within(2);
            register(cluster, &if is_open { hook.fail_open() } else { hook });
            cluster.namespaces(std::slice::from_ref(&namespace), &[labels]);
            let said = settled(cluster, &namespace, is_open);
            if is_open {
                assert_eq!(said.exit, 0, "{namespace}: {}", said.stderr);
                assert!(failed_open(cluster, &namespace), "{namespace}");
            } else {
                let is_told = said.stderr.contains(&format!("{namespace}.example.com"));
                assert!(said.exit == 1 && is_told, "{namespace}: {said:?}");
            }
        }
    }
}

/// A registration is in force a moment after it was made: until then, nobody is asked.
fn settled(cluster: &Cluster, namespace: &str, is_open: bool) -> Said {
    let start = Instant::now();
    for number in 0.. {
        let said = create(cluster, namespace, &format!("web-{number}"), images());
        let is_asked = if is_open { failed_open(cluster, namespace) } else { said.exit != 0 };
        if is_asked || start.elapsed() > Duration::from_secs(10) {
            return said;
        }
    }
    unreachable!()
}

#[test]
fn an_api_server_that_is_killed_comes_back_with_what_it_had() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.namespaces(&["kept".to_owned()], &[String::new()]);
    assert_eq!(create(&cluster, "kept", "web", images()).exit, 0);
    cluster.kill_api();
    let said = cluster.kubectl(Person::Tenant, "kept", &["get", "pod", "web"], "");
    assert!(said.exit == 1 && said.stderr.contains("refused"), "{said:?}");
    let start = Instant::now();
    cluster.start_api();
    eprintln!("the API server was back after {:?}", start.elapsed());
    let said = cluster.kubectl(Person::Tenant, "kept", &["get", "pod", "web", "-o", "name"], "");
    assert_eq!(said.stdout, "pod/web\n", "{said:?}");
}

#[test]
fn a_choke_point_that_is_gone_refuses_and_one_that_is_back_decides() {
    if !WEBHOOK_IS_THERE {
        eprintln!("\n*** SKIPPED: WEBHOOK_IS_THERE is false; NOTHING was killed ***\n");
        return;
    }
    let Some(cluster) = cluster() else { return };
    let world = World::start(cluster, images(), "gone", &[case("the only one")], true);
    let create = |name: &str| create(cluster, "gone-00", name, images());
    assert_eq!(create("before").exit, 0);
    world.webhook().kill();
    let said = create("during");
    assert!(said.exit == 1 && said.stderr.contains("failed calling webhook"), "{said:?}");
    let start = Instant::now();
    world.webhook().run();
    eprintln!("ready again after {:?}", start.elapsed());
    let said = create("after");
    assert_eq!(said.exit, 0, "{said:?}");
    assert_eq!(world.webhook().terminate(), Some(0), "it drains, and ends well");
    world.webhook().run();
    let replayed = world.webhook().check_log();
    assert!(replayed.contains("2 replayed, byte for byte the same"), "{replayed}");
}
