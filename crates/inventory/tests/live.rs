//! What clusters report, what nobody decided, and what happens to damaged files.

mod generated;

use std::fs;

use attest::Digest;
use generated::{Generated, artifact, at, leaf, record};
use inventory::{Inventory, InventoryError, Live, LivePages, Notice, Observation, Source, Subject};

const WEB: &str = "eu-1/shop/Deployment/web";

fn seen(instance: &str, digest: Option<Digest>, since: i64) -> Observation {
    Observation {
        cluster: "eu-1".to_owned(),
        instance: instance.to_owned(),
        environment: "prod/shop".to_owned(),
        workload: WEB.to_owned(),
        image: "registry.acme.example/web".to_owned(),
        digest,
        node: Some("node-a".to_owned()),
        since: at(since),
    }
}

/// Artifact 1 is admitted for web at 10, artifact 2 is refused at 20, artifact 3 is admitted elsewhere at 30, artifact 4 for a
/// host that nothing watches at 40.
fn log() -> Generated {
    let mut refused = record(20, &artifact(2), Some(WEB.to_owned()), "prod/shop");
    refused.decision = "reject".to_owned();
    let records = [
        record(10, &artifact(1), Some(WEB.to_owned()), "prod/shop"),
        refused,
        record(30, &artifact(3), Some("eu-1/test/Deployment/web".to_owned()), "test/shop"),
        record(40, &artifact(4), None, "hosts/edge"),
    ];
    Generated::of_leaves(records.iter().map(leaf).collect())
}

async fn all(mut pages: LivePages<'_>) -> Vec<Live> {
    let mut found = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        found.extend(page);
    }
    found
}

async fn world() -> (tempfile::TempDir, Inventory) {
    let dir = tempfile::tempdir().unwrap();
    let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
    let log = log();
    inventory.follow(&log, &log.checkpoint(4), &mut |_| {}).await.unwrap();
    (dir, inventory)
}

async fn undecided(inventory: &Inventory) -> Vec<String> {
    let name = |live: Live| match live.source {
        Source::Observed { instance, .. } => instance,
        Source::Admitted => panic!("what was admitted was decided: {live:?}"),
    };
    all(inventory.undecided()).await.into_iter().map(name).collect()
}

#[tokio::test]
async fn what_runs_and_nobody_decided_is_named() {
    let (_dir, inventory) = world().await;
    inventory.observe(&seen("a/web", Some(artifact(1)), 100)).await.unwrap();
    assert_eq!(undecided(&inventory).await, [""; 0]);
    // a digest that was refused, one that was admitted elsewhere, one that nobody asked for, one that nobody knows
    inventory.observe(&seen("b/web", Some(artifact(2)), 100)).await.unwrap();
    inventory.observe(&seen("c/web", Some(artifact(3)), 100)).await.unwrap();
    inventory.observe(&seen("d/web", Some(artifact(9)), 100)).await.unwrap();
    inventory.observe(&seen("e/web", None, 100)).await.unwrap();
    // admitted for this digest and environment, and for another workload
    let other = Observation {
        workload: "eu-1/shop/Deployment/other".to_owned(),
        ..seen("f/web", Some(artifact(1)), 100)
    };
    inventory.observe(&other).await.unwrap();
    assert_eq!(undecided(&inventory).await, ["b/web", "c/web", "d/web", "e/web", "f/web"]);
    inventory.gone("eu-1", "b", at(110)).await.unwrap();
    assert_eq!(undecided(&inventory).await, ["c/web", "d/web", "e/web", "f/web"]);
}

#[tokio::test]
async fn an_admission_after_the_start_admits_nothing_that_had_started() {
    let (_dir, inventory) = world().await;
    // two clocks may differ by a minute, and no more
    inventory.observe(&seen("early/web", Some(artifact(1)), 10 - 61)).await.unwrap();
    inventory.observe(&seen("skewed/web", Some(artifact(1)), 10 - 60)).await.unwrap();
    assert_eq!(undecided(&inventory).await, ["early/web"]);
}

