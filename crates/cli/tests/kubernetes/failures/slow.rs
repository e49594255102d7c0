//! The choke point stands still for some seconds, as a process without a processor or with a dead disk does.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::misbehaving::failed_open;
use super::records::check;
use super::site::{Site, wait};
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::register::{Hook, register};
use crate::{cluster, images};

const TIMEOUT: u32 = 2;

#[test]
fn one_that_stands_still_refuses_in_time_or_leaves_a_trace_and_goes_on() {
    let Some(cluster) = cluster() else { return };
    let site = Site::lay_out(cluster, "still", &[("shop", "prod/shop"), ("open", "prod/shop")]);
    site.webhook.run();
    site.register(&site.webhook.url("validate"), |hook| hook.within(TIMEOUT));
    // the same choke point, and a namespace that is asked about under `Ignore`
    let open = Hook::validating("still-opened", "still-opened.portcullis.dev", &site.webhook.url("validate"));
    register(cluster, &open.within(TIMEOUT).fail_open());
    cluster.prepare(&["label", "--overwrite", "namespace", "still-open", "world=still-opened"], "");
    let bad = Spec::of(&[&images().unsigned]);
    wait("the second is in force", || site.create("open", &bad.pod("bad-")).exit != 0);
    site.admits("shop");
    site.webhook.signal(Signal::STOP);
    let start = Instant::now();
    site.refuses("shop", &["failed calling webhook", "context deadline exceeded"]);
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(TIMEOUT.into()), "{took:?}");
    let said = site.create("open", &bad.pod("past"));
    assert_eq!(said.exit, 0, "{}", said.stderr);
    assert!(failed_open(cluster, "still-open"), "the audit log says that nobody judged it");
    site.webhook.signal(Signal::CONT);
    let start = Instant::now();
    wait("it admits again", || site.create("shop", &Spec::of(&[&images().good[0]]).pod("after-")).exit == 0);
    eprintln!("refused after {took:.2?}; {:.2?} after it went on, it answered", start.elapsed());
    assert_eq!(site.create("open", &bad.pod("bad-")).exit, 1);
    let late =
        ["late", "answered"].map(|end| site.metric(&format!("portcullis_requests_total{{end=\"{end}\"}}")));
    eprintln!("requests that were late: {}, answered: {}", late[0], late[1]);
    check(&site, "still-shop");
}
