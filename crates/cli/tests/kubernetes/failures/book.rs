//! Somebody breaks the book, and brings an old trust root.

use super::records::check;
use super::site::{Site, wait};
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::webhook::REQUIRED;
use crate::{cluster, images};

const STALE: &str = "portcullis_book_stale_seconds ";
const REFUSED: &str = "portcullis_reloads_total{what=\"book\",result=\"refused\"} ";

#[test]
fn a_broken_book_leaves_the_last_good_one_and_a_mended_one_comes_into_force() {
    let Some(cluster) = cluster() else { return };
    let site = Site::start(cluster, "broken", &[("shop", "prod/shop")]);
    let bad = Spec::of(&[&images().unsigned]).pod("bad-");
    site.webhook.write_policy(
        "prod/shop",
        "prod-shop",
        "mode: enforce\nrequire: { nothing-like-this: yes }\n",
    );
    site.wait_event(&["\"reload-refused\"", "nothing-like-this", "prod-shop.yaml"]);
    wait("the number moves", || site.metric(STALE) > 0.0);
    assert!(site.metric(REFUSED) >= 1.0);
    let (is_ready, text) = site.ready().unwrap();
    assert!(is_ready && text.contains("the book on disk is not in force for"), "{text}");
    site.admits("shop");
    let said = site.create("shop", &bad);
    site.is_refused(&said, &["error[built-by]"]);
    // it is mended, and says something else than before
    site.webhook.write_policy("prod/shop", "prod-shop", &REQUIRED.replace("enforce", "dry-run"));
    let took = wait("the mended book is in force", || site.create("shop", &bad).exit == 0);
    eprintln!("the mended book was in force after {took:.2?}");
    wait("nothing is stale", || site.metric(STALE) == 0.0);
    check(&site, "broken-shop");
}

#[test]
fn an_old_trust_root_does_not_come_back_also_after_a_restart() {
    let Some(cluster) = cluster() else { return };
    let site = Site::start(cluster, "rolled", &[("shop", "prod/shop")]);
    let leaving = Spec::of(&[&images().leaving]);
    assert_eq!(site.create("shop", &leaving.pod("before")).exit, 0);
    site.webhook.write_trust_root(&images().trust_root(true));
    let refused = || site.is_refused(&site.create("shop", &leaving.pod("leaving-")), &["lost laptop"]);
    refused();
    let stays = |what: &str| {
        refused();
        site.admits("shop");
        eprintln!("{what}: the newer trust root counts");
    };
    site.webhook.write_trust_root(&images().trust_root(false));
    site.wait_event(&["\"reload-refused\"", "version"]);
    wait("the number moves", || site.metric(STALE) > 0.0);
    stays("an old one on disk");
    site.webhook.write_trust_root("version: nonsense\n");
    stays("a broken one on disk");
    // who could restart it with the old one would have the revoked key back
    site.webhook.write_trust_root(&images().trust_root(false));
    site.webhook.kill();
    let mut process = site.webhook.begin();
    let status = process.wait();
    assert!(!status.success(), "{}", process.tail());
    assert!(process.tail().contains("version"), "{}", process.tail());
    eprintln!("started with the old one, it ends with {status}:\n{}", process.tail());
    site.webhook.write_trust_root(&images().trust_root(true));
    site.webhook.run();
    stays("after the restart");
    check(&site, "rolled-shop");
}
