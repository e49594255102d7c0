//! A disk that loses power at a chosen write, and what a log writes on it. Shared by the tests of the spool.
#![allow(dead_code, missing_docs, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use attest::note::NoteKey;
use attest::{Digest, SecretKey, Signer as _};
use tlog::{Batch, Log, OpenLogError, Storage};

/// What is there of the write at which the machine stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kept {
    Nothing,
    FirstSectors,
    LastSectors,
    EveryOtherSector,
    Everything,
}

pub const KINDS: [Kept; 5] =
    [Kept::Nothing, Kept::FirstSectors, Kept::LastSectors, Kept::EveryOtherSector, Kept::Everything];

#[derive(Debug, Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    pub operations: usize,
    pub crash_at: Option<(usize, Kept)>,
    pub is_down: bool,
    /// Writes of paths that begin so fail as on a full disk.
    pub full: Option<String>,
}

/// A disk that loses power at a chosen write. Everything fails after that, until it is `repaired`.
#[derive(Clone, Debug, Default)]
pub struct Disk(pub Arc<Mutex<State>>);

impl Disk {
    pub fn crash_at(&self, operation: usize, kept: Kept) {
        let mut state = self.0.lock().unwrap();
        state.crash_at = Some((state.operations + operation, kept));
    }

    pub fn repaired(&self) -> usize {
        let mut state = self.0.lock().unwrap();
        (state.crash_at, state.is_down, state.full) = (None, false, None);
        state.operations
    }

    /// Whether this operation goes through; else what of it is kept.
    fn begin(state: &mut State, path: &str) -> Result<(), (Kept, io::Error)> {
        if state.is_down {
            return Err((Kept::Nothing, io::Error::other("the machine is off")));
        }
        if state.full.as_ref().is_some_and(|full| path.starts_with(full)) {
            return Err((Kept::Nothing, io::Error::from(io::ErrorKind::StorageFull)));
        }
        state.operations += 1;
        match state.crash_at {
            Some((at, kept)) if state.operations > at => {
                state.is_down = true;
                Err((kept, io::Error::other("power cut")))
            }
            _ => Ok(()),
        }
    }
}

impl Storage for Disk {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let state = self.0.lock().unwrap();
        if state.is_down {
            Err(io::Error::other("the machine is off"))
        } else {
            Ok(state.files.get(path).cloned())
        }
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let begun = Self::begin(&mut state, path);
        // a file is replaced as a whole: it is there, or not
        if matches!(begun, Ok(()) | Err((Kept::LastSectors | Kept::Everything, _))) {
            state.files.insert(path.to_owned(), bytes.to_vec());
        }
        begun.map_err(|(_, e)| e)
    }
    fn write_many(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        // any of them may be there after a crash: the last ones, here
        files.iter().rev().try_for_each(|(path, bytes)| self.write(path, bytes))
    }
    fn write_at(&self, path: &str, position: usize, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let begun = Self::begin(&mut state, path);
        let kept = begun.as_ref().map_or_else(|(kept, _)| *kept, |()| Kept::Everything);
        let file = state.files.get_mut(path).expect("it is preallocated");
        file.resize(file.len().max(position + bytes.len()), 0);
        let half = bytes.len() / 1024;
        for (number, sector) in bytes.chunks(512).enumerate() {
            let is_kept = match kept {
                Kept::Nothing => false,
                Kept::FirstSectors => number < half,
                Kept::LastSectors => number >= half,
                Kept::EveryOtherSector => number % 2 == 0,
                Kept::Everything => true,
            };
            if is_kept {
                let at = position + number * 512;
                file[at..at + sector.len()].copy_from_slice(sector);
            }
        }
        begun.map_err(|(_, e)| e)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.lock().unwrap().files.remove(path);
        Ok(())
    }
}

pub const ORIGIN: &str = "test.example/log";
/// So short that packs are closed and begun in every life.
pub const PACK: usize = 24 * 1024;

pub fn signer() -> Box<SecretKey> {
    Box::new(SecretKey::from_ed25519_seed(&[1; 32]).unwrap())
}

pub fn key() -> NoteKey {
    NoteKey { name: ORIGIN.to_owned(), key: signer().public().clone() }
}

pub fn open(disk: &Disk) -> Result<Log<Disk>, OpenLogError> {
    let log = match Log::open(disk.clone(), ORIGIN, signer()) {
        Err(OpenLogError::None) => Log::create(disk.clone(), ORIGIN, signer()),
        other => other,
    };
    Ok(log?.with_packs_of(PACK))
}

/// Leaves name a blob each, as records do.
pub fn batch(first: u64, count: u64, life: u64) -> Batch {
    let blob = |index: u64| {
        format!("part of {index} in life {life} ").repeat(if index.is_multiple_of(5) { 300 } else { 9 })
    };
    let blobs: Vec<Vec<u8>> = (first..first + count).map(|index| blob(index).into_bytes()).collect();
    let leaf =
        |(index, blob): (u64, &Vec<u8>)| format!("{index} {life} {}", Digest::sha256(blob)).into_bytes();
    Batch { leaves: (first..).zip(&blobs).map(leaf).collect(), blobs }
}
