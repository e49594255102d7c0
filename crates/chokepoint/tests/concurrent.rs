//! Many threads decide at once: every answer is in the log, once, in the order of its index.

mod load;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use attest::merkle::leaf_hash;
use chokepoint::{Chokepoint, DecideError, Entry, Limits, OpenError, Record, Recorded, Replay, replay};
use load::{at, book, key, open, open_log, request, root};
use tlog::{Blobs, Files, Target as _, verify};

/// The verified leaves of a log.
fn leaves(dir: &std::path::Path) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    verify(&Files::new(dir), &key(), None, |_, leaf| leaves.push(leaf.to_vec())).unwrap();
    leaves
}

/// The records of the decisions in a log.
fn records(dir: &std::path::Path) -> Vec<Record> {
    let entries = leaves(dir).into_iter().map(|leaf| Entry::parse(&leaf).unwrap());
    entries.filter_map(|entry| entry.decision().cloned()).collect()
}

/// What stands before the first decision: who writes, and what is in force.
const OPENING: u64 = 2;

#[test]
fn sixty_four_threads_get_their_own_places_and_every_record_replays() {
    const THREADS: u64 = 64;
    const ROUNDS: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let point = open(dir.path());
    let answers: BTreeMap<u64, [u8; 32]> = std::thread::scope(|scope| {
        let thread = |number: u64| {
            let point = &point;
            let asked = request(number);
            scope.spawn(move || {
                let one = |round: u64| {
                    let mut asked = asked.clone();
                    // every third is refused
                    if round % 3 == 2 {
                        asked.envelopes.clear();
                    }
                    let admission = point.decide(asked, at(round)).unwrap();
                    assert_eq!(admission.is_admitted(), round % 3 != 2);
                    let receipt = admission.receipt().unwrap();
                    assert!(receipt.is_signed_by(&key()));
                    (receipt.index(), *receipt.leaf())
                };
                (0..ROUNDS).map(one).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..THREADS).map(thread).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(
        answers.keys().copied().collect::<Vec<_>>(),
        (OPENING..OPENING + THREADS * ROUNDS).collect::<Vec<_>>(),
        "unique"
    );
    let last = OPENING + THREADS * ROUNDS - 1;
    let proof = point.prove(last).unwrap();
    assert_eq!(proof.leaf(), &answers[&last], "a promise that was kept");
    drop(point);
    let leaves = leaves(dir.path());
    assert_eq!(leaves.len(), answers.len() + usize::try_from(OPENING).unwrap());
    let blobs = Blobs::new(Files::new(dir.path()));
    for (index, leaf) in (0..).zip(&leaves).skip(2) {
        assert_eq!(leaf_hash(leaf), answers[&index], "record {index}");
        let record = Record::parse(leaf).unwrap();
        assert_eq!(record.position.sequence, index);
        if index % 16 == 0 {
            assert_eq!(replay(&record, &blobs).unwrap(), Replay::Same, "record {index}");
        }
    }
    let recorded = Recorded::of(&open_log(dir.path()).newest().unwrap()).unwrap();
    assert_eq!(recorded.last_seen, Some(at(ROUNDS - 1)), "the latest time, wherever its record stands");
}

#[test]
fn a_group_is_recorded_together_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let point = open(dir.path());
    let admissions = point.decide_all((0..5).map(request).collect(), at(0)).unwrap();
    let indexes: Vec<u64> = admissions.iter().filter_map(chokepoint::Admission::index).collect();
    assert_eq!(indexes, [2, 3, 4, 5, 6]);
    assert!(point.decide_all(Vec::new(), at(0)).unwrap().is_empty());
    assert!(point.judge(request(0), at(1)).verdict().is_met(), "judged, and not recorded");
    point.settle().unwrap();
    let artifacts: Vec<String> = records(dir.path()).into_iter().map(|record| record.artifact).collect();
    assert_eq!(artifacts, (0..5).map(|n| request(n).artifact.short()).collect::<Vec<_>>());
}

#[test]
fn who_comes_when_too_many_wait_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let point = Chokepoint::open_with(
        book(),
        root(4),
        open_log(dir.path()),
        Limits { waiting: 2, ..Limits::default() },
    )
    .unwrap();
    let (entered, has_entered) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    // the first reply holds up the committer
    point.submit(vec![request(0)], at(0), move |result| {
        entered.send(result.unwrap()[0].index().unwrap()).unwrap();
        may_go_on.recv().unwrap();
    });
    assert_eq!(has_entered.recv().unwrap(), OPENING);
    let answered = Arc::new(AtomicUsize::new(0));
    for number in 1..=2 {
        let answered = Arc::clone(&answered);
        point.submit(vec![request(number)], at(1), move |result| {
            assert_eq!(result.unwrap()[0].index(), Some(OPENING + number));
            answered.fetch_add(1, Ordering::SeqCst);
        });
    }
    let error = point.decide(request(3), at(2)).unwrap_err();
    assert!(matches!(error, DecideError::Busy { limit: 2 }));
    assert_eq!(error.to_string(), "2 requests are waiting already; ask again");
    assert_eq!(answered.load(Ordering::SeqCst), 0, "nobody was answered before it was durable");
    go_on.send(()).unwrap();
    drop(point);
    assert_eq!(
        answered.load(Ordering::SeqCst),
        2,
        "what waits when the choke point closes is still recorded"
    );
    assert_eq!(records(dir.path()).len(), 3);
}

#[test]
fn the_last_owner_may_be_a_reply() {
    let dir = tempfile::tempdir().unwrap();
    let point = Arc::new(open(dir.path()));
    let (done, is_done) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let owner = Arc::clone(&point);
    point.submit(vec![request(0)], at(0), move |result| {
        may_go_on.recv().unwrap();
        drop(owner);
        done.send(result.is_ok()).unwrap();
    });
    drop(point);
    go_on.send(()).unwrap();
    assert!(is_done.recv().unwrap());
}

#[test]
fn files_are_replaced_while_others_decide_and_an_older_trust_root_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let point = open(dir.path());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (point, is_over) = (&point, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    assert!(point.decide(request(number), at(0)).unwrap().is_admitted());
                }
            });
        }
        for version in 5..25 {
            point.replace(book(), root(version)).unwrap();
            assert!(point.decide(request(9), at(0)).unwrap().is_admitted());
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let error = point.replace(book(), root(23)).unwrap_err();
    assert!(matches!(error, OpenError::RolledBack(_)), "{error}");
    drop(point);
    let blobs = Blobs::new(Files::new(dir.path()));
    let mut versions: Vec<u64> = Vec::new();
    for record in records(dir.path()) {
        assert_eq!(replay(&record, &blobs).unwrap(), Replay::Same);
        versions.push(record.case(&blobs).unwrap().frame().trust_root_version);
    }
    assert!(versions.is_sorted(), "the newest record names the newest trust root: {versions:?}");
    assert_eq!(Recorded::of(&open_log(dir.path()).newest().unwrap()).unwrap().trust_root_floor, 24);
}

#[test]
fn evidence_that_was_submitted_before_costs_no_write() {
    let dir = tempfile::tempdir().unwrap();
    let point = open(dir.path());
    let mut big = request(1);
    big.envelopes[0].bytes.extend(vec![b' '; 300_000]);
    for _ in 0..40 {
        point.decide(big.clone(), at(0)).unwrap();
    }
    // 40 × 300 kB are more than a segment
    let journal: u64 = (0..8)
        .map(|segment| {
            let bytes = std::fs::read(dir.path().join(format!("journal/{segment}"))).unwrap();
            u64::try_from(bytes.iter().filter(|byte| **byte != 0).count()).unwrap()
        })
        .sum();
    assert!(journal < 800_000, "{journal} bytes were written");
}
