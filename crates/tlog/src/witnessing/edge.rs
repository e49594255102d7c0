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
pub(crate) struct Edge<'a, S> {
    storage: &'a S,
    partial: BTreeMap<String, Vec<u8>>,
    /// What the checkpoint says.
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint as it is written.
    pub(crate) text: String,
}

impl<'a, S: Storage> Edge<'a, S> {
    /// Reads the newest checkpoint and what of the hashes may go away.
    pub(crate) fn read(storage: &'a S, key: &NoteKey) -> Result<Self, ReadError> {
        Self::read_with(storage, key, |size| partial_hashes(size).collect())
    }

    /// As [`Edge::read`], with what of the entries may go away.
    pub(crate) fn with_entries(storage: &'a S, key: &NoteKey) -> Result<Self, ReadError> {
        let entries = |size: u64| {
            let width = size % WIDTH;
            (width != 0).then(|| tile::entries_path(size / WIDTH, width))
        };
        Self::read_with(storage, key, |size| partial_hashes(size).chain(entries(size)).collect())
    }

    fn read_with(
        storage: &'a S,
        key: &NoteKey,
        partial: impl Fn(u64) -> Vec<String>,
    ) -> Result<Self, ReadError> {
        let mut tries = 0;
        loop {
            let bytes = storage.read(CHECKPOINT).map_err(|e| ReadError::Io(CHECKPOINT.to_owned(), e))?;
            let bytes = bytes.ok_or_else(|| ReadError::Missing(CHECKPOINT.to_owned()))?;
            let malformed = || ReadError::Malformed(CHECKPOINT.to_owned());
            let checkpoint = read_checkpoint(&bytes, key).ok_or_else(malformed)?;
            tries += 1;
            match read_all(storage, partial(checkpoint.size)) {
                Err(ReadError::Missing(_)) if tries < TRIES => {}
                Err(e) => return Err(e),
                Ok(partial) => {
                    let text = String::from_utf8(bytes).or(Err(malformed()))?;
                    return Ok(Self { storage, partial, checkpoint, text });
                }
            }
        }
    }

    /// The tree, and what is in it.
    pub(crate) fn reader(&self) -> Reader<'_, Self> {
        Reader::new(self, self.checkpoint.size)
    }

    /// The proof that this tree continues the one of its first `old` leaves.
    pub(crate) fn consistency(&self, old: u64) -> Result<Vec<Hash>, ReadError> {
        self.reader().consistency(old)
    }

    /// The root over the first `old` leaves.
    pub(crate) fn root_at(&self, old: u64) -> Result<Hash, ReadError> {
        self.reader().prefix_root(old)
    }
}

/// The tiles of hashes that are not full in a tree of this size, one a level at most.
fn partial_hashes(size: u64) -> impl Iterator<Item = String> {
    let counts =
        (0..).map(move |level| (level, tile::count_at(size, level))).take_while(|(_, count)| *count > 0);
    let partial = counts.filter(|(_, count)| !count.is_multiple_of(WIDTH));
    partial.map(|(level, count)| tile::hash_path(level, count / WIDTH, count % WIDTH))
}

fn read_all<S: Storage>(storage: &S, paths: Vec<String>) -> Result<BTreeMap<String, Vec<u8>>, ReadError> {
    let read = |path: String| match storage.read(&path) {
        Ok(Some(bytes)) => Ok((path, bytes)),
        Ok(None) => Err(ReadError::Missing(path)),
        Err(e) => Err(ReadError::Io(path, e)),
    };
    paths.into_iter().map(read).collect()
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
