//! One writer's log: append, checkpoint, prove.

use std::fmt;
use std::io;
use std::sync::Arc;

use attest::merkle::{Hash, leaf_hash};
use attest::note::{self, Checkpoint, Note, NoteKey};
use attest::secret::Signer;

use crate::journal::{Batch, JournalFlaw};
use crate::packer::{PACK, Packer};
use crate::reader::{ReadError, Reader, as_u64};
use crate::receipt::Receipt;
use crate::recover;
use crate::storage::Storage;
use crate::tile::{self, MAX_ENTRY, WIDTH};

/// The checkpoint's file.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// What signs for a log: from the thread that applies, and from the one that promises.
pub type LogSigner = dyn Signer + Send + Sync;

/// A log that can be appended to. The key that signs its checkpoints is never lent to anything else.
pub struct Log<S> {
    storage: S,
    origin: String,
    signer: Arc<LogSigner>,
    size: u64,
    /// The hashes of each level's last, partial tile.
    edge: Vec<Vec<Hash>>,
    entries: Vec<Vec<u8>>,
    /// Where blobs go; found when there are some.
    packer: Option<Packer>,
    pack: usize,
    stopped: bool,
}

impl<S: fmt::Debug> fmt::Debug for Log<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({} of {} entries)", self.origin, self.size)
    }
}

/// Why a log cannot be opened for appending.
#[derive(Debug)]
pub enum OpenLogError {
    /// There is one already.
    Exists,
    /// There is none.
    None,
    /// The store failed.
    Io(io::Error),
    /// The tree cannot be read.
    Read(ReadError),
    /// The checkpoint is malformed, or another log's, or not signed by this key.
    Checkpoint,
    /// The tiles lead to another root than the one that was signed.
    Root,
    /// The key cannot sign.
    Sign,
    /// The journal beside the log was damaged or changed.
    Journal(JournalFlaw),
    /// What the journal holds could not be applied.
    Apply(AppendError),
}

impl fmt::Display for OpenLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("there is a log already"),
            Self::None => f.write_str("there is no log"),
            Self::Io(e) => write!(f, "the log's store failed: {e}"),
            Self::Read(e) => e.fmt(f),
            Self::Checkpoint => f.write_str("the checkpoint is not one of this log under this key"),
            Self::Root => f.write_str("the tiles do not lead to the signed root: the log was changed"),
            Self::Sign => f.write_str("the log's key could not sign"),
            Self::Journal(e) => e.fmt(f),
            Self::Apply(e) => write!(f, "the journal could not be applied: {e}"),
        }
    }
}
impl std::error::Error for OpenLogError {}

