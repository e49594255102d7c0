//! The evidence store does not answer. Tests run as root, whom no permission stops: the folder is swapped for a file.

use super::records::check;
use super::site::Site;
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::webhook::{Claim, REQUIRED};
use crate::{cluster, images};

static ADMITS: std::sync::OnceLock<String> = std::sync::OnceLock::new();

fn claims() -> Vec<Claim> {
    let admits = ADMITS.get_or_init(|| format!("on-outage: admit\n{REQUIRED}"));
    let mut claims: Vec<Claim> = [("shut", "prod/shop"), ("open", "own/store-open"), ("dry", "dry/shop")]
        .map(|(place, environment)| Claim::new(&format!("store-{place}"), environment))
        .into();
    claims[1].policy = Some(admits);
    claims
}

#[test]
fn a_store_that_does_not_answer_is_an_outage_and_never_an_empty_one() {
    let Some(cluster) = cluster() else { return };
    let site = Site::with_policies(cluster, "store", &claims());
    site.webhook.run();
    site.register(&site.webhook.url("validate"), |hook| hook);
    let good = &images().good[0];
    let named = site.webhook.attach(&good.reference, &good.evidence, None);
    let pod = |name: &str| {
        let spec = Spec::of(&[good]).without_evidence();
        spec.annotation("portcullis.dev/evidence-digest", &named).pod(name)
    };
    let unnamed = |name: &str| Spec::of(&[good]).without_evidence().pod(name);
    for place in ["shut", "open", "dry"] {
        let said = site.create(place, &pod("before"));
        assert_eq!(said.exit, 0, "{}", said.stderr);
    }
    let folder = &site.webhook.folder;
    std::fs::rename(folder.at("evidence"), folder.at("aside")).unwrap();
    folder.write("evidence", "no folder");
    site.wait_warning("the evidence store does not answer");
    for (number, manifest) in [pod("during-1"), unnamed("during-2")].iter().enumerate() {
        let said = site.create("shut", manifest);
        site.is_refused(&said, &["error[cannot-decide]", "the evidence store"]);
        site.is_annotated("shut", "decision", "=cannot-decide");
        if number == 0 {
            eprintln!("{}", said.stderr.trim());
        }
        for (place, basis) in [("open", "outage"), ("dry", "dry-run")] {
            let said = site.create(place, manifest);
            assert_eq!(said.exit, 0, "{place}: {}", said.stderr);
            site.is_annotated(place, "basis", &format!("={basis}"));
        }
    }
    // what runs stays, and may be labelled
    let said = site.kubectl("shut", &["label", "pod", "before", "seen=yes"], "");
    assert_eq!(said.exit, 0, "{}", said.stderr);
    // evidence that travels with the request needs no store
    site.admits("shut");
    site.is_annotated("shut", "basis", "=policy");
    std::fs::remove_file(folder.at("evidence")).unwrap();
    std::fs::rename(folder.at("aside"), folder.at("evidence")).unwrap();
    site.wait_ready();
    assert_eq!(site.create("shut", &pod("after")).exit, 0);
    check(&site, "store-shut");
}
