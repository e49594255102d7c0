//! The choke point's clock is stepped.

use super::records::check;
use super::site::{Site, has, wait};
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::webhook::{Claim, FAKETIME, REQUIRED};
use crate::{cluster, images};

const HOUR: i64 = 3600;

fn site(cluster: &'static crate::kubernetes::cluster::Cluster, name: &'static str) -> Site<'static> {
    let mut claims = ["shop", "brief"].map(|place| Claim::new(&format!("{name}-{place}"), "prod/shop"));
    claims[1].environment = format!("own/{name}");
    // what was built longer ago than this is not admitted
    claims[1].policy =
        Some(BRIEF.get_or_init(|| REQUIRED.replace("require:", "require:\n  built-within: 45m")));
    let mut site = Site::with_policies(cluster, name, &claims);
    site.webhook = site.webhook.with_a_clock();
    site.webhook.run();
    site.register(&site.webhook.url("validate"), |hook| hook);
    site.admits("shop");
    site
}

static BRIEF: std::sync::OnceLock<String> = std::sync::OnceLock::new();

#[test]
fn a_clock_that_went_back_decides_nothing_until_it_is_right_again() {
    let Some(cluster) = cluster() else { return };
    if !has("faketime", FAKETIME) {
        return;
    }
    let site = site(cluster, "back");
    site.webhook.step_clock(-HOUR);
    for place in ["shop", "brief"] {
        site.refuses(place, &["error[cannot-decide]", "the clock says", "set the clock"]);
        site.is_annotated(place, "decision", "=cannot-decide");
        site.is_annotated(place, "basis", "=cannot-decide");
    }
    site.webhook.step_clock(0);
    site.wait_ready();
    site.admits("shop");
    site.admits("brief");
    check(&site, "back-shop");
}

#[test]
fn a_clock_that_went_forward_makes_evidence_old_and_holds_until_time_has_caught_up() {
    let Some(cluster) = cluster() else { return };
    if !has("faketime", FAKETIME) {
        return;
    }
    let site = site(cluster, "forward");
    site.admits("brief");
    site.webhook.step_clock(HOUR);
    // what has no limit in time is as it was; what has one is older than it was
    site.refuses("brief", &["error[built-within]"]);
    site.admits("shop");
    site.webhook.step_clock(0);
    // a record says that it has been later: nobody knows which of the two is the time
    let said = site.refuses(
        "shop",
        &["error[cannot-decide]", "the clock says", "the newest record is of", "set the clock"],
    );
    eprintln!("after an hour too late: {}", said.stderr.trim());
    site.webhook.step_clock(HOUR);
    wait("it has caught up", || site.create("shop", &Spec::of(&[&images().good[0]]).pod("after-")).exit == 0);
    check(&site, "forward-shop");
}
