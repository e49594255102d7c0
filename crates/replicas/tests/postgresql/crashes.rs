//! A crash, or a full disk, at each step of a batch.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use replicas::Duty;
use tlog::{Level, Target};

use crate::world::{World, Writer};

/// A folder where a file is to be written: the write fails, as it would for any other reason, at exactly this step.
fn block(path: &Path) {
    std::fs::create_dir_all(path.join("in the way")).unwrap();
}

fn unblock(path: &Path) {
    std::fs::remove_dir_all(path).unwrap();
}

fn epoch(world: &World) -> String {
    world.cluster.sql("SELECT epoch FROM portcullis.checkpoint")
}

fn failing(a: &Writer) -> String {
    match a.wait_for(|duty| matches!(duty, Duty::Unreachable(_))) {
        Duty::Unreachable(why) => why,
        other => panic!("{other:?}"),
    }
}

/// Stops at a step, starts another process if wanted, and mends it.
fn stops_at(path: &str, is_committed: bool, starts_anew: bool) {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    let seen = world.checkpoint();
    let at = world.path(&path.replace("EPOCH", &epoch(&world)));
    block(&at);
    a.write(2);
    let why = failing(&a);
    assert!(why.starts_with("the log's folder failed: "), "{why}");
    assert_eq!(world.checkpoint(), seen, "nothing is published");
    assert_eq!(a.target.reached(Level::Sequenced).unwrap(), 3, "what is not published is not told");
    let size = world.cluster.sql("SELECT size FROM portcullis.checkpoint");
    assert_eq!(size, if is_committed { "5" } else { "3" });
    if starts_anew {
        a.target =
            replicas::open(&world.writing(), crate::world::ORIGIN, &crate::world::signer(), "a").unwrap();
        a.target =
            replicas::open(&world.config(), crate::world::ORIGIN, &crate::world::signer(), "a").unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    unblock(&at);
    a.settle();
    a.write(1);
    a.settle();
    world.check(&[&a]);
    world.check_continues(&seen);
    drop(a);
    assert_eq!(std::fs::read_dir(world.path("log/staged")).unwrap().count(), 0);
}

#[test]
fn before_it_is_staged() {
    stops_at("log/staged/EPOCH", false, false);
    stops_at("log/staged/EPOCH", false, true);
}

#[test]
fn after_the_commit_and_before_the_tiles() {
    stops_at("log/tile/entries/000.p/5", true, false);
    stops_at("log/tile/0/000.p/5", true, true);
}

#[test]
fn after_the_tiles_and_before_the_checkpoint() {
    // what is remembered as signed is durable, and the checkpoint is not there
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    let seen = world.checkpoint();
    drop(a.target);
    let old = std::fs::read(world.path("log/checkpoint")).unwrap();
    // the state after a crash there: everything of the next batch but the checkpoint's rename
    a.target = replicas::open(&world.config(), crate::world::ORIGIN, &crate::world::signer(), "a").unwrap();
    let partial = world.path("log/tile/entries/000.p/5");
    block(&partial);
    a.write(2);
    failing(&a);
    // a sequencer that failed begins anew, under the next number
    let staged = staged(&world);
    unblock(&partial);
    a.settle();
    drop(a.target);
    std::fs::write(world.path("log/checkpoint"), old).unwrap();
    std::fs::write(&staged.0, &staged.1).unwrap();
    // the partial tiles of the old size were swept only afterwards
    let signed = std::fs::read_to_string(world.path("signed/signed")).unwrap();
    assert!(signed.contains("\n5\n"), "{signed}");
    restore_partials(&world, &a.leaves[..3]);
    a.target = replicas::open(&world.config(), crate::world::ORIGIN, &crate::world::signer(), "a").unwrap();
    a.settle();
    a.write(1);
    a.settle();
    world.check(&[&a]);
    world.check_continues(&seen);
}

/// The one batch that is staged.
fn staged(world: &World) -> (PathBuf, Vec<u8>) {
    let mut files = std::fs::read_dir(world.path("log/staged")).unwrap();
    let path = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

fn restore_partials(world: &World, leaves: &[Vec<u8>]) {
    let mut entries = Vec::new();
    let mut hashes = Vec::new();
    for leaf in leaves {
        entries.extend(u16::try_from(leaf.len()).unwrap().to_be_bytes());
        entries.extend(leaf);
        hashes.extend(attest::merkle::leaf_hash(leaf));
    }
    std::fs::write(world.path(&format!("log/tile/entries/000.p/{}", leaves.len())), entries).unwrap();
    std::fs::write(world.path(&format!("log/tile/0/000.p/{}", leaves.len())), hashes).unwrap();
}

#[test]
fn what_was_staged_and_changed_is_not_finished() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    let partial = world.path("log/tile/entries/000.p/5");
    block(&partial);
    a.write(2);
    failing(&a);
    drop(a.target);
    let (path, mut bytes) = staged(&world);
    let at = bytes.windows(4).position(|part| part == b"more").unwrap();
    bytes[at] ^= 1;
    // with a digest that fits: whoever changes one changes the other
    let body = bytes.len() - 32;
    let digest = attest::Digest::sha256(&bytes[..body]);
    bytes[body..].copy_from_slice(digest.bytes());
    std::fs::write(&path, &bytes).unwrap();
    unblock(&partial);
    a.target = replicas::open(&world.config(), crate::world::ORIGIN, &crate::world::signer(), "a").unwrap();
    let why = a.refusal();
    assert!(why.contains("does not lead to the tree that the database committed: it was changed"), "{why}");
    std::fs::remove_file(&path).unwrap();
    drop(a.target);
    a.target = replicas::open(&world.config(), crate::world::ORIGIN, &crate::world::signer(), "a").unwrap();
    let why = a.refusal();
    assert!(why.contains("without the batch between them"), "{why}");
}

#[test]
fn a_full_disk_is_waited_for() {
    let world = World::new();
    let folder = world.path("log");
    let mut a = world.open(&world.config(), "a");
    a.write(3);
    a.settle();
    drop(a.target);
    // a small file system in the folder's place
    let kept = world.path("kept");
    std::fs::rename(&folder, &kept).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&folder).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return; // who is not root cannot; the other tests here fail writes another way
    }
    let copied = Command::new("sh")
        .arg("-c")
        .arg(format!("cp -a {}/. {}/", kept.display(), folder.display()))
        .status();
    assert!(copied.unwrap().success());
    std::fs::write(folder.join("ballast"), vec![0; 700 << 10]).unwrap();
    a.target = replicas::open(&world.config(), crate::world::ORIGIN, &crate::world::signer(), "a").unwrap();
    a.write(1500);
    let why = failing(&a);
    std::fs::remove_file(folder.join("ballast")).unwrap();
    assert!(why.contains("No space left on device"), "{why}");
    a.settle();
    world.check(&[&a]);
    drop(a);
    assert!(Command::new("umount").arg(&folder).status().unwrap().success());
}
