//! The log against naive trees, against failing storage, and against somebody who edits it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use attest::merkle::{is_consistent, leaf_hash, root_from_inclusion};
use attest::note::{Checkpoint, Note, NoteKey};
use attest::{SecretKey, Signer as _};
use tlog::{AppendError, Flaw, Log, OpenLogError, Reader, Receipt, Storage, root_of, verify};

/// A store in memory that fails at a chosen write, in a chosen way.
#[derive(Clone, Default)]
struct Memory {
    files: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    writes: Rc<Cell<usize>>,
    fail_at: Rc<Cell<Option<(usize, Failure)>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    /// Nothing was written.
    Lost,
    /// Everything was written, and the error is a lie.
    Persisted,
}

impl Storage for Memory {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.borrow().get(path).cloned())
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let number = self.writes.get();
        self.writes.set(number + 1);
        match self.fail_at.get() {
            Some((at, kind)) if at == number => {
                if kind == Failure::Persisted {
                    self.files.borrow_mut().insert(path.to_owned(), bytes.to_vec());
                }
                Err(io::Error::other("injected"))
            }
            _ => {
                self.files.borrow_mut().insert(path.to_owned(), bytes.to_vec());
                Ok(())
            }
        }
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.files.borrow_mut().remove(path);
        Ok(())
    }
}

const ORIGIN: &str = "test.example/log";

fn signer() -> Box<SecretKey> {
    Box::new(SecretKey::from_ed25519_seed(&[1; 32]).unwrap())
}

