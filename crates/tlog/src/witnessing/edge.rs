//! The tree of one checkpoint, while the log goes on: partial tiles are read once, because a wider one soon replaces
//! them, and full tiles never change.

use std::collections::BTreeMap;
use std::io;

use attest::merkle::Hash;
use attest::note::{Checkpoint, NoteKey};

use crate::log::{CHECKPOINT, read_checkpoint};
use crate::reader::{ReadError, Reader};
use crate::storage::Storage;
use crate::tile::{self, WIDTH};

/// How often the checkpoint may move while its partial tiles are read.
const TRIES: usize = 50;

/// A log as it was at one checkpoint.
pub(super) struct Edge<'a, S> {
    storage: &'a S,
    partial: BTreeMap<String, Vec<u8>>,
    /// What the checkpoint says.
    pub(super) checkpoint: Checkpoint,
    /// The checkpoint as it is written.
    pub(super) text: String,
}

impl<'a, S: Storage> Edge<'a, S> {
    /// Reads the newest checkpoint and what may go away.
    pub(super) fn read(storage: &'a S, key: &NoteKey) -> Result<Self, ReadError> {
        let mut tries = 0;
        loop {
            let bytes = storage.read(CHECKPOINT).map_err(|e| ReadError::Io(CHECKPOINT.to_owned(), e))?;
            let bytes = bytes.ok_or_else(|| ReadError::Missing(CHECKPOINT.to_owned()))?;
            let malformed = || ReadError::Malformed(CHECKPOINT.to_owned());
            let checkpoint = read_checkpoint(&bytes, key).ok_or_else(malformed)?;
            tries += 1;
            match partial_tiles(storage, checkpoint.size) {
                Err(ReadError::Missing(_)) if tries < TRIES => {}
                Err(e) => return Err(e),
                Ok(partial) => {
                    let text = String::from_utf8(bytes).or(Err(malformed()))?;
                    return Ok(Self { storage, partial, checkpoint, text });
                }
            }
        }
    }

    fn reader(&self) -> Reader<'_, Self> {
        Reader::new(self, self.checkpoint.size)
    }

    /// The proof that this tree continues the one of its first `old` leaves.
    pub(super) fn consistency(&self, old: u64) -> Result<Vec<Hash>, ReadError> {
        self.reader().consistency(old)
    }

    /// The root over the first `old` leaves.
    pub(super) fn root_at(&self, old: u64) -> Result<Hash, ReadError> {
        self.reader().prefix_root(old)
    }
}

fn partial_tiles<S: Storage>(storage: &S, size: u64) -> Result<BTreeMap<String, Vec<u8>>, ReadError> {
    let mut partial = BTreeMap::new();
    for level in 0.. {
        let count = tile::count_at(size, level);
        if count == 0 {
            break;
        }
        if count.is_multiple_of(WIDTH) {
            continue;
        }
        let path = tile::hash_path(level, count / WIDTH, count % WIDTH);
        let bytes = storage.read(&path).map_err(|e| ReadError::Io(path.clone(), e))?;
        partial.insert(path.clone(), bytes.ok_or(ReadError::Missing(path))?);
    }
    Ok(partial)
}

impl<S: Storage> Storage for Edge<'_, S> {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match self.partial.get(path) {
            Some(bytes) => Ok(Some(bytes.clone())),
            None => self.storage.read(path),
        }
    }

    fn write(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }
}
