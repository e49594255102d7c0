//! Two sequencers: one tree.

use std::time::{Duration, Instant};

use replicas::Duty;

use crate::world::World;

#[test]
fn the_second_stands_by_and_takes_over() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    let mut b = world.open(&world.config(), "b");
    let why = b.wait_for(|duty| matches!(duty, Duty::StandingBy(_)));
    assert!(matches!(why, Duty::StandingBy(why) if why.contains("another process holds the log's folder")));
    b.write(2);
    b.settle();
    let names = (a.name.clone(), a.leaves.clone());
    let seen = world.checkpoint();
    drop(std::mem::replace(
        &mut a.target,
        replicas::open(&world.writing(), crate::world::ORIGIN, &crate::world::signer(), "a").unwrap(),
    ));
    b.wait_for(|duty| matches!(duty, Duty::Sequencing(_)));
    assert_eq!(names.1, a.leaves);
    a.write(1);
    b.write(1);
    a.settle();
    b.settle();
    world.check(&[&a, &b]);
    world.check_continues(&seen);
}

/// On storage whose locks do not hold, the database alone keeps two apart.
#[test]
fn without_the_folders_lock_the_database_elects_one() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    std::fs::remove_file(world.path("log/lock")).unwrap();
    std::fs::remove_file(world.path("signed/lock")).unwrap();
    let b = world.open(&world.config(), "b");
    let why = b.wait_for(|duty| matches!(duty, Duty::StandingBy(_)));
    assert!(
        matches!(why, Duty::StandingBy(why) if why.contains("another replica holds the sequencer's lock"))
    );
}

/// Who lost its session without knowing it moves nothing: not by the advisory lock, but by its number.
#[test]
fn who_was_replaced_moves_nothing() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    let seen = world.checkpoint();
    // another was elected meanwhile, and its session is gone again
    world.cluster.sql("UPDATE portcullis.checkpoint SET epoch = epoch + 1");
    a.write(2);
    let start = Instant::now();
    loop {
        if let Duty::StandingBy(why) = a.target.health().unwrap().duty() {
            assert!(why.contains("was moved by another"), "{why}");
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    // and is elected anew
    a.settle();
    world.check(&[&a]);
    world.check_continues(&seen);
}

#[test]
fn a_folder_of_another_log_is_refused() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    drop(a);
    let other = tempfile::tempdir().unwrap();
    let mut config = world.config();
    config.tiles = Some(other.path().join("log"));
    config.sequence.as_mut().unwrap().state = other.path().join("signed");
    let key = || Box::new(attest::SecretKey::from_ed25519_seed(&[5; 32]).unwrap());
    let folder = tlog::Files::new(&other.path().join("log"));
    let mut log = tlog::Log::create(folder, crate::world::ORIGIN, key()).unwrap();
    let b = world.open(&config, "b");
    let why = b.refusal();
    assert!(why.contains("the database has a log of 3 entries, and the folder"), "{why}");
    assert!(why.contains("the folder is older, or another's"), "{why}");
    drop(b);
    for n in 0..3_u8 {
        log.append(&[n]).unwrap();
    }
    let why = world.open(&config, "b").refusal();
    assert!(why.contains("with other contents: one of the two was changed"), "{why}");
}

/// What a sleeper does that wakes up between two system calls, on storage whose locks do not hold.
#[test]
fn a_checkpoint_that_was_put_over_a_newer_one_is_put_back() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    let old = std::fs::read(world.path("log/checkpoint")).unwrap();
    a.write(4);
    a.settle();
    drop(a.target);
    let seen = world.checkpoint();
    std::fs::write(world.path("log/checkpoint"), old).unwrap();
    a.target = replicas::open(&world.config(), crate::world::ORIGIN, &crate::world::signer(), "a").unwrap();
    a.wait_for(|duty| matches!(duty, Duty::Sequencing(7)));
    world.check_continues(&seen);
    a.write(1);
    a.settle();
    world.check(&[&a]);
}