#[tokio::test]
async fn a_cluster_that_reports_speaks_for_itself_and_a_host_by_what_was_admitted() {
    let (_dir, inventory) = world().await;
    let names = |live: Vec<Live>| -> Vec<(String, Option<u64>, bool)> {
        let one = |l: Live| (l.environment, l.decided, matches!(l.source, Source::Observed { .. }));
        live.into_iter().map(one).collect()
    };
    let before = names(all(inventory.live(None)).await);
    let admitted = |environment: &str, index| (environment.to_owned(), Some(index), false);
    assert_eq!(before, [admitted("prod/shop", 0), admitted("test/shop", 2), admitted("hosts/edge", 3)]);
    inventory.observe(&seen("a/web", Some(artifact(1)), 100)).await.unwrap();
    let now = names(all(inventory.live(None)).await);
    assert_eq!(now, [("prod/shop".to_owned(), Some(0), true), admitted("hosts/edge", 3)]);
    // before it reported, what was admitted is all that is known
    assert_eq!(names(all(inventory.live(Some(at(99)))).await), before);
    assert_eq!(names(all(inventory.live(Some(at(25)))).await), [admitted("prod/shop", 0)]);
    inventory.gone("eu-1", "a/web", at(200)).await.unwrap();
    assert_eq!(names(all(inventory.live(None)).await), [admitted("hosts/edge", 3)]);
    assert_eq!(names(all(inventory.live(Some(at(150)))).await), now, "it ran then");
    let one = names(all(inventory.live(Some(at(150))).of_environment("prod/shop")).await);
    assert_eq!(one, [("prod/shop".to_owned(), Some(0), true)]);
}

