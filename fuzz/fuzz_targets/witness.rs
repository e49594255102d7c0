//! What a witness takes from anybody, and what anybody may be given as a proof: no panic, nothing cosigned that the log
//! did not sign, and what was read is written as the same.
#![no_main]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use attest::note::NoteKey;
use attest::{SecretKey, Signer as _};
use tlog::witness::{Request, Witness};
use tlog::{Proof, Storage};

#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, Vec<u8>>>);

impl Storage for Memory {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.borrow().get(path).cloned())
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// The log's key of the seeds: they are the only bodies that it signed.
fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(request) = Request::parse(data) {
        let log = NoteKey { name: "test.example/log".to_owned(), key: key(1).public().clone() };
        let storage = Memory::default();
        Witness::create(&storage, "w", &key(9)).unwrap();
        let witness = Witness::open(storage, "w", Box::new(key(9)), vec![log.clone()]).unwrap();
        if witness.add_checkpoint(data, jiff::Timestamp::UNIX_EPOCH).is_ok() {
            assert!(request.note.is_signed_by(&log) && request.old == 0 && request.proof.is_empty());
        }
        let (old, new) = (request.old, request.checkpoint.size);
        let _ = attest::merkle::is_consistent(old, &[0; 32], new, &request.checkpoint.root, &request.proof);
    }
    let Some(proof) = std::str::from_utf8(data).ok().and_then(|text| Proof::parse(text).ok()) else { return };
    assert_eq!(Proof::parse(&proof.to_text()).as_ref(), Ok(&proof));
    let log = NoteKey { name: "test.example/log".to_owned(), key: key(1).public().clone() };
    let _ = proof.verify(b"record", &log, &[], 0);
});
