//! A database that was restored from a backup: refused, never continued, and raised by hand.

use replicas::{AdoptError, Duty, adopt};
use tlog::{Level, Target};

use crate::world::{ORIGIN, World, signer};

#[test]
fn an_old_backup_is_refused_and_adopted() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    let mut b = world.open(&world.writing(), "b");
    a.write(300);
    a.settle();
    // entries that wait in the backup, and come into the tree afterwards
    drop(a.target);
    b.write(4);
    world.cluster.down("fast");
    world.cluster.back_up("backup");
    world.cluster.up("");
    a.target = replicas::open(&world.config(), ORIGIN, &signer(), "a").unwrap();
    a.write(5);
    b.write(3);
    a.settle();
    b.settle();
    a.write(2);
    a.settle();
    let seen = world.checkpoint();
    assert_eq!(seen.size, 314);
    assert!(
        matches!(adopt(&world.config(), ORIGIN, signer()), Err(AdoptError::Busy)),
        "while it is sequenced"
    );

    // under load: nobody is told, the server is there again with what it had
    world.cluster.down("immediate");
    world.cluster.restore("backup");
    world.cluster.up("");
    a.spool(2);
    let why = a.refusal();
    assert!(why.contains("the database has a log of 300 entries, and the folder"), "{why}");
    assert!(why.contains("one of 314: the database is older, as after a restored backup"), "{why}");
    assert!(why.contains("`portcullis log adopt` raises the database to it"), "{why}");
    // what comes meanwhile waits in the database
    a.insist();
    assert_eq!(a.target.reached(Level::Quorum).unwrap(), a.target.taken());
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(world.checkpoint(), seen, "no fork");

    drop(a.target);
    let adopted = adopt(&world.config(), ORIGIN, signer()).unwrap();
    assert_eq!((adopted.from, adopted.to), (300, 314));
    a.target = replicas::open(&world.config(), ORIGIN, &signer(), "a").unwrap();
    assert_eq!(a.target.taken(), 309);
    a.settle();
    b.write(1);
    b.settle();
    world.check(&[&a, &b]);
    world.check_continues(&seen);
    assert_eq!(a.target.prove(299).unwrap().unwrap().index(), 299);
    assert_eq!(a.target.prove(306).unwrap().unwrap().leaf(), &attest::merkle::leaf_hash(&a.leaves[306]));
    assert_eq!(world.cluster.sql("SELECT count(*) FROM portcullis.entries_pending"), "0");
    let health = a.target.health().unwrap();
    assert!(
        matches!(health.duty(), Duty::Sequencing(_)) && health.held().is_empty(),
        "{health:?} {:?}",
        health.held()
    );
}

/// The folder and the database, both: the signer remembers.
#[test]
fn an_old_database_with_an_old_folder_is_refused_by_the_signer() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    drop(a.target);
    world.cluster.down("fast");
    world.cluster.back_up("backup");
    let copy = |from: &str, to: &str| {
        let (from, to) = (world.path(from), world.path(to));
        assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copy("log", "log-backup");
    world.cluster.up("");
    a.target = replicas::open(&world.config(), ORIGIN, &signer(), "a").unwrap();
    a.write(4);
    a.settle();
    drop(a.target);
    world.cluster.down("fast");
    world.cluster.restore("backup");
    std::fs::remove_dir_all(world.path("log")).unwrap();
    copy("log-backup", "log");
    world.cluster.up("");
    let mut b = world.open(&world.config(), "b");
    let why = b.refusal();
    assert!(why.contains("the key signed a tree of 7 entries already, and shall sign another of 3"), "{why}");
    b.write(9);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(world.checkpoint().size, 3);
    drop(b);
    assert!(matches!(adopt(&world.config(), ORIGIN, signer()), Err(AdoptError::Signed(_))));
}

#[test]
fn a_database_without_the_log_is_refused() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    drop(a.target);
    world.cluster.sql("DELETE FROM portcullis.checkpoint");
    a.target = replicas::open(&world.config(), ORIGIN, &signer(), "a").unwrap();
    let why = a.refusal();
    assert!(why.contains("the database has no log log.example/decisions"), "{why}");
    drop(a.target);
    assert!(matches!(adopt(&world.config(), ORIGIN, signer()), Err(AdoptError::NoLog)));
    // made anew, it has an empty log, which is the beginning of every tree
    world.cluster.sql("DROP SCHEMA portcullis CASCADE");
    let mut owner = world.config();
    owner.writer.user = "postgres".to_owned();
    replicas::create(&owner, ORIGIN, signer()).unwrap();
    a.target = replicas::open(&world.config(), ORIGIN, &signer(), "a").unwrap();
    assert!(a.refusal().contains("the database has a log of 0 entries"));
    drop(a.target);
    adopt(&world.config(), ORIGIN, signer()).unwrap();
    a.target = replicas::open(&world.config(), ORIGIN, &signer(), "a").unwrap();
    a.write(1);
    a.settle();
    world.check(&[&a]);
}

#[test]
fn another_logs_database_is_not_adopted() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    drop(a.target);
    world.cluster.sql("UPDATE portcullis.checkpoint SET size = 2, root = sha256('x')");
    match adopt(&world.config(), ORIGIN, signer()) {
        Err(AdoptError::NoPrefix { database: 2, folder: 3 }) => {}
        other => panic!("{other:?}"),
    }
}