#[tokio::test]
async fn a_book_that_came_into_force_runs_nowhere() {
    let mut book = record(10, &artifact(1), None, "portcullis/prod");
    book.chokepoint = chokepoint::OF_FILES.to_owned();
    let host = record(20, &artifact(2), None, "hosts/edge");
    let log = Generated::of_leaves([book, host].iter().map(leaf).collect());
    let dir = tempfile::tempdir().unwrap();
    let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
    inventory.follow(&log, &log.checkpoint(2), &mut |_| {}).await.unwrap();
    let live = all(inventory.live(None)).await;
    assert_eq!(live.iter().map(|l| l.environment.as_str()).collect::<Vec<_>>(), ["hosts/edge"]);
    assert_eq!(inventory.running(&artifact(1), 10).await.unwrap(), []);
    assert_eq!(inventory.running(&artifact(2), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_whole_report_ends_what_is_not_in_it_and_repeats_nothing() {
    let (_dir, inventory) = world().await;
    let both = [seen("a/web", Some(artifact(1)), 50), seen("b/web", Some(artifact(1)), 50)];
    inventory.observed_all("eu-1", &both, at(60)).await.unwrap();
    inventory.observed_all("eu-1", &both, at(70)).await.unwrap();
    assert_eq!(all(inventory.live(Some(at(65))).of_environment("prod/shop")).await.len(), 2);
    // b was started anew with other bytes, a is gone
    let anew = [seen("b/web", Some(artifact(9)), 75)];
    inventory.observed_all("eu-1", &anew, at(80)).await.unwrap();
    let now = all(inventory.live(None).of_environment("prod/shop")).await;
    assert_eq!((now.len(), now[0].digest.clone()), (1, Some(artifact(9))));
    let all_of_it = inventory.instances(&Subject::Workload(WEB.to_owned()), 100).await.unwrap();
    assert_eq!(all_of_it.len(), 3);
    assert_eq!(all_of_it.iter().filter(|i| i.until == Some(at(80))).count(), 2);
    let clusters = inventory.clusters().await.unwrap();
    assert_eq!((clusters[0].since, clusters[0].heard), (at(60), at(80)));
}

#[tokio::test]
async fn more_than_a_page_is_read_page_by_page() {
    let (_dir, inventory) = world().await;
    let many: Vec<Observation> =
        (0..2500).map(|n| seen(&format!("{n:05}/web"), Some(artifact(1)), 50)).collect();
    inventory.observed_all("eu-1", &many, at(60)).await.unwrap();
    let (mut sizes, mut pages) = (Vec::new(), inventory.live(None));
    while let Some(page) = pages.next().await.unwrap() {
        sizes.push(page.len());
    }
    assert_eq!(sizes, [1000, 1000, 500, 1], "no page is larger, and the host comes last");
}

#[tokio::test]
async fn a_damaged_index_is_made_again_and_observations_stay() {
    let (dir, inventory) = world().await;
    inventory.observe(&seen("a/web", Some(artifact(1)), 100)).await.unwrap();
    inventory.close().await;
    let index = dir.path().join("index.sqlite");
    let noise: Vec<u8> = (0..8192_u32).map(|n| (n * 7 % 251) as u8).collect();
    for damage in [&b"noise"[..], &[0; 8192], &noise] {
        fs::remove_file(dir.path().join("index.sqlite-wal")).ok();
        fs::write(&index, damage).unwrap();
        let (inventory, notices) = Inventory::open(dir.path()).await.unwrap();
        let [Notice::IndexDiscarded { why }] = &notices[..] else { panic!("{notices:?}") };
        assert!(!why.is_empty());
        let log = log();
        let followed = inventory.follow(&log, &log.checkpoint(4), &mut |_| {}).await.unwrap();
        assert_eq!((followed.from, followed.size), (0, 4));
        assert_eq!(all(inventory.live(None)).await.len(), 2, "what was observed is still there");
        inventory.close().await;
    }
}

#[tokio::test]
async fn damaged_observations_are_put_aside_and_told() {
    let (dir, inventory) = world().await;
    inventory.observe(&seen("a/web", Some(artifact(1)), 100)).await.unwrap();
    inventory.close().await;
    let observed = dir.path().join("observed.sqlite");
    fs::remove_file(dir.path().join("observed.sqlite-wal")).ok();
    fs::write(&observed, b"noise that is no database at all, and long enough for a header of it ....")
        .unwrap();
    let (inventory, notices) = Inventory::open(dir.path()).await.unwrap();
    let [Notice::ObservationsDamaged { kept, .. }] = &notices[..] else { panic!("{notices:?}") };
    assert!(fs::read(kept).unwrap().starts_with(b"noise"), "it is kept for whoever looks into it");
    assert!(notices[0].to_string().contains("not in any log"), "{}", notices[0]);
    assert_eq!(
        inventory.decisions(&Subject::Digest(artifact(1)), 9).await.unwrap().count,
        1,
        "the index is whole"
    );
    assert_eq!(inventory.instances(&Subject::Digest(artifact(1)), 9).await.unwrap(), []);
}

#[tokio::test]
async fn whoever_only_reads_is_told_of_damage_at_once() {
    let (dir, inventory) = world().await;
    inventory.close().await;
    fs::write(dir.path().join("observed.sqlite"), "no database, and long enough to be seen as none").unwrap();
    let began = std::time::Instant::now();
    let opened = Inventory::open_to_read(dir.path()).await;
    assert!(matches!(opened, Err(InventoryError::Damaged(_))), "{opened:?}");
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn observations_that_were_cut_to_nothing_are_told_too() {
    let (dir, inventory) = world().await;
    inventory.close().await;
    for left in [&b"short"[..], &[0; 4096]] {
        fs::remove_file(dir.path().join("observed.sqlite-wal")).ok();
        fs::write(dir.path().join("observed.sqlite"), left).unwrap();
        let (inventory, notices) = Inventory::open(dir.path()).await.unwrap();
        inventory.close().await;
        assert!(matches!(&notices[..], [Notice::ObservationsDamaged { .. }]), "{notices:?}");
    }
}

#[tokio::test]
async fn one_process_keeps_it_and_others_read() {
    let (dir, inventory) = world().await;
    assert!(matches!(Inventory::open(dir.path()).await, Err(InventoryError::InUse(_))));
    let reader = Inventory::open_to_read(dir.path()).await.unwrap();
    inventory.observe(&seen("a/web", Some(artifact(1)), 100)).await.unwrap();
    assert_eq!(all(reader.live(None)).await, all(inventory.live(None)).await);
    let refused = reader.observe(&seen("b/web", None, 1)).await.unwrap_err();
    assert!(matches!(refused, InventoryError::OnlyToRead));
    let nowhere = tempfile::tempdir().unwrap();
    assert!(matches!(Inventory::open_to_read(nowhere.path()).await, Err(InventoryError::Io(..))));
}
