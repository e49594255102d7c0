//! Very many Pods at once. `PORTCULLIS_PODS` says how many, `PORTCULLIS_SEED` which, `PORTCULLIS_CONNECTIONS` over
//! how many connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::load::{Answer, Make, percentile, run};
use super::records::check;
use super::site::Site;
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::fixtures::Image;
use crate::kubernetes::manifest::Spec;
use crate::{cluster, images};

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn connections() -> usize {
    usize::try_from(setting("PORTCULLIS_CONNECTIONS", 32)).unwrap()
}

/// Which image a Pod has, and whether that is admitted: a mix of SplitMix64.
fn kind(number: usize, seed: u64) -> (&'static Image, bool) {
    let mut mixed = seed.wrapping_add((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let images = images();
    let all = [
        (&images.good[0], true),
        (&images.good[1], true),
        (&images.good[2], true),
        (&images.leaving, true),
        (&images.unsigned, false),
        (&images.fork, false),
        (&images.unreviewed, false),
        (&images.stranger, false),
        (&images.revoked, false),
        (&images.misled, false),
    ];
    // seven of ten are good
    let place = (mixed ^ (mixed >> 31)) % 20;
    all[if place < 14 { place % 4 } else { 4 + place % 6 } as usize]
}

fn create(cluster: &Cluster, namespace: &str, count: usize, seed: u64) -> (Vec<Answer>, Duration) {
    let manifest = |image: &Image| Spec::of(&[image]).pod("pod-{n}");
    let all: std::collections::BTreeMap<String, String> = {
        let kinds = (0..200).map(|number| kind(number, seed).0);
        kinds.map(|image| (image.reference.clone(), manifest(image))).collect()
    };
    let make: Arc<Make> = Arc::new(move |number| {
        let text = all.get(&kind(number, seed).0.reference).cloned();
        let text = text.unwrap_or_else(|| Spec::of(&[kind(number, seed).0]).pod("pod-{n}"));
        (number < count).then(|| text.replace("{n}", &number.to_string()))
    });
    let start = Instant::now();
    (run(cluster, namespace, connections(), Duration::ZERO, &make), start.elapsed())
}

fn tell(what: &str, answers: &[Answer], took: Duration) {
    let milliseconds = |hundredth| percentile(answers, hundredth).as_secs_f64() * 1000.0;
    let rate = answers.len() as f64 / took.as_secs_f64();
    let (half, nearly_all) = (milliseconds(50), milliseconds(99));
    eprintln!("{what:<20} {rate:>8.0} Pods/s   p50 {half:>7.1} ms   p99 {nearly_all:>7.1} ms");
}

#[test]
fn of_very_many_pods_at_once_each_is_decided_rightly_and_on_record() {
    let Some(cluster) = cluster() else { return };
    let count = usize::try_from(setting("PORTCULLIS_PODS", 500)).unwrap();
    let seed = setting("PORTCULLIS_SEED", 7);
    let site = Site::start(cluster, "many", &[("shop", "prod/shop")]);
    cluster.namespaces(&["many-bare".to_owned()], &[String::new()]);
    // both ways once, so that nothing is the first of its kind
    create(cluster, "many-bare", 1, seed);
    let at_rest = site.webhook.peak_memory();
    let (bare, bare_took) = create(cluster, "many-bare", count, seed.wrapping_add(1));
    let (judged, judged_took) = create(cluster, "many-shop", count, seed);
    eprintln!("{count} Pods over {} connections, seed {seed}:", connections());
    tell("nobody is asked", &bare, bare_took);
    tell("portcullis is asked", &judged, judged_took);
    let memory = site.webhook.peak_memory();
    let mebibytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
    eprintln!("portcullis serve had {:.1} MiB at most, {:.1} at rest", mebibytes(memory), mebibytes(at_rest));
    let admitted = judged.iter().filter(|answer| answer.is_created()).count();
    eprintln!("{admitted} admitted, {} refused", count - admitted);
    for answer in &judged {
        let (image, is_good) = kind(answer.number, seed);
        let is_right = if is_good { answer.status == 201 } else { answer.status == 403 };
        assert!(is_right, "{} with {}: {} {}", answer.number, image.reference, answer.status, answer.body);
        assert!(is_good || answer.body.contains("error["), "{}", answer.body);
    }
    let (heard, records) = check(&site, "many-shop");
    let named: std::collections::BTreeMap<&str, i64> =
        heard.values().map(|one| (one.pod.as_str(), one.status)).collect();
    for answer in &judged {
        let found = named.get(format!("pod-{}", answer.number).as_str());
        assert_eq!(found, Some(&i64::from(answer.status)), "pod-{} has no record", answer.number);
    }
    assert!(records.len() >= count);
    // what the program itself takes differs with how it was built; what requests take does not
    assert!(memory - at_rest < 96 * 1024, "{memory} KiB, and {at_rest} at rest");
}
