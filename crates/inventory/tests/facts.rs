//! What proven evidence says, and everything that came from the same commit, builder, key or base.

mod generated;

use std::collections::BTreeSet;

use attest::claims::{REVIEW, Review};
use attest::provenance::SLSA_V1;
use chokepoint::Record;
use generated::{
    Generated, OFFICIAL, artifact, at, base, case, commit, key, leaf, provenance, record, repository, signed,
};
use inventory::{Fact, FactKind, From, Inventory};
use policy::Submitted;

fn built(seed: u8, number: u64) -> Submitted {
    signed(seed, &artifact(number), SLSA_V1, provenance(number, 3).to_slsa_v1())
}

fn review(number: u64, of: u64) -> Submitted {
    let review = Review {
        repository: repository(number % 3),
        base: None,
        authors: vec!["alice@acme.example".to_owned()],
        reviewers: vec!["bob@acme.example".to_owned()],
        reviewed: at(-100),
    };
    signed(2, &commit(of), REVIEW, review.to_json())
}

/// Twelve artifacts, each decided once with its provenance and a review of its commit.
fn world(evidence: impl Fn(u64) -> Vec<Submitted>) -> (Generated, Vec<Record>) {
    let blobs = Generated::of_leaves(Vec::new());
    let records: Vec<Record> = (0..12)
        .map(|n| {
            let workload = format!("eu-1/shop/Deployment/web-{n}");
            let mut record = record(n, &artifact(n), Some(workload), "prod/shop");
            record.case = case(&blobs, &artifact(n), evidence(n));
            record
        })
        .collect();
    let log = Generated::of_leaves(records.iter().map(leaf).collect());
    *log.blobs.lock().unwrap() = std::mem::take(&mut *blobs.blobs.lock().unwrap());
    (log, records)
}

async fn followed(log: &Generated, dir: &tempfile::TempDir) -> (Inventory, u64) {
    let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
    let followed = inventory.follow(log, &log.checkpoint(log.size), &mut |_| {}).await.unwrap();
    (inventory, followed.unread)
}

async fn found(inventory: &Inventory, from: From) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    inventory.deployed(&from, None, &mut |d| assert!(found.insert(d.newest))).await.unwrap();
    found
}

#[tokio::test]
async fn everything_from_one_place_is_found_by_every_name_of_it() {
    let (log, _) = world(|n| vec![built(1, n), review(n, n - n % 3 % 2)]);
    let dir = tempfile::tempdir().unwrap();
    let (inventory, unread) = followed(&log, &dir).await;
    assert_eq!(unread, 0);
    let where_ = |is: &dyn Fn(u64) -> bool| (0..12).filter(|n| is(*n)).collect::<BTreeSet<u64>>();
    let of = |n: u64| n - n % 3 % 2;
    let hex = commit(3).hex();
    for id in [hex.clone(), hex[..7].to_owned()] {
        assert_eq!(found(&inventory, From::Commit(id)).await, where_(&|n| of(n) == 3));
    }
    assert_eq!(where_(&|n| of(n) == 3).len(), 2, "two artifacts of one commit");
    assert_eq!(found(&inventory, From::Repository(repository(1))).await, where_(&|n| n % 3 == 1));
    for name in ["official-ci", OFFICIAL] {
        assert_eq!(found(&inventory, From::Builder(name.to_owned())).await.len(), 12);
    }
    let id = attest::Signer::public(&key(1)).id();
    for name in [id.as_str(), &id[..9], "official-ci", "forge"] {
        assert_eq!(found(&inventory, From::Key(name.to_owned())).await.len(), 12, "{name}");
    }
    assert_eq!(found(&inventory, From::Base(base(2))).await, where_(&|n| n % 5 == 2));
    assert_eq!(
        found(&inventory, From::Base(base(1001))).await,
        where_(&|n| n % 2 == 1),
        "a tool is an input"
    );
    for nothing in [
        From::Commit("abcdef0".to_owned()),
        From::Repository("https://git.acme.example/team-1".to_owned()),
        From::Builder("other-ci".to_owned()),
        From::Key(attest::Signer::public(&key(3)).id()),
        From::Base(base(77)),
    ] {
        assert_eq!(found(&inventory, nothing.clone()).await, BTreeSet::new(), "{nothing:?}");
    }
    let sharing = inventory.sharing(FactKind::Commit, &commit(3).hex(), 10).await.unwrap();
    assert_eq!(BTreeSet::from_iter(sharing), BTreeSet::from([artifact(3), artifact(4)]));
}

