//! Webhooks that misbehave, as the API server sees them.

use std::time::{Duration, Instant};

use crate::kubernetes::cluster::{Cluster, Person, Said};
use crate::kubernetes::fixtures::Images;
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::other::{Manner, Other};
use crate::kubernetes::register::{Hook, register};
use crate::kubernetes::schema::at;
use crate::{cluster, images};

fn create(cluster: &Cluster, namespace: &str, name: &str, images: &Images) -> Said {
    let pod = Spec::of(&[&images.good[0]]).pod(name);
    cluster.kubectl(Person::Tenant, namespace, &["create", "-f", "-"], &pod)
}

/// Whether the audit log says that the API server went on without this webhook.
pub fn failed_open(cluster: &Cluster, namespace: &str) -> bool {
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
    let mut number = 0;
    loop {
        let said = create(cluster, namespace, &format!("web-{number}"), images());
        let is_asked = if is_open { failed_open(cluster, namespace) } else { said.exit != 0 };
        if is_asked || start.elapsed() > Duration::from_secs(10) {
            return said;
        }
        number += 1;
    }
}