/// Why nothing was appended, or nothing is known.
#[derive(Debug)]
pub enum AppendError {
    /// An earlier write failed; the process must stop and open the log anew.
    Stopped,
    /// A batch without entries: nothing would say that its blobs are still wanted.
    Empty,
    /// The entry is longer than a bundle can hold.
    TooLong(usize),
    /// The store failed; whether the entry is there is unknown until the log is opened anew.
    Io(io::Error),
    /// The key could not sign.
    Sign,
    /// The tree could not be read back.
    Read(ReadError),
    /// The store behind the spool is out of reach.
    Unreachable(String),
    /// The spool has no room for it; nothing was written, and there is room again once the store takes entries.
    Full,
    /// What the spool holds is not what was written.
    Journal(JournalFlaw),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the log stopped after a failed write"),
            Self::Empty => f.write_str("a batch without records"),
            Self::TooLong(bytes) => write!(f, "a record of {bytes} bytes, at most {MAX_ENTRY} fit"),
            Self::Io(e) => write!(f, "the log's store failed: {e}"),
            Self::Sign => f.write_str("the log's key could not sign"),
            Self::Read(e) => e.fmt(f),
            Self::Unreachable(why) => write!(f, "the log's store is out of reach: {why}"),
            Self::Full => f.write_str("the log's spool is full: its store takes nothing"),
            Self::Journal(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for AppendError {}

impl<S: Storage> Log<S> {
    /// Makes an empty log and its first checkpoint.
    ///
    /// # Errors
    /// [`OpenLogError::Exists`] where there is one, and what storing and signing may fail with.
    pub fn create(storage: S, origin: &str, signer: Box<LogSigner>) -> Result<Self, OpenLogError> {
        if storage.read(CHECKPOINT).map_err(OpenLogError::Io)?.is_some() {
            return Err(OpenLogError::Exists);
        }
        let log = Self {
            storage,
            origin: origin.to_owned(),
            signer: Arc::from(signer),
            size: 0,
            edge: Vec::new(),
            entries: Vec::new(),
            packer: None,
            pack: PACK,
            stopped: false,
        };
        let checkpoint = log.sign().or(Err(OpenLogError::Sign))?;
        log.storage.write(CHECKPOINT, checkpoint.as_bytes()).map_err(OpenLogError::Io)?;
        Ok(log)
    }

    /// Opens a log for appending: checks that its edge leads to the root that was signed, and applies what was
    /// acknowledged in the journal and is not in the tree yet.
    ///
    /// # Errors
    /// [`OpenLogError`]; a log that was tampered with is not continued.
    pub fn open(storage: S, origin: &str, signer: Box<LogSigner>) -> Result<Self, OpenLogError> {
        let mut log = Self::open_tree(storage, origin, signer)?;
        let pending = recover::pending(&log.storage, &log.key(), log.size).map_err(OpenLogError::Journal)?;
        if !pending.is_empty() {
            log.apply(&pending).map_err(OpenLogError::Apply)?;
        }
        Ok(log)
    }

    fn open_tree(storage: S, origin: &str, signer: Box<LogSigner>) -> Result<Self, OpenLogError> {
        let bytes = storage.read(CHECKPOINT).map_err(OpenLogError::Io)?.ok_or(OpenLogError::None)?;
        let key = NoteKey { name: origin.to_owned(), key: signer.public().clone() };
        let checkpoint = read_checkpoint(&bytes, &key).ok_or(OpenLogError::Checkpoint)?;
        let size = checkpoint.size;
        let reader = Reader::new(&storage, size);
        let mut edge = Vec::new();
        let mut level = 0;
        while tile::count_at(size, level) > 0 {
            let count = tile::count_at(size, level);
            let partial = if count.is_multiple_of(WIDTH) {
                Vec::new()
            } else {
                reader.hashes(level, count / WIDTH).map_err(OpenLogError::Read)?
            };
            edge.push(partial);
            level += 1;
        }
        let entries = if size.is_multiple_of(WIDTH) {
            Vec::new()
        } else {
            reader.entries(size / WIDTH).map_err(OpenLogError::Read)?
        };
        let leaves: Vec<Hash> = entries.iter().map(|e| leaf_hash(e)).collect();
        let log = Self {
            storage,
            origin: origin.to_owned(),
            signer: Arc::from(signer),
            size,
            edge,
            entries,
            packer: None,
            pack: PACK,
            stopped: false,
        };
        if log.root() != checkpoint.root || log.edge.first().is_some_and(|edge| *edge != leaves) {
            return Err(OpenLogError::Root);
        }
        Ok(log)
    }

    /// Packs of blobs become so long in bytes, and not 64 MiB.
    #[must_use]
    pub fn with_packs_of(mut self, length: usize) -> Self {
        self.pack = length;
        self
    }

    /// How many entries there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The store.
    #[must_use]
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The receipt of an entry that is there already, under the current checkpoint.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read, or has no such entry.
    pub fn prove(&self, index: u64) -> Result<Receipt, ReadError> {
        Receipt::prove(&self.storage, &self.key(), index)
    }

    /// The key under which the log is believed.
    #[must_use]
    pub fn key(&self) -> NoteKey {
        NoteKey { name: self.origin.clone(), key: self.signer.public().clone() }
    }

    /// What signs for the log.
    pub(crate) fn signer(&self) -> Arc<LogSigner> {
        Arc::clone(&self.signer)
    }

    /// Appends an entry. When this returns, the entry and a checkpoint that covers it survive a power cut.
    ///
    /// # Errors
    /// [`AppendError`]. After a failed write the log stops: nothing more is appended until it is opened anew.
    pub fn append(&mut self, entry: &[u8]) -> Result<Receipt, AppendError> {
        let (index, leaf) = (self.size, leaf_hash(entry));
        let checkpoint = self.append_many(std::iter::once(entry))?;
        let proof = Reader::new(&self.storage, self.size).inclusion(index).map_err(AppendError::Read)?;
        Ok(Receipt { index, size: self.size, proof, checkpoint, leaf })
    }

    /// Applies batches of a journal: their blobs, then their leaves. When this returns, the journal is not needed
    /// for them any more.
    ///
    /// # Errors
    /// [`AppendError`], as for [`Log::append`].
    pub fn apply(&mut self, batches: &[Batch]) -> Result<(), AppendError> {
        if self.stopped {
            return Err(AppendError::Stopped);
        }
        let blobs = batches.iter().flat_map(|b| b.blobs.iter().map(Vec::as_slice));
        self.stopped = true;
        let packer = match self.packer.take() {
            Some(packer) => Ok(packer),
            None => Packer::open(&self.storage),
        };
        let mut packer = packer.map_err(AppendError::Io)?;
        packer.append(&self.storage, self.pack, blobs).map_err(AppendError::Io)?;
        (self.packer, self.stopped) = (Some(packer), false);
        self.append_many(batches.iter().flat_map(|b| b.leaves.iter().map(Vec::as_slice))).map(|_| ())
    }

    /// What the checkpoint would say with these entries behind the last one. Nothing is written or signed: whoever shares
    /// a log agrees on its next state first.
    #[must_use]
    pub fn after<'e>(&self, entries: impl Iterator<Item = &'e [u8]>) -> Checkpoint {
        let mut next = Log {
            storage: &self.storage,
            origin: self.origin.clone(),
            signer: Arc::clone(&self.signer),
            size: self.size,
            edge: self.edge.clone(),
            entries: self.entries.clone(),
            packer: None,
            pack: self.pack,
            stopped: false,
        };
        let mut unwritten = Vec::new();
        for entry in entries {
            next.push_entry(entry, &mut unwritten);
        }
        Checkpoint { origin: next.origin.clone(), size: next.size, root: next.root() }
    }

    /// Appends entries under one checkpoint, and gives its text.
    ///
    /// Order: entry bundles and hash tiles, all durable, then the checkpoint. Until the checkpoint's rename the old
    /// tree is what everybody reads; after it, everything it promises is there.
    fn append_many<'e>(&mut self, entries: impl Iterator<Item = &'e [u8]>) -> Result<String, AppendError> {
        if self.stopped {
            return Err(AppendError::Stopped);
        }
        let entries: Vec<&[u8]> = entries.collect();
        if let Some(long) = entries.iter().find(|e| e.len() > MAX_ENTRY) {
            return Err(AppendError::TooLong(long.len()));
        }
        self.stopped = true;
        let old_paths = self.partial_paths();
        let mut full = Vec::new();
        for entry in entries {
            self.push_entry(entry, &mut full);
        }
        full.extend(self.partial_files());
        self.storage.write_many(&full).map_err(AppendError::Io)?;
        let checkpoint = self.sign()?;
        self.storage.write(CHECKPOINT, checkpoint.as_bytes()).map_err(AppendError::Io)?;
        self.sweep(&old_paths);
        self.stopped = false;
        Ok(checkpoint)
    }

