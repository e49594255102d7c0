//! What holds for every target, tried with files and with PostgreSQL.

use tlog::{ApplyError, Batch, Blobs, Files, Level, Log, Reader, Storage as _, Target};

use crate::world::{ORIGIN, World, entry, key, signer};

/// A target that can be opened again, and the folder in which its tree is.
trait Store {
    fn open(&self) -> Box<dyn Target>;
    fn tiles(&self) -> Files;
}

struct InFiles(tempfile::TempDir);

impl Store for InFiles {
    fn open(&self) -> Box<dyn Target> {
        let key = || Box::new(attest::SecretKey::from_ed25519_seed(&[5; 32]).unwrap());
        if self.tiles().read("checkpoint").unwrap().is_none() {
            return Box::new(Log::create(self.tiles(), ORIGIN, key()).unwrap());
        }
        Box::new(Log::open(self.tiles(), ORIGIN, key()).unwrap())
    }

    fn tiles(&self) -> Files {
        Files::new(self.0.path())
    }
}

impl Store for World {
    fn open(&self) -> Box<dyn Target> {
        Box::new(replicas::open(&self.config(), ORIGIN, &signer(), "w").unwrap())
    }

    fn tiles(&self) -> Files {
        World::tiles(self)
    }
}

fn leaves(count: usize) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    for _ in 0..count {
        leaves.push(entry("w", &leaves, "x"));
    }
    leaves
}

fn until_in_tree(target: &mut dyn Target, count: u64) {
    let start = std::time::Instant::now();
    while target.reached(Level::Sequenced).unwrap() < count {
        assert!(start.elapsed().as_secs() < 30, "{:?}", target.reached(Level::Sequenced));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn keeps_order_and_takes_twice_as_once(store: &dyn Store) {
    let all = leaves(700);
    let batch =
        |from: usize, to: usize| Batch { leaves: all[from..to].to_vec(), blobs: vec![vec![1, from as u8]] };
    let mut target = store.open();
    assert_eq!(target.newest().unwrap(), tlog::Newest::default());
    target.apply(0, &[batch(0, 1), batch(1, 300)]).unwrap();
    assert_eq!((target.taken(), target.reached(Level::Quorum).unwrap()), (300, 300));
    // all of it again, a part of it again with more, and what is not next
    target.apply(0, &[batch(0, 1), batch(1, 300)]).unwrap();
    target.apply(1, &[batch(1, 300), batch(300, 500)]).unwrap();
    assert!(matches!(
        target.apply(501, &[batch(501, 502)]),
        Err(ApplyError::Stop(_) | ApplyError::Unreachable(_))
    ));
    assert_eq!(target.taken(), 500);
    until_in_tree(target.as_mut(), 500);
    target.apply(0, &[batch(0, 1), batch(1, 300), batch(300, 500)]).unwrap();
    drop(target);

    let mut target = store.open();
    assert_eq!(target.taken(), 500, "all that was taken is there after a start");
    let newest = target.newest().unwrap();
    assert_eq!(newest.own.as_ref(), Some(&all[499]));
    assert!(newest.all.contains(&all[499]) && newest.all.len() >= 244, "{}", newest.all.len());
    target.apply(500, &[batch(500, 700)]).unwrap();
    assert_eq!(target.newest().unwrap().own.as_ref(), Some(&all[699]));
    until_in_tree(target.as_mut(), 700);
    assert_eq!(target.reached(Level::Witnessed).unwrap(), 0);

    let mut found = Vec::new();
    tlog::verify(&store.tiles(), &key(), None, |_, leaf| found.push(leaf.to_vec())).unwrap();
    assert!(found == all, "{} of {}", found.len(), all.len());
    for from in [0_u8, 1, 44] {
        Blobs::new(store.tiles()).get(&attest::Digest::sha256(&[1, from])).unwrap();
    }
}

fn proves_what_is_in_the_tree(store: &dyn Store) {
    let all = leaves(300);
    let mut target = store.open();
    assert_eq!(target.prove(0).unwrap(), None);
    target.apply(0, &[Batch { leaves: all.clone(), blobs: Vec::new() }]).unwrap();
    until_in_tree(target.as_mut(), 300);
    for sequence in [0, 1, 255, 256, 299] {
        let receipt = target.prove(sequence).unwrap().unwrap();
        let leaf = &all[usize::try_from(sequence).unwrap()];
        assert_eq!(receipt.leaf(), &attest::merkle::leaf_hash(leaf));
        let size = 300;
        let tiles = store.tiles();
        let root = Reader::new(&tiles, size).root().unwrap();
        let proof = receipt.to_entry(leaf).proof;
        let found = attest::merkle::root_from_inclusion(receipt.index(), size, *receipt.leaf(), &proof);
        assert_eq!(found, Some(root));
    }
    assert_eq!(target.prove(300).unwrap(), None);
    // whoever asks witnesses writes this file; it is the checkpoint that they saw
    let tiles = store.tiles();
    tiles.write("witnessed", &tiles.read("checkpoint").unwrap().unwrap()).unwrap();
    target.apply(300, &[Batch { leaves: vec![entry("w", &all, "later")], blobs: Vec::new() }]).unwrap();
    until_in_tree(target.as_mut(), 301);
    assert_eq!(target.reached(Level::Witnessed).unwrap(), 300);
}

#[test]
fn files_keep_order_and_take_twice_as_once() {
    keeps_order_and_takes_twice_as_once(&InFiles(tempfile::tempdir().unwrap()));
}

#[test]
fn postgresql_keeps_order_and_takes_twice_as_once() {
    keeps_order_and_takes_twice_as_once(&World::new());
}

#[test]
fn files_prove_what_is_in_the_tree() {
    proves_what_is_in_the_tree(&InFiles(tempfile::tempdir().unwrap()));
}

#[test]
fn postgresql_proves_what_is_in_the_tree() {
    proves_what_is_in_the_tree(&World::new());
}
