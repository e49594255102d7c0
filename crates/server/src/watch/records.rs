//! Where a record is looked up that somebody names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use attest::note::{Checkpoint, Note, NoteKey};
use attest::{Algorithm, Digest, merkle};
use chokepoint::{Entry, Record};
use kubernetes::audit_event::Named;
use tlog::{Files, Reader};

use crate::webhook::Own;

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
    logs: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    dir: PathBuf,
    key: NoteKey,
    /// Where the entries of each writer are, in a log that several share.
    writers: BTreeMap<String, Own>,
}

impl LogRecords {
    /// These logs, each under its key.
    #[must_use]
    pub fn new(logs: Vec<(PathBuf, NoteKey)>) -> Self {
        let known = |(dir, key)| Known { dir, key, writers: BTreeMap::new() };
        Self { logs: logs.into_iter().map(known).collect() }
    }
}

impl Records for LogRecords {
    fn find(&mut self, named: &Named) -> Result<Option<Record>, String> {
        for log in &mut self.logs {
            let found = match &named.writer {
                None => leaf(&log.dir, &log.key, named)?,
                Some(writer) => log.of(writer, named)?,
            };
            if let Some(leaf) = found {
                let entry = Entry::parse(&leaf).map_err(|e| e.to_string())?;
                return Ok(entry.decision().cloned());
            }
        }
        Ok(None)
    }
}

impl Known {
    /// The leaf with this hash under this number of a writer, once it is in the tree: what waits is in that writer's spool
    /// and in the database. A writer that is not the log's own has an index here too: who names it pays with one look.
    fn of(&mut self, writer: &str, named: &Named) -> Result<Option<Vec<u8>>, String> {
        let files = Files::new(&self.dir);
        let own = self.writers.entry(writer.to_owned()).or_insert_with(|| Own::new(writer));
        let mut size = size_of(&self.dir, &self.key)?;
        loop {
            let found = own.leaves(&files, size, named.index);
            let newer = size_of(&self.dir, &self.key)?;
            if found.is_ok() || newer == size {
                let leaf = found?.into_iter().next();
                return Ok(leaf.filter(|leaf| hash(leaf).as_ref() == Some(&named.leaf)));
            }
            size = newer;
        }
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
