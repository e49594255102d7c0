//! The webhook's certificate ends, and another comes, while the API server is connected.

use std::process::Command;
use std::time::{Duration, Instant};

use super::balancer::Balancer;
use super::load::{during, tell};
use super::site::{Site, has, wait};
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::webhook::FAKETIME;
use crate::{cluster, images};

/// A certificate of the webhooks' authority, for so many seconds from now.
fn issue(site: &Site<'_>, seconds: u32) {
    let folder = &site.webhook.folder;
    let authority = |what: &str| site.cluster.folder.text(&format!("webhook-serving.{what}"));
    let words = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -CA {} -CAkey {} -keyout {} -out {} -days 1 \
         -subj /CN=localhost -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth \
         -addext subjectAltName=DNS:localhost",
        authority("pem"),
        authority("key"),
        folder.text("new.key"),
        folder.text("new.pem")
    );
    // openssl can say from when on only by the clock
    let output = Command::new("openssl")
        .args(words.split_whitespace())
        .env("LD_PRELOAD", FAKETIME)
        .env("FAKETIME", format!("-{}", 86_400 - seconds))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in ["key", "pem"] {
        let (new, at) = (folder.at(&format!("new.{part}")), folder.at(&format!("own.{part}")));
        std::fs::rename(new, at).unwrap();
    }
}

const LEFT: &str = "portcullis_certificate_expiry_seconds ";

#[test]
fn a_certificate_that_ended_is_named_and_the_next_one_counts_without_a_restart() {
    let Some(cluster) = cluster() else { return };
    if !has("faketime", FAKETIME) {
        return;
    }
    let site = Site::lay_out(cluster, "expired", &[("shop", "prod/shop")]);
    let folder = &site.webhook.folder;
    let shared = |what: &str| cluster.folder.text(&format!("webhook.{what}"));
    let config = folder.read("serve.yaml");
    let config = config.replace(&shared("pem"), "own.pem").replace(&shared("key"), "own.key");
    folder.write("serve.yaml", &config);
    issue(&site, 15);
    site.webhook.run();
    // one connection after another can be ended here; whether it is ready is not asked
    let balancer = Balancer::start(&[(site.webhook.ports().0, 0)]);
    site.register(&balancer.url(), |hook| hook);
    site.admits("shop");
    assert!(site.ready().unwrap().1.contains("the certificate ends in 0 h"), "{:?}", site.ready());
    site.wait_unready("the certificate ended at ");
    assert!(site.metric(LEFT) < 0.0, "{}", site.metric(LEFT));
    // a certificate is shown when a connection begins: who is connected goes on
    site.admits("shop");
    balancer.cut();
    site.refuses("shop", &["failed calling webhook", "certificate has expired"]);
    issue(&site, 3600);
    let start = Instant::now();
    let said = site.wait_ready();
    wait("it admits again", || site.create("shop", &Spec::of(&[&images().good[0]]).pod("after-")).exit == 0);
    eprintln!("another certificate: ready after {said:.2?}, admitted after {:.2?}", start.elapsed());
    assert!(site.metric(LEFT) > 3000.0);
    site.wait_event(&["\"reloaded\"", "\"certificate\""]);
    let answers = during(cluster, "expired-shop", &Spec::of(&[&images().good[0]]).pod("load-{n}"), |sent| {
        wait("some was sent", || sent() > 20);
        issue(&site, 7200);
        wait("the next one is in force", || site.metric(LEFT) > 6000.0);
        balancer.cut();
        std::thread::sleep(Duration::from_secs(1));
    });
    tell("a certificate replaced under load, and every connection cut", &answers);
    let wrong = answers.iter().filter(|answer| answer.body.contains("certificate")).count();
    assert_eq!(wrong, 0, "nobody saw a certificate that does not count");
    site.admits("shop");
}

/// Half of a new pair, or another's key: the last good one stays.
#[test]
fn a_pair_that_does_not_fit_leaves_the_last_good_one() {
    let Some(cluster) = cluster() else { return };
    if !has("faketime", FAKETIME) {
        return;
    }
    let site = Site::lay_out(cluster, "unfit", &[("shop", "prod/shop")]);
    let folder = &site.webhook.folder;
    let shared = |what: &str| cluster.folder.text(&format!("webhook.{what}"));
    let config = folder.read("serve.yaml");
    folder.write("serve.yaml", &config.replace(&shared("pem"), "own.pem").replace(&shared("key"), "own.key"));
    issue(&site, 3600);
    site.webhook.run();
    site.register(&site.webhook.url("validate"), |hook| hook);
    let good = folder.read("own.key");
    folder.write("own.key", &cluster.folder.read("webhook.key"));
    site.wait_event(&["\"reload-refused\"", "\"certificate\""]);
    site.admits("shop");
    assert!(site.ready().unwrap().0);
    folder.write("own.key", &good);
    site.webhook.await_reload();
    site.admits("shop");
}
