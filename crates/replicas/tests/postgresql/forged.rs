//! Somebody has a writer's login, and not the log's key: nothing that he inserts gets anywhere, keeps anything from getting
//! there, or keeps a replica from starting.

use std::time::{Duration, Instant};

use attest::digest::to_hex;
use attest::merkle::leaf_hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replicas::Health;
use tlog::{Level, Target};

use crate::world::{ORIGIN, World, entry, signer};

const NOBODY: [u8; 64] = [0; 64];

impl World {
    /// Inserts a row, as whoever has a writer's login can.
    fn insert(&self, writer: &str, sequence: usize, leaf: &[u8], proof: &[u8]) {
        let (leaf, proof) = (to_hex(leaf), to_hex(proof));
        let insert = format!(
            "INSERT INTO portcullis.entries_pending (origin, writer, sequence, leaf, proof) \
             VALUES ('{ORIGIN}', '{writer}', {sequence}, decode('{leaf}', 'hex'), decode('{proof}', 'hex'))"
        );
        self.cluster.sql_as("writer", &insert).unwrap();
    }

    fn waiting(&self) -> String {
        self.cluster.sql("SELECT count(*) FROM portcullis.entries_pending")
    }
}

/// What the log's key says of an entry.
fn proof(origin: &str, writer: &str, sequence: usize, leaf: &[u8]) -> Vec<u8> {
    let hash = STANDARD.encode(leaf_hash(leaf));
    signer()
        .sign(format!("portcullis-pending/v1\n{origin}\n{writer}\n{sequence}\n{hash}\n").as_bytes())
        .unwrap()
}