#[tokio::test]
async fn facts_are_complete_and_say_who_reviewed() {
    let (log, _) = world(|n| vec![built(1, n), review(n, n - n % 3 % 2)]);
    let dir = tempfile::tempdir().unwrap();
    let (inventory, _) = followed(&log, &dir).await;
    let facts = inventory.facts(&artifact(4)).await.unwrap();
    let value = |kind| -> Vec<(&str, Option<&str>)> {
        let of = |f: &&Fact| f.kind == kind;
        facts.iter().filter(of).map(|f| (f.value.as_str(), f.detail.as_deref())).collect()
    };
    assert_eq!(value(FactKind::Repository), [(repository(1).as_str(), None)]);
    assert_eq!(value(FactKind::Commit), [(commit(3).hex().as_str(), None)]);
    assert_eq!(value(FactKind::Reference), [("refs/heads/main", None)]);
    assert_eq!(value(FactKind::BuilderId), [(OFFICIAL, None)]);
    assert_eq!(value(FactKind::Builder), [("official-ci", None)]);
    assert_eq!(value(FactKind::Signer), [("forge", Some("review")), ("official-ci", Some("provenance"))]);
    assert_eq!(value(FactKind::Dependency), [(base(4).to_string().as_str(), Some("base-image"))]);
    assert_eq!(value(FactKind::Tool), [(base(1000).to_string().as_str(), Some("gcc"))]);
    assert_eq!(value(FactKind::Built), [(at(-3600).to_string().as_str(), None)]);
    assert_eq!(value(FactKind::Reviewer), [("bob", Some(at(-100).to_string().as_str()))]);
}

#[tokio::test]
async fn what_is_not_proven_is_no_fact() {
    // signed by nobody; by a builder for something else; about another artifact; a review of another commit
    let unproven: [fn(u64) -> Vec<Submitted>; 5] = [
        |n| vec![built(9, n)],
        |n| vec![built(3, n)],
        |n| vec![built(1, n + 100)],
        |n| vec![review(n, n)],
        |_| vec![Submitted { name: "noise".to_owned(), bytes: b"noise".to_vec() }],
    ];
    for evidence in unproven {
        let (log, _) = world(evidence);
        let dir = tempfile::tempdir().unwrap();
        let (inventory, unread) = followed(&log, &dir).await;
        assert_eq!(unread, 0);
        for n in 0..12 {
            let facts = inventory.facts(&artifact(n)).await.unwrap();
            let about_build = |f: &&Fact| !matches!(f.kind, FactKind::Key | FactKind::Signer);
            assert_eq!(facts.iter().filter(about_build).count(), 0, "{facts:?}");
        }
        for from in [
            From::Repository(repository(1)),
            From::Builder("official-ci".to_owned()),
            From::Builder(OFFICIAL.to_owned()),
            From::Commit(commit(3).hex()),
            From::Base(base(2)),
        ] {
            assert_eq!(found(&inventory, from).await, BTreeSet::new());
        }
    }
}

#[tokio::test]
async fn what_a_later_case_proves_is_learnt_too() {
    // an artifact that was tried first with nothing, then with what it needed
    let (_, mut records) = world(|_| Vec::new());
    let blobs = Generated::of_leaves(Vec::new());
    records[0].case = case(&blobs, &artifact(0), vec![built(9, 0)]);
    records[1] = record(1, &artifact(0), Some("eu-1/shop/Deployment/web-0".to_owned()), "prod/shop");
    records[1].case = case(&blobs, &artifact(0), vec![built(9, 0), built(1, 0)]);
    records[2].case = case(&blobs, &artifact(2), Vec::new());
    let log = Generated::of_leaves(records[..3].iter().map(leaf).collect());
    *log.blobs.lock().unwrap() = std::mem::take(&mut *blobs.blobs.lock().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (inventory, unread) = followed(&log, &dir).await;
    assert_eq!((unread, inventory.facts(&artifact(0)).await.unwrap().len()), (0, 10));
}
