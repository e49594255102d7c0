//! One writer's log: append, checkpoint, prove.

use std::fmt;
use std::io;

use attest::bundle::LogEntry;
use attest::merkle::{Hash, leaf_hash};
use attest::note::{self, Checkpoint, Note, NoteKey};
use attest::secret::Signer;

use crate::reader::{ReadError, Reader, as_u64};
use crate::storage::Storage;
use crate::tile::{self, MAX_ENTRY, WIDTH};

/// The checkpoint's file.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// A log that can be appended to. The key that signs its checkpoints is never lent to anything else.
pub struct Log<S> {
    storage: S,
    origin: String,
    signer: Box<dyn Signer>,
    size: u64,
    /// The hashes of each level's last, partial tile.
    edge: Vec<Vec<Hash>>,
    entries: Vec<Vec<u8>>,
    stopped: bool,
}

impl<S: fmt::Debug> fmt::Debug for Log<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({} of {} entries)", self.origin, self.size)
    }
}

/// Proof that an entry is in a log: its place, the path to the root, and the signed root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    index: u64,
    size: u64,
    proof: Vec<Hash>,
    checkpoint: String,
    leaf: Hash,
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
        }
    }
}
impl std::error::Error for OpenLogError {}

/// Why nothing was appended, or nothing is known.
#[derive(Debug)]
pub enum AppendError {
    /// An earlier write failed; the process must stop and open the log anew.
    Stopped,
    /// The entry is longer than a bundle can hold.
    TooLong(usize),
    /// The store failed; whether the entry is there is unknown until the log is opened anew.
    Io(io::Error),
    /// The key could not sign.
    Sign,
    /// The tree could not be read back.
    Read(ReadError),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the log stopped after a failed write"),
            Self::TooLong(bytes) => write!(f, "a record of {bytes} bytes, at most {MAX_ENTRY} fit"),
            Self::Io(e) => write!(f, "the log's store failed: {e}"),
            Self::Sign => f.write_str("the log's key could not sign"),
            Self::Read(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for AppendError {}

impl<S: Storage> Log<S> {
    /// Makes an empty log and its first checkpoint.
    ///
    /// # Errors
    /// [`OpenLogError::Exists`] where there is one, and what storing and signing may fail with.
    pub fn create(storage: S, origin: &str, signer: Box<dyn Signer>) -> Result<Self, OpenLogError> {
        if storage.read(CHECKPOINT).map_err(OpenLogError::Io)?.is_some() {
            return Err(OpenLogError::Exists);
        }
        let log = Self {
            storage,
            origin: origin.to_owned(),
            signer,
            size: 0,
            edge: Vec::new(),
            entries: Vec::new(),
            stopped: false,
        };
        let checkpoint = log.sign().or(Err(OpenLogError::Sign))?;
        log.storage.write(CHECKPOINT, checkpoint.as_bytes()).map_err(OpenLogError::Io)?;
        Ok(log)
    }

    /// Opens a log for appending, and checks that its edge leads to the root that was signed.
    ///
    /// # Errors
    /// [`OpenLogError`]; a log that was tampered with is not continued.
    pub fn open(storage: S, origin: &str, signer: Box<dyn Signer>) -> Result<Self, OpenLogError> {
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
        let log = Self { storage, origin: origin.to_owned(), signer, size, edge, entries, stopped: false };
        if log.root() != checkpoint.root || log.edge.first().is_some_and(|edge| *edge != leaves) {
            return Err(OpenLogError::Root);
        }
        Ok(log)
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
        let key = NoteKey { name: self.origin.clone(), key: self.signer.public().clone() };
        Receipt::prove(&self.storage, &key, index)
    }

    /// Appends an entry. When this returns, the entry and a checkpoint that covers it survive a power cut.
    ///
    /// Order: entry bundle and hash tiles, each durable, then the checkpoint. Until the checkpoint's rename the
    /// old tree is what everybody reads; after it, everything it promises is there.
    ///
    /// # Errors
    /// [`AppendError`]. After a failed write the log stops: nothing more is appended until it is opened anew.
    pub fn append(&mut self, entry: &[u8]) -> Result<Receipt, AppendError> {
        if self.stopped {
            return Err(AppendError::Stopped);
        }
        if entry.len() > MAX_ENTRY {
            return Err(AppendError::TooLong(entry.len()));
        }
        self.stopped = true;
        let receipt = self.write_entry(entry)?;
        self.stopped = false;
        Ok(receipt)
    }

    fn write_entry(&mut self, entry: &[u8]) -> Result<Receipt, AppendError> {
        let (index, leaf) = (self.size, leaf_hash(entry));
        let old_paths = self.partial_paths();
        self.entries.push(entry.to_vec());
        let bundle = tile::entries_path(index / WIDTH, as_u64(self.entries.len()));
        self.storage.write(&bundle, &tile::write_entries(&self.entries)).map_err(AppendError::Io)?;
        if as_u64(self.entries.len()) == WIDTH {
            self.entries.clear();
        }
        self.push_hash(index, leaf)?;
        self.size += 1;
        let checkpoint = self.sign()?;
        self.storage.write(CHECKPOINT, checkpoint.as_bytes()).map_err(AppendError::Io)?;
        self.sweep(&old_paths);
        let reader = Reader::new(&self.storage, self.size);
        let proof = reader.inclusion(index).map_err(AppendError::Read)?;
        Ok(Receipt { index, size: self.size, proof, checkpoint, leaf })
    }

    /// Adds a hash at the right edge; a tile that becomes full gives one hash to the level above.
    fn push_hash(&mut self, index: u64, leaf: Hash) -> Result<(), AppendError> {
        let (mut hash, mut level) = (leaf, 0_u32);
        loop {
            let at = usize::try_from(level).unwrap_or(usize::MAX);
            if self.edge.len() <= at {
                self.edge.push(Vec::new());
            }
            let number = tile::count_at(index, level) / WIDTH;
            let Some(edge) = self.edge.get_mut(at) else { return Err(AppendError::Stopped) };
            edge.push(hash);
            let path = tile::hash_path(level, number, as_u64(edge.len()));
            self.storage.write(&path, &tile::write_hashes(edge)).map_err(AppendError::Io)?;
            if as_u64(edge.len()) < WIDTH {
                return Ok(());
            }
            hash = tile::root_of(edge);
            edge.clear();
            level += 1;
        }
    }

    /// The partial files that the current checkpoint needs.
    fn partial_paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        if !self.entries.is_empty() {
            paths.push(tile::entries_path(self.size / WIDTH, as_u64(self.entries.len())));
        }
        for (level, edge) in (0..).zip(&self.edge) {
            if !edge.is_empty() {
                let number = tile::count_at(self.size, level) / WIDTH;
                paths.push(tile::hash_path(level, number, as_u64(edge.len())));
            }
        }
        paths
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
pub(crate) fn read_checkpoint(bytes: &[u8], key: &NoteKey) -> Option<Checkpoint> {
    let note = Note::parse(std::str::from_utf8(bytes).ok()?)?;
    let checkpoint = Checkpoint::parse(note.text())?;
    (checkpoint.origin == key.name && note.is_signed_by(key)).then_some(checkpoint)
}

impl Receipt {
    /// Proves that entry `index` is in the tree of the current checkpoint.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read, or has no such entry.
    pub fn prove<S: Storage>(storage: &S, key: &NoteKey, index: u64) -> Result<Self, ReadError> {
        let missing = || ReadError::Missing(CHECKPOINT.to_owned());
        let bytes = storage.read(CHECKPOINT).map_err(|e| ReadError::Io(CHECKPOINT.to_owned(), e))?;
        let bytes = bytes.ok_or_else(missing)?;
        let checkpoint =
            read_checkpoint(&bytes, key).ok_or_else(|| ReadError::Malformed(CHECKPOINT.to_owned()))?;
        let reader = Reader::new(storage, checkpoint.size);
        let leaf = leaf_hash(&reader.entry(index)?);
        let proof = reader.inclusion(index)?;
        let checkpoint_text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self { index, size: checkpoint.size, proof, checkpoint: checkpoint_text, leaf })
    }

    /// The entry's place, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The hash of the leaf.
    #[must_use]
    pub fn leaf(&self) -> &Hash {
        &self.leaf
    }

    /// The proof in the form that a bundle carries.
    #[must_use]
    pub fn to_entry(&self, body: &[u8]) -> LogEntry {
        LogEntry {
            index: self.index,
            size: self.size,
            proof: self.proof.clone(),
            checkpoint: self.checkpoint.clone(),
            body: body.to_vec(),
        }
    }

    /// The text form of C2SP tlog-proof: index, path, checkpoint.
    #[must_use]
    pub fn to_text(&self) -> String {
        use base64::Engine as _;
        let mut out = format!("c2sp.org/tlog-proof@v1\nindex {}\n", self.index);
        for hash in &self.proof {
            out.push_str(&base64::engine::general_purpose::STANDARD.encode(hash));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.checkpoint);
        out
    }
}
