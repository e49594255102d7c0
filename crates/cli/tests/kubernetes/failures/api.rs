//! The API server is killed, and its store goes back in time; namespaces that are new, and that end.

use std::time::Instant;

use super::load::{during, tell};
use super::records::check;
use super::site::{Site, wait};
use crate::kubernetes::cluster::{Cluster, Person};
use crate::kubernetes::manifest::Spec;
use crate::{cluster, images};

#[test]
fn an_api_server_that_is_killed_and_a_store_that_goes_back_change_no_decision() {
    let Some(cluster) = Cluster::start() else { return };
    let site = Site::start(&cluster, "api", &[("shop", "prod/shop")]);
    let load = Spec::of(&[&images().good[0]]).pod("load-{n}");
    site.admits("shop");
    let answers = during(&cluster, "api-shop", &load, |sent| {
        wait("some was sent", || sent() > 40);
        cluster.kill_api();
        let said = site.kubectl("shop", &["get", "pods"], "");
        assert!(said.exit == 1 && said.stderr.contains("refused"), "{said:?}");
        let start = Instant::now();
        cluster.start_api();
        site.admits("shop");
        eprintln!("the API server was back, and asked us, after {:.2?}", start.elapsed());
        let before = sent();
        wait("more was sent", || sent() > before + 40);
    });
    tell("the API server was killed", &answers);
    assert!(answers.iter().any(|answer| answer.status == 0), "it was gone for a while");
    assert!(answers.last().unwrap().is_created(), "{:?}", answers.last());
    assert!(site.ready().unwrap().0);
    goes_back(&site);
    check(&site, "api-shop");
}

/// etcd has again what it had: objects are gone that were decided about, and the log knows of them.
fn goes_back(site: &Site<'_>) {
    let cluster = site.cluster;
    let bad = Spec::of(&[&images().unsigned]);
    assert_eq!(site.create("shop", &Spec::of(&[&images().good[1]]).workload("Deployment", "kept")).exit, 0);
    cluster.snapshot("before");
    assert_eq!(site.create("shop", &Spec::of(&[&images().good[0]]).pod("lost")).exit, 0);
    let start = Instant::now();
    cluster.restore("before");
    eprintln!("etcd was restored, and the API server ready, after {:.2?}", start.elapsed());
    let gone = site.kubectl("shop", &["get", "pod", "lost"], "");
    assert!(gone.exit == 1 && gone.stderr.contains("not found"), "{gone:?}");
    // the same name with another image is judged anew: that it was once admitted says nothing
    site.is_refused(&site.create("shop", &bad.pod("lost")), &["error[built-by]"]);
    assert_eq!(site.create("shop", &Spec::of(&[&images().good[0]]).pod("lost")).exit, 0);
    assert_eq!(site.kubectl("shop", &["scale", "deployment/kept", "--replicas=2"], "").exit, 0);
    let patch = format!(
        r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"c0","image":"{}"}}]}}}}}}}}"#,
        images().unsigned.reference
    );
    site.is_refused(
        &site.kubectl("shop", &["patch", "deployment/kept", "-p", &patch], ""),
        &["error[built-by]"],
    );
}

#[test]
fn a_namespace_is_judged_from_its_first_moment_to_its_last() {
    let Some(cluster) = cluster() else { return };
    let site = Site::start(cluster, "moment", &[("shop", "prod/shop"), ("late", "prod/shop")]);
    let (good, bad) = (Spec::of(&[&images().good[0]]), Spec::of(&[&images().unsigned]));
    // `late` is in the configuration, and begins again; nobody claimed `other`
    cluster.prepare(&["delete", "namespace", "moment-late", "--wait"], "");
    for place in ["late", "other"] {
        let name = site.namespace(place);
        let namespace = format!(
            r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}","labels":{{"world":"moment"}}}}}}
{{"apiVersion":"v1","kind":"ServiceAccount","metadata":{{"name":"default","namespace":"{name}"}}}}
{}"#,
            if place == "late" { bad.pod("bad") } else { good.pod("good") }
        );
        let args = ["create", "-f", "-"];
        let said = cluster.kubectl(Person::ClusterAdmin, &name, &args, &namespace);
        let rule = if place == "late" { "error[built-by]" } else { "error[policy-missing]" };
        site.is_refused(&said, &[rule]);
    }
    let said =
        cluster.kubectl(Person::ClusterAdmin, "moment-late", &["create", "-f", "-"], &good.pod("good"));
    assert_eq!(said.exit, 0, "{}", said.stderr);
    ends(&site, &good, &bad);
    check(&site, "moment-shop");
}

/// A namespace that ends while something in it stays for a while.
fn ends(site: &Site<'_>, good: &Spec, bad: &Spec) {
    let held = good.clone().metadata("finalizers", r#"["example.com/held"]"#);
    assert_eq!(site.create("shop", &held.pod("held")).exit, 0);
    site.cluster.prepare(&["delete", "namespace", "moment-shop", "--wait=false"], "");
    let admin =
        |args: &[&str], input: &str| site.cluster.kubectl(Person::ClusterAdmin, "moment-shop", args, input);
    wait("it ends", || {
        admin(&["create", "-f", "-"], &good.pod("good-")).stderr.contains("is being terminated")
    });
    let said = admin(&["create", "-f", "-"], &bad.pod("bad-"));
    assert!(said.stderr.contains("is being terminated"), "{said:?}");
    let debug = admin(&["debug", "held", "--image", &images().unsigned.reference], "");
    site.is_refused(&debug, &["error[built-by]"]);
    let said = admin(&["label", "pod", "held", "seen=yes"], "");
    assert_eq!(said.exit, 0, "what runs may be labelled: {}", said.stderr);
    let said = admin(&["patch", "pod", "held", "-p", r#"{"metadata":{"finalizers":null}}"#], "");
    assert_eq!(said.exit, 0, "what ends may end: {}", said.stderr);
}
