//! The index says what the log says, however it came by it; and it says when that is another log.

mod generated;

use std::collections::{BTreeMap, BTreeSet};

use attest::{Digest, Json, Object};
use chokepoint::{Event, EventKind, Position, Record};
use generated::{Generated, artifact, at, leaf, mixed, record};
use inventory::{Decided, Deployment, From, Happened, Inventory, InventoryError, Notice, Subject};

/// A history of so many records: few artifacts, workloads and environments, every basis, some without digest or workload.
fn history(seed: u64, size: u64) -> Vec<Record> {
    (0..size)
        .map(|n| {
            let dice = |salt: u64| mixed(seed ^ (n << 8) ^ salt);
            let workload = (dice(1) % 4 != 0).then(|| format!("eu-1/shop/Deployment/web-{}", dice(2) % 5));
            let environment = ["prod/shop", "prod/pay", "test/shop"][(dice(3) % 3) as usize];
            let mut record = record(n, &artifact(dice(4) % 9), workload, environment);
            // times need not be in the order of the log
            record.at = at((n / 3 * 3 + dice(9) % 3) as i64);
            if dice(5).is_multiple_of(4) {
                record.decision = "reject".to_owned();
                record.outcome = "unmet".to_owned();
                record.rules = vec!["signed-by".to_owned(), "tests".to_owned()];
            } else if dice(6).is_multiple_of(9) {
                record.basis = "breakglass".to_owned();
                record.grant = Some(format!("grant-{}", dice(7) % 3));
            }
            if dice(8).is_multiple_of(7) {
                record.digest = None;
                record.artifact = "registry.acme.example/untagged".to_owned();
            }
            record.requester = (dice(10) % 5 != 0).then(|| format!("person-{}@acme.example", dice(10) % 3));
            record
        })
        .collect()
}

fn log(records: &[Record]) -> Generated {
    Generated::of_leaves(records.iter().map(leaf).collect())
}

fn name(record: &Record) -> String {
    record.artifact.split('@').next().unwrap().to_owned()
}

fn is_same(decided: &Decided, index: u64, record: &Record) -> bool {
    decided.index == index
        && decided.at == record.at
        && (&decided.decision, &decided.basis, &decided.outcome)
            == (&record.decision, &record.basis, &record.outcome)
        && (&decided.environment, &decided.workload) == (&record.environment, &record.workload)
        && decided.artifact == name(record)
        && decided.digest == record.digest
        && (&decided.requester, &decided.chokepoint) == (&record.requester, &record.chokepoint)
        && (&decided.grant, &decided.rules) == (&record.grant, &record.rules)
        && decided.case.as_ref() == Some(&record.case)
}

/// What the index must say about a subject: found by looking at every record.
fn scanned(records: &[Record], is_about: impl Fn(&Record) -> bool) -> Vec<(u64, &Record)> {
    let mut found: Vec<_> = (0..).zip(records).filter(|(_, r)| is_about(r)).collect();
    found.reverse();
    found
}

/// What is asked about, and the records about it, the newest first.
type Asked<'r> = (Subject, Vec<(u64, &'r Record)>);
/// Environment, workload, name and digest; first, last, times and newest.
type Deployments = BTreeMap<(String, Option<String>, String, Option<Digest>), (i64, i64, u64, u64)>;

async fn check_decisions(inventory: &Inventory, records: &[Record]) {
    let mut subjects: BTreeMap<String, Asked<'_>> = BTreeMap::new();
    for record in records {
        if let Some(digest) = &record.digest {
            let found = scanned(records, |r| r.digest.as_ref() == Some(digest));
            subjects.insert(digest.to_string(), (Subject::Digest(digest.clone()), found));
        }
        if let Some(workload) = &record.workload {
            let found = scanned(records, |r| r.workload.as_ref() == Some(workload));
            subjects.insert(workload.clone(), (Subject::Workload(workload.clone()), found));
        }
        let name = name(record);
        let found = scanned(records, |r| self::name(r) == name);
        subjects.insert(name.clone(), (Subject::Name(name), found));
    }
    for (subject, expected) in subjects.values() {
        let all = inventory.decisions(subject, 10_000).await.unwrap();
        assert_eq!(all.count, expected.len() as u64, "{subject:?}");
        assert_eq!(all.newest.len(), expected.len(), "{subject:?}");
        for (decided, (index, record)) in all.newest.iter().zip(expected) {
            assert!(is_same(decided, *index, record), "{decided:?}\n{record:?}");
        }
    }
}