fn key() -> NoteKey {
    NoteKey { name: ORIGIN.to_owned(), key: signer().public().clone() }
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn filled(size: u64) -> (Memory, Log<Memory>) {
    let memory = Memory::default();
    let mut log = Log::create(memory.clone(), ORIGIN, signer()).unwrap();
    for index in 0..size {
        log.append(&entry(index)).unwrap();
    }
    (memory, log)
}

#[test]
fn every_size_has_the_root_of_a_naive_tree_and_proofs_that_hold() {
    let (memory, mut log) = filled(0);
    let mut leaves = Vec::new();
    let mut roots = vec![attest::merkle::empty_root()];
    for size in 1..=520_u64 {
        let receipt = log.append(&entry(size - 1)).unwrap();
        leaves.push(leaf_hash(&entry(size - 1)));
        let root = root_of(&leaves);
        roots.push(root);
        let reader = Reader::new(&memory, size);
        assert_eq!(reader.root().unwrap(), root, "{size}");
        assert_eq!(receipt.index(), size - 1);
        // around the edges of tiles every leaf, elsewhere a few
        let all = size <= 40 || (250..262).contains(&size) || size > 508;
        for index in (0..size).filter(|i| all || i % 37 == 0) {
            let proof = reader.inclusion(index).unwrap();
            let leaf = leaves[usize::try_from(index).unwrap()];
            assert_eq!(root_from_inclusion(index, size, leaf, &proof), Some(root), "{index} of {size}");
            for wrong in 0..proof.len() {
                let mut changed = proof.clone();
                changed[wrong][0] ^= 1;
                assert_ne!(root_from_inclusion(index, size, leaf, &changed), Some(root));
            }
        }
        for old in (0..=size).filter(|o| all || o % 41 == 0) {
            let proof = reader.consistency(old).unwrap();
            let old_root = roots[usize::try_from(old).unwrap()];
            assert!(is_consistent(old, &old_root, size, &root, &proof), "{old} in {size}");
            if old > 0 && old < size {
                let mut forged = old_root;
                forged[0] ^= 1;
                assert!(!is_consistent(old, &forged, size, &root, &proof), "{old} in {size}");
            }
        }
    }
    assert_eq!(verify(&memory, &key(), None, |_, _| {}).unwrap().checkpoint.size, 520);
}

#[test]
fn a_log_is_reopened_at_every_size_and_continued() {
    let (memory, log) = filled(0);
    drop(log);
    for size in 0..300 {
        let mut log = Log::open(memory.clone(), ORIGIN, signer()).unwrap();
        assert_eq!(log.size(), size);
        log.append(&entry(size)).unwrap();
    }
    let mut seen = Vec::new();
    verify(&memory, &key(), None, |_, bytes| seen.push(bytes.to_vec())).unwrap();
    assert_eq!(seen, (0..300).map(entry).collect::<Vec<_>>());
}

/// For each write of one append, at sizes around the edges of tiles: it fails, or fails though it persisted. The log
/// stops; opened anew, it verifies, has every acknowledged entry, and goes on.
#[test]
fn a_failed_write_stops_the_log_and_loses_nothing_acknowledged() {
    for size in [0, 1, 7, 255, 256, 257] {
        for failure in [Failure::Lost, Failure::Persisted] {
            for at in 0.. {
                let (memory, mut log) = filled(size);
                memory.fail_at.set(Some((memory.writes.get() + at, failure)));
                let result = log.append(b"the one that fails");
                let row = format!("size {size}, write {at}, {failure:?}");
                if result.is_ok() {
                    assert!(at >= 3, "{row}: an append has at least three writes");
                    break;
                }
                assert!(matches!(result, Err(AppendError::Io(_))), "{row}");
                assert!(matches!(log.append(b"another"), Err(AppendError::Stopped)), "{row}: no retry");
                memory.fail_at.set(None);
                let mut log =
                    Log::open(memory.clone(), ORIGIN, signer()).unwrap_or_else(|e| panic!("{row}: {e}"));
                assert!(log.size() == size || log.size() == size + 1, "{row}");
                log.append(b"afterwards").unwrap();
                let mut entries = Vec::new();
                verify(&memory, &key(), None, |_, bytes| entries.push(bytes.to_vec()))
                    .unwrap_or_else(|e| panic!("{row}: {e}"));
                let acknowledged: Vec<Vec<u8>> = (0..size).map(entry).collect();
                assert_eq!(entries[..acknowledged.len()], acknowledged, "{row}");
                assert_eq!(entries.last().unwrap(), b"afterwards", "{row}");
            }
        }
    }
}

#[test]
fn one_changed_byte_anywhere_is_found() {
    let (memory, _) = filled(260);
    let files: Vec<(String, Vec<u8>)> = memory.files.borrow().clone().into_iter().collect();
    assert!(files.len() >= 5, "tiles of two levels, two bundles, a checkpoint");
    let mut changed = 0;
    for (path, bytes) in &files {
        for at in 0..bytes.len() {
            // every byte of small files, a sample of large ones
            if bytes.len() > 2000 && at % 61 != 0 {
                continue;
            }
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            memory.files.borrow_mut().insert(path.clone(), edited);
            assert!(verify(&memory, &key(), None, |_, _| {}).is_err(), "{path} byte {at}");
            changed += 1;
        }
        memory.files.borrow_mut().insert(path.clone(), bytes.clone());
        memory.files.borrow_mut().remove(path);
        assert!(verify(&memory, &key(), None, |_, _| {}).is_err(), "{path} removed");
        memory.files.borrow_mut().insert(path.clone(), bytes.clone());
    }
    assert!(changed > 500);
    assert!(verify(&memory, &key(), None, |_, _| {}).is_ok());
}

#[test]
fn a_changed_record_is_located() {
    let (memory, _) = filled(300);
    let path = "tile/entries/000".to_owned();
    let mut bytes = memory.files.borrow()[&path].clone();
    let at = bytes.windows(8).position(|w| w == b"entry 42").unwrap();
    bytes[at + 7] = b'3';
    memory.files.borrow_mut().insert(path, bytes);
    assert!(matches!(verify(&memory, &key(), None, |_, _| {}), Err(Flaw::Entry(42))));
}

#[test]
fn a_rewritten_log_under_the_real_key_fails_against_a_checkpoint_that_was_seen() {
    let (honest, _) = filled(9);
    let note = Note::parse(std::str::from_utf8(&honest.files.borrow()["checkpoint"]).unwrap()).unwrap();
    let seen = Checkpoint::parse(note.text()).unwrap();
    let rewritten = Memory::default();
    let mut log = Log::create(rewritten.clone(), ORIGIN, signer()).unwrap();
    for index in 0..20 {
        log.append(if index == 3 { b"forged" } else { b"entry" }).unwrap();
    }
    assert!(verify(&rewritten, &key(), None, |_, _| {}).is_ok(), "it is consistent in itself");
    assert!(matches!(
        verify(&rewritten, &key(), Some(&seen), |_, _| {}),
        Err(Flaw::Rewritten { seen: 9, size: 20 })
    ));
    let (shorter, _) = filled(5);
    assert!(
        matches!(verify(&shorter, &key(), Some(&seen), |_, _| {}), Err(Flaw::Rewritten { .. })),
        "truncated"
    );
    assert!(verify(&honest, &key(), Some(&seen), |_, _| {}).is_ok());
}

#[test]
fn a_log_is_not_opened_under_another_key_or_name_nor_made_twice() {
    let (memory, _) = filled(3);
    let other = Box::new(SecretKey::from_ed25519_seed(&[2; 32]).unwrap());
    assert!(matches!(Log::open(memory.clone(), ORIGIN, other), Err(OpenLogError::Checkpoint)));
    assert!(matches!(Log::open(memory.clone(), "other.example", signer()), Err(OpenLogError::Checkpoint)));
    assert!(matches!(Log::create(memory, ORIGIN, signer()), Err(OpenLogError::Exists)));
    assert!(matches!(Log::open(Memory::default(), ORIGIN, signer()), Err(OpenLogError::None)));
}

#[test]
fn a_tampered_log_is_not_continued() {
    let (memory, _) = filled(5);
    let path = "tile/0/000.p/5".to_owned();
    let mut bytes = memory.files.borrow()[&path].clone();
    bytes[0] ^= 1;
    memory.files.borrow_mut().insert(path, bytes);
    assert!(matches!(Log::open(memory, ORIGIN, signer()), Err(OpenLogError::Root)));
}

#[test]
fn a_receipt_of_any_record_can_be_had_later() {
    let (memory, _) = filled(12);
    for index in 0..12 {
        let text = Receipt::prove(&memory, &key(), index).unwrap().to_text();
        assert!(text.starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {index}\n")));
    }
    assert!(Receipt::prove(&memory, &key(), 12).is_err());
}

/// A log that takes one more entry just before a chosen read.
struct Growing {
    memory: Memory,
    log: RefCell<Log<Memory>>,
    reads: Cell<usize>,
    at: usize,
}

impl Storage for Growing {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.reads.set(self.reads.get() + 1);
        if self.reads.get() == self.at {
            self.log.borrow_mut().append(b"one more").unwrap();
        }
        self.memory.read(path)
    }
    fn write(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(io::Error::other("only read"))
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::Error::other("only read"))
    }
}

