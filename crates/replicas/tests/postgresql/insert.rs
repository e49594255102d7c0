//! Inserting: two writers, the same name twice, a forged entry, a database that goes away.

use std::time::{Duration, Instant};

use tlog::{ApplyError, Level, Target};

use crate::world::{World, Writer, entry};

#[test]
fn two_writers_come_into_one_tree_each_in_its_order() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    let mut b = world.open(&world.writing(), "b");
    for round in 0..20 {
        a.write(1 + round % 7);
        b.write(5);
    }
    a.settle();
    b.settle();
    let checkpoint = world.check(&[&a, &b]);
    assert_eq!(checkpoint.size as usize, a.leaves.len() + b.leaves.len());
    assert_eq!(world.cluster.sql("SELECT count(*) FROM portcullis.entries_pending"), "0");
    assert_eq!(world.cluster.sql("SELECT count(*) FROM portcullis.blobs_pending"), "0");
    let receipt = a.target.prove(3).unwrap().unwrap();
    assert_eq!(receipt.leaf(), &attest::merkle::leaf_hash(&a.leaves[3]));
}

#[test]
fn a_long_backlog_of_entries_and_of_blobs_comes_in() {
    let world = World::new();
    let mut a = world.open(&world.writing(), "a");
    for _ in 0..3 {
        a.spool(1500);
    }
    for n in 0..5_u8 {
        a.spool(1);
        let large = vec![n; 9 << 20];
        a.blobs.push(attest::Digest::sha256(&large));
        a.batches.last_mut().unwrap().blobs.push(large);
        a.insist();
    }
    let mut sequencer = world.open(&world.config(), "b");
    sequencer.write(1);
    a.settle();
    sequencer.settle();
    world.check(&[&a, &sequencer]);
}

#[test]
fn two_processes_under_one_name_stop_and_do_not_fork() {
    let world = World::new();
    let mut a = world.open(&world.writing(), "a");
    a.write(2);
    let mut twin = Writer::new(
        replicas::open(&world.writing(), crate::world::ORIGIN, &crate::world::signer(), "a").unwrap(),
        "a",
    );
    twin.leaves = a.leaves.clone();
    twin.batches = a.batches.clone();
    a.write(1);
    let mut batch = tlog::Batch::default();
    batch.leaves.push(entry("a", &twin.leaves, "other"));
    twin.batches.push(batch);
    let why = twin.stopped();
    assert!(
        why.contains("the database has another entry 2 of a: two processes write under this name"),
        "{why}"
    );
    // also when it is in the tree already
    let mut b = world.open(&world.config(), "b");
    b.write(1);
    a.settle();
    let why = twin.stopped();
    assert!(why.contains("the database has another entry 2 of a"), "{why}");
    b.settle();
    a.write(1);
    a.settle();
    world.check(&[&a, &b]);
}

#[test]
fn a_server_that_goes_away_is_out_of_reach_and_nothing_is_lost() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    for mode in ["fast", "immediate"] {
        world.cluster.down(mode);
        a.spool(2);
        assert!(matches!(a.bring(), Err(ApplyError::Unreachable(_))));
        assert!(matches!(a.target.reached(Level::Sequenced), Err(ApplyError::Unreachable(_))));
        world.cluster.up("");
        a.insist();
        a.settle();
    }
    // an administrator ends every session
    world.cluster.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('writer', 'sequencer')",
    );
    a.spool(1);
    match a.bring() {
        Err(ApplyError::Unreachable(why)) => {
            assert!(why.contains("57P01") || why.contains("database"), "{why}")
        }
        other => assert!(other.is_ok()),
    }
    a.settle();
    world.check(&[&a]);
}

#[test]
fn a_server_that_does_not_answer_is_waited_for_only_so_long() {
    let world = World::new();
    let mut a = world.open(&world.writing(), "a");
    a.write(1);
    let lock =
        "BEGIN; LOCK TABLE portcullis.entries_pending IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(13); COMMIT";
    std::thread::scope(|scope| {
        scope.spawn(|| world.cluster.sql(lock));
        std::thread::sleep(Duration::from_millis(500));
        a.spool(1);
        let start = Instant::now();
        match a.bring() {
            Err(ApplyError::Unreachable(why)) => {
                assert!(why.contains("55P03") || why.contains("57014"), "{why}")
            }
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    });
    a.insist();
    assert_eq!(a.target.reached(Level::Quorum).unwrap(), 2);
}

#[test]
fn a_database_that_says_more_than_it_has_is_not_believed() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    let mut b = world.open(&world.writing(), "b");
    b.write(1);
    b.settle();
    // where an entry is
    world.cluster.sql("UPDATE portcullis.placed SET index = 3 - index WHERE count = 1");
    let wrong = match b.target.prove(0) {
        Err(ApplyError::Stop(e)) => e.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(wrong.contains("the database says that entry 0 of b is record 0, and it is not"), "{wrong}");
    world.cluster.sql("UPDATE portcullis.placed SET index = 3 - index WHERE count = 1");
    assert_eq!(b.target.prove(0).unwrap().unwrap().index(), 3);

    // how many are in the tree, so that what comes next would be taken for what is there
    let before = a.target.taken();
    world.cluster.sql("UPDATE portcullis.writers SET sequenced = 100 WHERE writer = 'a'");
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'writer'";
    world.cluster.sql(end);
    a.spool(1);
    let why = loop {
        match a.target.apply(before, &a.batches[1..]) {
            Err(ApplyError::Stop(e)) => break e.to_string(),
            Err(ApplyError::Unreachable(_)) => {}
            Ok(()) => panic!("taken, and nowhere"),
        }
    };
    assert!(
        why.contains("it has 100 entries of a, which brought 4: two processes write under this name"),
        "{why}"
    );
    match replicas::open(&world.writing(), crate::world::ORIGIN, &crate::world::signer(), "a") {
        Err(replicas::OpenError::Changed(why)) => {
            assert!(
                why.contains("it has 100 entries of a, and has no entry 99 of it: it was changed"),
                "{why}"
            );
        }
        other => panic!("{other:?}"),
    }
}
