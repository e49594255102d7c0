//! A grant while parts of our own are down: what holds, and what does not.

use attest::Digest;
use jiff::{SignedDuration, Timestamp};

use super::records::check;
use super::site::{Site, has};
use crate::kubernetes::cluster::Person;
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::webhook::FAKETIME;
use crate::{cluster, images};

#[allow(clippy::disallowed_methods, reason = "a test's own clock")]
fn clock() -> Timestamp {
    Timestamp::now()
}

#[test]
fn a_grant_holds_where_it_can_be_read_and_recorded_and_nowhere_else() {
    let Some(cluster) = cluster() else { return };
    if !has("faketime", FAKETIME) {
        return;
    }
    let mut site = Site::lay_out(cluster, "glass", &[("shop", "prod/shop")]);
    site.webhook = site.webhook.with_a_clock();
    site.webhook.run();
    site.register(&site.webhook.url("validate"), |hook| hook);
    let hour = SignedDuration::from_hours(1);
    let grant = images().grant("sam", "glass", "prod/shop", clock() - hour, clock() + hour);
    site.webhook.put_grant(&grant);
    let named = Digest::sha256(grant.as_bytes()).to_string();
    let bad = Spec::of(&[&images().unsigned]).annotation("portcullis.dev/breakglass", &named).pod("glass-");
    let holds = |what: &str| {
        let said = site.create("shop", &bad);
        assert_eq!(said.exit, 0, "{what}: {}", said.stderr);
        assert!(said.stderr.contains("breakglass"), "{what}: {}", said.stderr);
        site.is_annotated("shop", "basis", "=breakglass");
        eprintln!("a grant holds: {what}");
    };
    let fails = |what: &str, words: &[&str]| {
        site.is_refused(&site.create("shop", &bad), words);
        eprintln!("a grant does not hold: {what}");
    };
    holds("everything is well");
    // a book and a trust root that do not load
    site.webhook.write_policy("prod/shop", "prod-shop", "mode: nonsense\n");
    site.webhook.write_trust_root("version: nonsense\n");
    holds("book and trust root do not load");
    site.webhook.write_policy("prod/shop", "prod-shop", crate::kubernetes::webhook::REQUIRED);
    site.webhook.write_trust_root(&images().trust_root(false));
    // nobody can say whether it has ended
    site.webhook.step_clock(-3600);
    fails("the clock went back", &["error[cannot-decide]", "the clock says"]);
    site.webhook.step_clock(0);
    let folder = &site.webhook.folder;
    std::fs::rename(folder.at("evidence"), folder.at("aside")).unwrap();
    folder.write("evidence", "no folder");
    fails("the store where it lies does not answer", &["error[cannot-decide]", "the evidence store"]);
    std::fs::remove_file(folder.at("evidence")).unwrap();
    std::fs::rename(folder.at("aside"), folder.at("evidence")).unwrap();
    holds("the store is back");
    site.webhook.kill();
    fails("nobody is there", &["failed calling webhook"]);
    let configuration = format!("validatingwebhookconfiguration/glass-{}", site.hook());
    let tenant = cluster.kubectl(Person::Tenant, "", &["delete", &configuration], "");
    assert!(tenant.exit == 1 && tenant.stderr.contains("forbidden"), "{tenant:?}");
    cluster.prepare(&["delete", &configuration], "");
    super::site::wait("without the webhook nobody is asked", || site.create("shop", &bad).exit == 0);
    eprintln!("with nobody there, who may delete the webhook opens it, and the audit log says who did");
    site.webhook.run();
    site.register(&site.webhook.url("validate"), |hook| hook);
    holds("the webhook is back");
    check(&site, "glass-shop");
}