fn wait_for(health: &Health, what: &str) {
    let start = Instant::now();
    while !health.held().iter().any(|held| held.contains(what)) {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: {:?} {:?}", health.duty(), health.held());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_the_logs_key_did_not_sign_is_removed_and_told_and_the_true_entries_come_in() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    let health = a.target.health().unwrap();
    for kind in 0..6 {
        let at = a.leaves.len();
        let (next, newest) = (entry("a", &a.leaves, "forged"), a.leaves.last().unwrap().clone());
        let alone = format!(r#"{{"writer":"a","sequence":{at}}}"#).into_bytes();
        let of_newest = proof(ORIGIN, "a", at - 1, &newest);
        let (writer, sequence, leaf, proof) = match kind {
            0 => ("new", 0, entry("new", &[], "forged"), NOBODY.to_vec()),
            1 => ("a", at, next, NOBODY.to_vec()),
            2 => ("a", at, alone, NOBODY.to_vec()),
            // what the key signed for the same place of another log; and its entry before, in other places
            3 => ("a", at, next.clone(), proof("other.example", "a", at, &next)),
            4 => ("a", at, newest, of_newest),
            _ => ("b", at - 1, newest, of_newest),
        };
        world.insert(writer, sequence, &leaf, &proof);
        let wanted =
            format!("entry {sequence} of {writer} is not taken: it is not signed with the log's key");
        wait_for(&health, &wanted);
        assert_eq!(world.waiting(), "0");
        assert_eq!(world.checkpoint().size, at as u64);
        a.write(1);
        a.settle();
    }
    world.check(&[&a]);
}

#[test]
fn the_place_of_an_entry_is_not_taken_away_by_what_nobody_signed() {
    let world = World::new();
    let mut a = world.open(&world.writing(), "a");
    a.write(2);
    // while nobody sequences: in the next places, and in those after them
    for sequence in 2..9 {
        world.insert("a", sequence, &entry("a", &a.leaves, "forged"), &NOBODY);
    }
    a.write(2);
    a.write(1);
    assert_eq!(a.target.reached(Level::Quorum).unwrap(), 5);
    // brought twice, as after a lost answer
    let again = a.batches.clone();
    a.target.apply(0, &again).unwrap();
    // whoever saw a proof has it, and other bytes
    world.insert("a", 9, b"noise", &proof(ORIGIN, "a", 9, b"signed"));
    // a start counts what is signed, and begins with that
    a.target = replicas::open(&world.writing(), ORIGIN, &signer(), "a").unwrap();
    assert_eq!(a.target.taken(), 5);
    let newest = a.target.newest().unwrap();
    assert_eq!(newest.own.as_ref(), a.leaves.last());
    assert!(newest.all.iter().all(|leaf| a.leaves.contains(leaf)), "{newest:?}");
    let mut b = world.open(&world.config(), "b");
    b.write(1);
    a.write(4);
    a.settle();
    b.settle();
    wait_for(&b.target.health().unwrap(), "is not signed with the log's key");
    world.check(&[&a, &b]);
    assert_eq!(world.waiting(), "0");
}

#[test]
fn noise_keeps_no_replica_from_starting_and_says_no_time() {
    let world = World::new();
    let mut a = world.open(&world.writing(), "a");
    a.write(3);
    world.insert("noise", 1 << 40, b"noise", &NOBODY);
    let late = br#"{"format":"portcullis-event/v1","writer":"late","epoch":1,"sequence":7,"at":"9999-12-30T00:00:00Z",
        "kind":"heartbeat","trust_root_version":9007199254740991,"body":{},"parts":[]}"#;
    world.insert("late", 7, late, &NOBODY);
    let mut b = world.open(&world.writing(), "b");
    let newest = b.target.newest().unwrap();
    assert_eq!((newest.own, newest.all), (None, a.leaves.clone()));
    // what is in the tree counts once it leads to the signed root
    let mut c = world.open(&world.config(), "c");
    c.write(1);
    c.settle();
    a.settle();
    let newest = b.target.newest().unwrap();
    assert!(newest.all.contains(&c.leaves[0]) && newest.all.contains(&a.leaves[2]), "{newest:?}");
    world.cluster.sql("UPDATE portcullis.writers SET newest = 'noise'");
    assert!(!b.target.newest().unwrap().all.contains(&b"noise".to_vec()));
}

#[test]
fn a_flood_of_what_nobody_signed_passes() {
    let world = World::new();
    let mut a = world.open(&world.writing(), "a");
    a.write(2);
    let flood = |writer: &str, sequence: &str, count: usize| {
        let insert = format!(
            "INSERT INTO portcullis.entries_pending (origin, writer, sequence, leaf, proof) \
             SELECT '{ORIGIN}', {writer}, {sequence}, 'noise', decode(repeat('00', 64), 'hex') FROM generate_series(1, {count}) n"
        );
        world.cluster.sql_as("writer", &insert).unwrap();
    };
    flood("'a'", "n + 1", 5000);
    flood("'0' || n", "0", 1000);
    a.write(2);
    let mut z = world.open(&world.config(), "z");
    z.write(1);
    z.settle();
    a.settle();
    let start = Instant::now();
    while world.waiting() != "0" {
        assert!(start.elapsed() < Duration::from_secs(30), "{} wait", world.waiting());
        std::thread::sleep(Duration::from_millis(50));
    }
    world.check(&[&a, &z]);
}

#[test]
fn two_that_have_the_key_and_one_name_are_told() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(1);
    a.settle();
    let health = a.target.health().unwrap();
    let alone = br#"{"writer":"a","sequence":1}"#;
    world.insert("a", 1, alone, &proof(ORIGIN, "a", 1, alone));
    wait_for(&health, "entry 1 of a is held back: it does not name the entry before it that is in the log");
    a.spool(1);
    let why = a.stopped();
    assert!(
        why.contains("the database has another entry 1 of a: two processes write under this name"),
        "{why}"
    );
    world.insert("b", 0, b"noise", &proof(ORIGIN, "b", 0, b"noise"));
    wait_for(&health, "entry 0 of b is held back: it is no entry of a decision log");
}
