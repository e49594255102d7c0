//! Where a record is looked up that somebody names.

use std::fs;
use std::path::{Path, PathBuf};

use attest::note::{Checkpoint, Note, NoteKey};
use attest::{Algorithm, Digest, merkle};
use chokepoint::{Entry, Record};
use kubernetes::audit_event::Named;
use tlog::{Files, Reader};

/// Records by their place and the hash of their leaf.
pub trait Records {
    /// The record; nothing where no log has this leaf there.
    ///
    /// # Errors
    /// Why nobody knows.
    fn find(&mut self, named: &Named) -> Result<Option<Record>, String>;
}

/// The logs of the choke points of one cluster, in folders.
#[derive(Debug)]
pub struct LogRecords {
    logs: Vec<(PathBuf, NoteKey)>,
}

impl LogRecords {
    /// These logs, each under its key.
    #[must_use]
    pub fn new(logs: Vec<(PathBuf, NoteKey)>) -> Self {
        Self { logs }
    }
}

impl Records for LogRecords {
    fn find(&mut self, named: &Named) -> Result<Option<Record>, String> {
        for (dir, key) in &self.logs {
            if let Some(leaf) = leaf(dir, key, named)? {
                let entry = Entry::parse(&leaf).map_err(|e| e.to_string())?;
                return Ok(entry.decision().cloned());
            }
        }
        Ok(None)
    }
}

/// The leaf with this hash at this place: in the tree, or in the journal before it.
fn leaf(dir: &Path, key: &NoteKey, named: &Named) -> Result<Option<Vec<u8>>, String> {
    let files = Files::new(dir);
    let is_it = |leaf: &Vec<u8>| hash(leaf).as_ref() == Some(&named.leaf);
    let mut size = size_of(dir, key)?;
    loop {
        if named.index < size {
            let entry = Reader::new(&files, size).entry(named.index).map_err(|e| e.to_string())?;
            return Ok(Some(entry).filter(is_it));
        }
        let waiting = tlog::pending(&files, key, size);
        let newer = size_of(dir, key)?;
        if newer == size {
            let waiting = waiting.map_err(|e| e.to_string())?;
            return Ok(waiting.into_iter().flat_map(|batch| batch.leaves).find(is_it));
        }
        // a service that runs applied some of it meanwhile
        size = newer;
    }
}

fn size_of(dir: &Path, key: &NoteKey) -> Result<u64, String> {
    let path = dir.join("checkpoint");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        // a log without a checkpoint has nothing in its tree yet
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && dir.is_dir() => return Ok(0),
        Err(e) => return Err(format!("cannot read {}: {e}", path.display())),
    };
    let note = Note::parse(&text).filter(|note| note.is_signed_by(key));
    let checkpoint = note.and_then(|note| Checkpoint::parse(note.text()));
    let wrong = || format!("{} is not signed by the log's key", path.display());
    checkpoint.map(|checkpoint| checkpoint.size).ok_or_else(wrong)
}

fn hash(leaf: &[u8]) -> Option<Digest> {
    Digest::from_bytes(Algorithm::Sha256, merkle::leaf_hash(leaf).to_vec()).ok()
}