fn deployments<'r>(found: impl Iterator<Item = (u64, &'r Record)>) -> Deployments {
    let mut all = BTreeMap::new();
    for (index, record) in found {
        let key = (record.environment.clone(), record.workload.clone(), name(record), record.digest.clone());
        let at = record.at.as_second();
        let (first, last, times, newest) = all.entry(key).or_insert((at, at, 0, index));
        (*first, *last, *times, *newest) = (at.min(*first), at.max(*last), *times + 1, index.max(*newest));
    }
    all
}

async fn check_deployed(inventory: &Inventory, records: &[Record], between: Option<(i64, i64)>) {
    for who in ["person-0@acme.example", "person-1@acme.example", "nobody"] {
        let expected = deployments((0..).zip(records).filter(|(_, r)| {
            r.decision == "admit"
                && r.requester.as_deref() == Some(who)
                && between.is_none_or(|(a, b)| (at(a)..=at(b)).contains(&r.at))
        }));
        let mut found = BTreeMap::new();
        let mut visit = |d: Deployment| {
            let key = (d.environment, d.workload, d.artifact, d.digest);
            found.insert(key, (d.first.as_second(), d.last.as_second(), d.times, d.newest));
        };
        let times = between.map(|(a, b)| (at(a), at(b)));
        inventory.deployed(&From::Requester(who.to_owned()), times, &mut visit).await.unwrap();
        assert_eq!(found, expected, "{who} {between:?}");
    }
    let expected =
        (0..).zip(records).filter(|(_, r)| r.decision == "admit" && r.grant.as_deref() == Some("grant-1"));
    let expected: BTreeSet<u64> = deployments(expected).values().map(|(.., newest)| *newest).collect();
    let mut found = BTreeSet::new();
    let mut visit = |d: Deployment| assert!(found.insert(d.newest));
    inventory.deployed(&From::Grant("grant-1".to_owned()), None, &mut visit).await.unwrap();
    assert_eq!(found, expected);
}

/// Where nothing watches, the last admission under each name counts: against a scan, at several times.
async fn check_live(inventory: &Inventory, records: &[Record], time: Option<i64>) {
    let mut expected: BTreeMap<_, (i64, u64)> = BTreeMap::new();
    for (index, record) in (0..).zip(records).filter(|(_, r)| r.decision == "admit") {
        if time.is_some_and(|time| record.at > at(time)) {
            continue;
        }
        let key = (record.environment.clone(), record.workload.clone(), name(record));
        let newest = expected.entry(key).or_insert((record.at.as_second(), index));
        *newest = (*newest).max((record.at.as_second(), index));
    }
    let mut found = BTreeMap::new();
    let mut pages = inventory.live(time.map(at));
    while let Some(page) = pages.next().await.unwrap() {
        for live in page {
            let record = &records[live.decided.unwrap() as usize];
            assert_eq!((live.digest, live.case), (record.digest.clone(), Some(record.case.clone())));
            let key = (live.environment, live.workload, live.artifact);
            assert!(found.insert(key, (live.since.as_second(), live.decided.unwrap())).is_none());
        }
    }
    assert_eq!(found, expected, "{time:?}");
}

async fn check(inventory: &Inventory, records: &[Record]) {
    check_decisions(inventory, records).await;
    for between in [None, Some((0, 20)), Some((17, 40)), Some((5, 5)), Some((9, 3))] {
        check_deployed(inventory, records, between).await;
    }
    for time in [None, Some(-1), Some(0), Some(12), Some(33), Some(100_000)] {
        check_live(inventory, records, time).await;
    }
}

#[tokio::test]
async fn answers_equal_a_scan_of_the_log_whether_followed_or_rebuilt() {
    for seed in 0..6 {
        let records = history(seed, 60 + seed * 90);
        let log = log(&records);
        let dir = tempfile::tempdir().unwrap();
        let (inventory, notices) = Inventory::open(dir.path()).await.unwrap();
        assert_eq!(notices, []);
        // in pieces, at every kind of boundary
        let mut size = 0;
        while size < log.size {
            let next = (size + 1 + mixed(seed ^ size) % 70).min(log.size);
            let followed = inventory.follow(&log, &log.checkpoint(next), &mut |_| {}).await.unwrap();
            assert_eq!((followed.from, followed.size, followed.notices), (size, next, vec![]));
            check_live(&inventory, &records[..next as usize], None).await;
            size = next;
        }
        check(&inventory, &records).await;
        let followed = inventory.rebuild(&log, &log.checkpoint(log.size), &mut |_| {}).await.unwrap();
        assert_eq!((followed.from, followed.size), (0, log.size));
        check(&inventory, &records).await;
        inventory.close().await;
        let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
        let again = inventory.follow(&log, &log.checkpoint(log.size), &mut |_| {}).await.unwrap();
        assert_eq!(again.from, log.size, "nothing is read twice");
        check(&inventory, &records).await;
    }
}