    /// Adds an entry at the right edge; tiles that become full go to `full`.
    fn push_entry(&mut self, entry: &[u8], full: &mut Vec<(String, Vec<u8>)>) {
        self.entries.push(entry.to_vec());
        if as_u64(self.entries.len()) == WIDTH {
            let path = tile::entries_path(self.size / WIDTH, WIDTH);
            full.push((path, tile::write_entries(&self.entries)));
            self.entries.clear();
        }
        let mut hash = leaf_hash(entry);
        for level in 0_u32.. {
            let at = usize::try_from(level).unwrap_or(usize::MAX);
            if self.edge.len() <= at {
                self.edge.push(Vec::new());
            }
            let Some(edge) = self.edge.get_mut(at) else { break };
            edge.push(hash);
            if as_u64(edge.len()) < WIDTH {
                break;
            }
            let number = tile::count_at(self.size, level) / WIDTH;
            full.push((tile::hash_path(level, number, WIDTH), tile::write_hashes(edge)));
            // a tile that is full gives one hash to the level above
            hash = tile::root_of(edge);
            edge.clear();
        }
        self.size += 1;
    }

    /// The partial tiles at the right edge.
    fn partial_files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = (!self.entries.is_empty()).then(|| tile::write_entries(&self.entries));
        let hashes = self.edge.iter().filter(|edge| !edge.is_empty()).map(|edge| tile::write_hashes(edge));
        self.partial_paths().into_iter().zip(entries.into_iter().chain(hashes)).collect()
    }

    /// Their names, in the same order.
    fn partial_paths(&self) -> Vec<String> {
        let entries = (!self.entries.is_empty())
            .then(|| tile::entries_path(self.size / WIDTH, as_u64(self.entries.len())));
        let hashes = (0..).zip(&self.edge).filter(|(_, edge)| !edge.is_empty()).map(|(level, edge)| {
            tile::hash_path(level, tile::count_at(self.size, level) / WIDTH, as_u64(edge.len()))
        });
        entries.into_iter().chain(hashes).collect()
    }

    /// Removes partial tiles that a wider one has replaced. A leftover harms nothing, so errors are not reported.
    fn sweep(&self, old: &[String]) {
        let current = self.partial_paths();
        for path in old.iter().filter(|p| !current.contains(p)) {
            self.storage.remove(path).ok();
        }
    }

    fn root(&self) -> Hash {
        let mut right: Option<Hash> = None;
        for edge in &self.edge {
            let mut subtrees = edge.clone();
            subtrees.extend(right);
            right = if subtrees.is_empty() { None } else { Some(tile::root_of(&subtrees)) };
        }
        right.unwrap_or_else(attest::merkle::empty_root)
    }

    fn sign(&self) -> Result<String, AppendError> {
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: self.size, root: self.root() };
        note::sign(&checkpoint.to_text(), &self.origin, self.signer.as_ref()).or(Err(AppendError::Sign))
    }
}

/// The checkpoint in these bytes, if this key signed it for its own log.
#[must_use]
pub fn read_checkpoint(bytes: &[u8], key: &NoteKey) -> Option<Checkpoint> {
    let note = Note::parse(std::str::from_utf8(bytes).ok()?)?;
    let checkpoint = Checkpoint::parse(note.text())?;
    (checkpoint.origin == key.name && note.is_signed_by(key)).then_some(checkpoint)
}