#[test]
fn a_receipt_can_be_had_whenever_the_log_grows() {
    // the newest tiles are partial, become full, or are new
    for size in [12, 255, 256, 300] {
        let (full, _) = filled(size);
        for index in [0, size - 1] {
            for at in 1.. {
                let files = Rc::new(RefCell::new(full.files.borrow().clone()));
                let memory = Memory { files, ..Memory::default() };
                let log = RefCell::new(Log::open(memory.clone(), ORIGIN, signer()).unwrap());
                let growing = Growing { memory, log, reads: Cell::new(0), at };
                let row = format!("record {index} of {size}, and another before read {at}");
                let receipt =
                    Receipt::prove(&growing, &key(), index).unwrap_or_else(|e| panic!("{row}: {e}"));
                let entry = receipt.to_entry(b"");
                let note = Note::parse(&entry.checkpoint).unwrap();
                let root = Checkpoint::parse(note.text()).unwrap();
                assert_eq!((receipt.index(), root.size), (index, receipt.size()), "{row}");
                let found = root_from_inclusion(index, root.size, *receipt.leaf(), &entry.proof);
                assert_eq!(found, Some(root.root), "{row}");
                if growing.reads.get() < at {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_log_is_verified_while_it_grows() {
    for size in [12, 255, 256, 300] {
        let (full, _) = filled(size);
        for at in 1.. {
            let files = Rc::new(RefCell::new(full.files.borrow().clone()));
            let memory = Memory { files, ..Memory::default() };
            let log = RefCell::new(Log::open(memory.clone(), ORIGIN, signer()).unwrap());
            let growing = Growing { memory, log, reads: Cell::new(0), at };
            let mut entries = 0;
            let verified = verify(&growing, &key(), None, |_, _| entries += 1)
                .unwrap_or_else(|e| panic!("{size}, and another before read {at}: {e}"));
            assert_eq!(verified.checkpoint.size, entries);
            if growing.reads.get() < at {
                break;
            }
        }
    }
}

/// Tessera's log as it grew: the tiles of every size lead to that size's checkpoint, and each continues the one before.
#[test]
fn tesseras_tiles_lead_to_its_checkpoints() {
    let dir = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/tessera-log"));
    if !dir.exists() {
        #[allow(clippy::disallowed_methods, reason = "a test's own settings")]
        let is_ci = std::env::var_os("CI").is_some();
        assert!(!is_ci, "the shared data must be there in CI: {}", dir.display());
        eprintln!("\n*** SKIPPED: no shared data at {}; this test checked NOTHING ***\n", dir.display());
        return;
    }
    let files = tlog::Files::new(dir);
    let (key, _) = NoteKey::parse(&std::fs::read_to_string(dir.join("log.vkey")).unwrap()).unwrap();
    let mut entries = 0;
    let verified = verify(&files, &key, None, |_, _| entries += 1).unwrap();
    assert_eq!((verified.checkpoint.size, entries), (8, 8));
    let checkpoint = |size: u64| {
        let text = std::fs::read_to_string(dir.join(format!("checkpoint.{size}"))).unwrap();
        Checkpoint::parse(Note::parse(&text).unwrap().text()).unwrap()
    };
    for size in 1..=8 {
        let reader = Reader::new(&files, size);
        assert_eq!(reader.root().unwrap(), checkpoint(size).root, "{size}");
        let old = checkpoint(size - 1);
        let proof = reader.consistency(size - 1).unwrap();
        assert!(is_consistent(size - 1, &old.root, size, &checkpoint(size).root, &proof), "{size}");
        verify(&files, &key, Some(&checkpoint(size)), |_, _| {}).unwrap();
    }
}
