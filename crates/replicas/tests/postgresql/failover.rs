//! A standby takes over: with `synchronous_standby_names` nothing is lost; without it, what was lost is brought again, or
//! the sequencer refuses.

use std::time::{Duration, Instant};

use tlog::{ApplyError, Batch, Files, Journaled, Level, Room, Target, verify};

use crate::spooled::settle;
use crate::world::{ORIGIN, World, entry, key, signer};

#[test]
fn a_synchronous_standby_has_everything() {
    let mut world = World::new();
    let standby = world.cluster.standby(5433);
    world.cluster.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    world.cluster.sql("SELECT pg_reload_conf()");
    let mut a = world.open(&world.config(), "a");
    let mut b = world.open(&world.writing(), "b");
    for _ in 0..10 {
        a.write(3);
        b.write(2);
    }
    let (in_a, in_b) = (a.target.taken(), b.target.taken());
    world.cluster.down("immediate");
    // the one that takes over has no standby of its own
    standby.promote(5432);
    world.cluster.take_over(standby);
    world.cluster.sql("ALTER SYSTEM RESET synchronous_standby_names");
    world.cluster.sql("SELECT pg_reload_conf()");
    for (writer, taken) in [(&mut a, in_a), (&mut b, in_b)] {
        // the old connection is found to be dead, and what the new server has is looked at
        while writer.target.reached(Level::Sequenced).is_err() {}
        assert_eq!(writer.target.taken(), taken, "nothing that was acknowledged is lost");
    }
    a.write(1);
    a.settle();
    b.settle();
    world.check(&[&a, &b]);
}

#[test]
fn what_an_asynchronous_standby_lost_is_brought_again() {
    let mut world = World::new();
    let standby = world.cluster.standby(5433);
    let mut a = world.open(&world.writing(), "a");
    a.write(3);
    let caught_up = "SELECT pg_current_wal_flush_lsn() <= (SELECT min(replay_lsn) FROM pg_stat_replication)";
    while world.cluster.sql(caught_up) != "t" {}
    standby.stop();
    a.write(4);
    world.cluster.down("immediate");
    standby.start(5433);
    standby.promote(5432);
    world.cluster.take_over(standby);
    a.spool(1);
    // brought from where it stood: the database has less than it had acknowledged
    let refused = loop {
        match a.target.apply(7, &a.batches[2..]) {
            Err(ApplyError::Unreachable(why)) if why.contains("it lost some") => break why,
            Err(ApplyError::Unreachable(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(refused.contains("has entries of a up to 3, and was brought 7"), "{refused}");
    assert_eq!(a.target.taken(), 3);
    a.insist();
    let mut b = world.open(&world.config(), "b");
    b.write(1);
    a.settle();
    b.settle();
    world.check(&[&a, &b]);
}

#[test]
fn the_real_spool_brings_again_what_an_asynchronous_standby_lost() {
    let mut world = World::new();
    let standby = world.cluster.standby(5433);
    // nobody sequences yet: what is taken is not safe
    let target = replicas::open(&world.writing(), ORIGIN, &signer(), "a").unwrap();
    let spool = Files::new(&world.path("spool"));
    let log = Journaled::open(spool, "a", signer(), Room::default(), Box::new(target)).unwrap();
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut commit = || {
        let leaf = entry("a", &all, "");
        log.commit(|_| Batch { leaves: vec![leaf.clone()], blobs: Vec::new() }).unwrap();
        all.push(leaf);
    };
    (0..3).for_each(|_| commit());
    settle(&log);
    let caught_up = "SELECT pg_current_wal_flush_lsn() <= (SELECT min(replay_lsn) FROM pg_stat_replication)";
    while world.cluster.sql(caught_up) != "t" {}
    standby.stop();
    (0..4).for_each(|_| commit());
    settle(&log);
    assert_eq!(log.reached(Level::Quorum).unwrap(), 7);
    world.cluster.down("immediate");
    standby.start(5433);
    standby.promote(5432);
    world.cluster.take_over(standby);
    commit();
    settle(&log);
    let b = world.open(&world.config(), "b");
    let start = Instant::now();
    while !log.reached(Level::Sequenced).is_ok_and(|reached| reached == 8) {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
    while log.fill().used > 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "its place is free once it is in the tree");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(b);
    let mut found = Vec::new();
    verify(&world.tiles(), &key(), None, |_, leaf| found.push(leaf.to_vec())).unwrap();
    assert!(found == all);
}

#[test]
fn an_asynchronous_standby_without_the_last_batch_is_refused() {
    let mut world = World::new();
    let standby = world.cluster.standby(5433);
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    let caught_up = "SELECT pg_current_wal_flush_lsn() <= (SELECT min(replay_lsn) FROM pg_stat_replication)";
    while world.cluster.sql(caught_up) != "t" {}
    standby.stop();
    a.write(4);
    a.settle();
    let seen = world.checkpoint();
    world.cluster.down("immediate");
    standby.start(5433);
    standby.promote(5432);
    world.cluster.take_over(standby);
    let why = a.refusal();
    assert!(why.contains("or a failover that lost commits"), "{why}");
    assert_eq!(world.checkpoint(), seen);
    drop(a.target);
    replicas::adopt(&world.config(), ORIGIN, signer()).unwrap();
    a.target = replicas::open(&world.config(), ORIGIN, &signer(), "a").unwrap();
    a.write(1);
    a.settle();
    world.check(&[&a]);
    world.check_continues(&seen);
}
