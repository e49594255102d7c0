//! The spool in front of the database: what was acknowledged while the database was away is there afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tlog::{Batch, Files, Journaled, Level, Room, verify};

use crate::world::{ORIGIN, World, entry, key, signer};

fn open(world: &World) -> Journaled<Files> {
    let target = replicas::open(&world.config(), ORIGIN, &signer(), "w").unwrap();
    let spool = Files::new(&world.path("spool"));
    Journaled::open(spool, "w", Arc::clone(&signer()), Room::default(), Box::new(target)).unwrap()
}

/// It does not wait for a target that is known to be out of reach; here, that passes.
pub fn settle(log: &Journaled<Files>) {
    let start = Instant::now();
    while let Err(e) = log.settle() {
        assert!(start.elapsed() < Duration::from_secs(30), "{e}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_the_spool_acknowledged_without_the_database_comes_in_afterwards() {
    let world = World::new();
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut commit = |log: &Journaled<Files>| {
        let leaf = entry("w", &all, "");
        let promises =
            log.commit(|_| Batch { leaves: vec![leaf.clone()], blobs: vec![leaf.clone()] }).unwrap();
        assert_eq!(promises[0].index(), all.len() as u64);
        all.push(leaf);
    };
    let log = open(&world);
    for _ in 0..5 {
        commit(&log);
    }
    settle(&log);
    world.cluster.down("immediate");
    for _ in 0..5 {
        commit(&log);
    }
    assert_eq!(log.reached(Level::Local).unwrap(), 10);
    assert!(log.reached(Level::Quorum).map_or(true, |reached| reached == 5));
    world.cluster.up("");
    settle(&log);
    assert_eq!(log.reached(Level::Quorum).unwrap(), 10);
    // and over a start in which the database is there again
    world.cluster.down("fast");
    for _ in 0..3 {
        commit(&log);
    }
    drop(log);
    world.cluster.up("");
    let log = open(&world);
    commit(&log);
    let start = Instant::now();
    while log.reached(Level::Sequenced).unwrap() < 14 {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(log.prove(13).unwrap().leaf(), &attest::merkle::leaf_hash(&all[13]));
    let mut found = Vec::new();
    verify(&world.tiles(), &key(), None, |_, leaf| found.push(leaf.to_vec())).unwrap();
    assert!(found == all);
}