#[tokio::test]
async fn another_log_is_noticed_and_read_instead() {
    let (one, other) = (history(1, 300), history(2, 300));
    let dir = tempfile::tempdir().unwrap();
    let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
    let first = log(&one);
    inventory.follow(&first, &first.checkpoint(300), &mut |_| {}).await.unwrap();
    let old = first.checkpoint(300);
    // the same size, a longer one, a shorter one
    for records in [&other[..], &[&one[..], &other[..]].concat(), &other[..20]] {
        let log = log(records);
        let (size, root) = inventory.read_so_far().await.unwrap();
        let followed = inventory.follow(&log, &log.checkpoint(log.size), &mut |_| {}).await.unwrap();
        assert_eq!(followed.notices, [Notice::AnotherLog { size, root }]);
        check_decisions(&inventory, records).await;
    }
    let followed = inventory.follow(&first, &old, &mut |_| {}).await.unwrap();
    assert_eq!(followed.notices.len(), 1);
    // an older checkpoint of the same log is no other log
    let followed = inventory.follow(&first, &first.checkpoint(120), &mut |_| {}).await.unwrap();
    assert_eq!((followed.notices, followed.size), (vec![], 300));
    check_decisions(&inventory, &one).await;
}

#[tokio::test]
async fn an_entry_that_the_root_does_not_hold_is_never_taken() {
    let records = history(3, 700);
    let good = log(&records);
    let checkpoint = good.checkpoint(700);
    let mut forged = records.clone();
    forged[650].requester = Some("mallory".to_owned());
    let forged = log(&forged);
    let dir = tempfile::tempdir().unwrap();
    let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
    inventory.follow(&good, &good.checkpoint(512), &mut |_| {}).await.unwrap();
    let refused = inventory.follow(&forged, &checkpoint, &mut |_| {}).await.unwrap_err();
    assert!(matches!(refused, InventoryError::NotTheLog { from: 512, to: 700 }), "{refused}");
    check_decisions(&inventory, &records[..512]).await;
    inventory.follow(&good, &checkpoint, &mut |_| {}).await.unwrap();
    check_decisions(&inventory, &records).await;
}

#[tokio::test]
async fn events_are_found_by_kind_and_place() {
    let records = history(5, 4);
    let event = |sequence: u64, kind| Event {
        position: Position { writer: "w".to_owned(), epoch: 0, sequence, previous: None },
        at: at(sequence as i64),
        kind,
        trust_root_version: 1,
        body: Object::new().with("number", sequence as i64),
        parts: Vec::new(),
    };
    let mut leaves: Vec<Vec<u8>> = records.iter().map(leaf).collect();
    for (sequence, kind) in [(4, EventKind::Alarm), (5, EventKind::Heartbeat), (6, EventKind::Alarm)] {
        leaves.push(event(sequence, kind).to_json().to_string().into_bytes());
    }
    let log = Generated::of_leaves(leaves);
    let dir = tempfile::tempdir().unwrap();
    let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
    inventory.follow(&log, &log.checkpoint(7), &mut |_| {}).await.unwrap();
    let alarms = inventory.events(EventKind::Alarm, 0, 10).await.unwrap();
    let body = |n: i64| Json::from(Object::new().with("number", n));
    let expected = |n: u64| Happened { index: n, at: at(n as i64), body: body(n as i64) };
    assert_eq!(alarms, [expected(4), expected(6)]);
    assert_eq!(inventory.events(EventKind::Alarm, 5, 10).await.unwrap(), [expected(6)]);
    assert_eq!(inventory.events(EventKind::Degraded, 0, 10).await.unwrap(), []);
    check_decisions(&inventory, &records).await;
}

#[tokio::test]
async fn entries_of_other_forms_are_counted_and_passed_over() {
    let records = history(4, 10);
    let mut leaves: Vec<Vec<u8>> = records.iter().map(leaf).collect();
    leaves.push(b"{\"format\":\"from-the-future/v9\"}".to_vec());
    let log = Generated::of_leaves(leaves);
    let dir = tempfile::tempdir().unwrap();
    let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
    let followed = inventory.follow(&log, &log.checkpoint(11), &mut |_| {}).await.unwrap();
    // no case lies beside this log, so none of the records with a digest says where it came from
    let with_digest = records.iter().filter(|r| r.digest.is_some()).count() as u64;
    assert_eq!((followed.size, followed.unread), (11, with_digest + 1));
    check_decisions(&inventory, &records).await;
}
