//! The choke point is killed, and told to end, while Pods are created.

use std::time::{Duration, Instant};

use attest::Json;

use super::balancer::Balancer;
use super::load::{during, tell};
use super::records::check;
use super::site::{Site, wait};
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::schema::at;
use crate::kubernetes::webhook::{Claim, Webhook};
use crate::{cluster, images};

fn load() -> String {
    Spec::of(&[&images().good[0]]).pod("load-{n}")
}

#[test]
fn killed_under_load_it_loses_nothing_that_it_said_and_nobody_goes_past_it() {
    let Some(cluster) = cluster() else { return };
    let site = Site::start(cluster, "killed", &[("shop", "prod/shop")]);
    let mut back = Vec::new();
    let answers = during(cluster, &site.namespace("shop"), &load(), |sent| {
        for _ in 0..3 {
            let before = sent();
            wait("more was sent", || sent() > before + 40);
            site.webhook.kill();
            site.refuses("shop", &["failed calling webhook", "connection refused"]);
            let start = Instant::now();
            site.webhook.run();
            back.push(start.elapsed());
            site.admits("shop");
        }
    });
    tell("killed three times", &answers);
    eprintln!("ready again after {back:?}");
    let (heard, records) = check(&site, &site.namespace("shop"));
    let created = answers.iter().filter(|answer| answer.is_created());
    for answer in created {
        let name = format!("load-{}", answer.number);
        let is_on_record = heard.values().any(|one| one.pod == name && one.status == 201);
        assert!(is_on_record, "{name} was created without a record");
    }
    for answer in answers.iter().filter(|answer| !answer.is_created()) {
        let why = &answer.body;
        assert!(answer.status == 500 && why.contains("failed calling webhook"), "{}: {why}", answer.status);
    }
    assert!(records.len() >= heard.len());
}

#[test]
fn told_to_end_it_answers_what_is_under_way() {
    let Some(cluster) = cluster() else { return };
    let site = Site::start(cluster, "drained", &[("shop", "prod/shop")]);
    let answers = during(cluster, &site.namespace("shop"), &load(), |sent| {
        wait("some was sent", || sent() > 40);
        let start = Instant::now();
        assert_eq!(site.webhook.terminate(), Some(0), "it drains, and ends well");
        eprintln!("it ended {:.2} s after it was told", start.elapsed().as_secs_f64());
        site.webhook.run();
        site.admits("shop");
    });
    tell("told to end, alone, and started again", &answers);
    for answer in answers.iter().filter(|answer| !answer.is_created()) {
        let is_late = ["connection refused", "connection reset"].iter().any(|why| answer.body.contains(why));
        assert!(is_late, "{}: {}", answer.status, answer.body);
    }
    let (heard, records) = check(&site, &site.namespace("shop"));
    let shop = |record: &&Json| at(record, &["environment"]) == Some(&Json::from("prod/shop"));
    // nothing that was begun is cut off: who comes too late finds nobody, and nothing was decided for him
    assert_eq!(records.iter().filter(shop).count(), heard.len());
}

/// Both are replaced, one after the other, as a StatefulSet does it.
#[test]
fn with_two_of_them_a_rolling_restart_loses_no_request() {
    let Some(cluster) = cluster() else { return };
    let site = Site::lay_out(cluster, "rolling", &[("shop", "prod/shop")]);
    let claims = [Claim::new(&site.namespace("shop"), "prod/shop")];
    let second = Webhook::lay_out(cluster, images(), &claims);
    site.webhook.run();
    second.run();
    let balancer = Balancer::start(&[site.webhook.ports(), second.ports()]);
    site.register(&balancer.url(), |hook| hook);
    let answers = during(cluster, &site.namespace("shop"), &load(), |sent| {
        for webhook in [&site.webhook, &second] {
            let before = sent();
            wait("more was sent", || sent() > before + 40);
            assert_eq!(webhook.terminate(), Some(0));
            webhook.run();
            // a Service looks now and then
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    tell("two of them, restarted one after the other", &answers);
    let lost = answers.iter().find(|answer| !answer.is_created());
    assert!(lost.is_none(), "{lost:?}");
    for webhook in [&site.webhook, &second] {
        webhook.check_log();
    }
}
