//! The proof that an entry is in a log.

use attest::bundle::LogEntry;
use attest::merkle::{Hash, leaf_hash};
use attest::note::{Checkpoint, NoteKey};

use crate::log::{CHECKPOINT, read_checkpoint};
use crate::proof::Proof;
use crate::reader::{ReadError, Reader};
use crate::storage::Storage;
use crate::witnessing::WITNESSED;

/// Proof that an entry is in a log: its place, the path to the root, and the signed root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) index: u64,
    pub(crate) size: u64,
    pub(crate) proof: Vec<Hash>,
    pub(crate) checkpoint: String,
    pub(crate) leaf: Hash,
}

impl Receipt {
    /// Proves that entry `index` is in the tree of the current checkpoint.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read, or has no such entry.
    pub fn prove<S: Storage>(storage: &S, key: &NoteKey, index: u64) -> Result<Self, ReadError> {
        let (checkpoint, text) = stored(storage, CHECKPOINT, key)?;
        Self::under(storage, &checkpoint, checkpoint.size, text, index)
    }

    /// Proves that entry `index` is in the tree of the newest checkpoint that enough witnesses cosigned.
    ///
    /// # Errors
    /// [`ReadError`], also where there is no such checkpoint, or the entry is newer than it.
    pub fn prove_witnessed<S: Storage>(storage: &S, key: &NoteKey, index: u64) -> Result<Self, ReadError> {
        let (witnessed, text) = stored(storage, WITNESSED, key)?;
        let (checkpoint, _) = stored(storage, CHECKPOINT, key)?;
        Self::under(storage, &checkpoint, witnessed.size, text, index)
    }

    /// The proof in the tree of the first `size` leaves, from the tiles of the current one.
    fn under<S: Storage>(
        storage: &S,
        current: &Checkpoint,
        size: u64,
        checkpoint: String,
        index: u64,
    ) -> Result<Self, ReadError> {
        let reader = Reader::new(storage, current.size);
        let proof = reader.inclusion_in(index, size)?;
        let leaf = leaf_hash(&reader.entry(index)?);
        Ok(Self { index, size, proof, checkpoint, leaf })
    }

    /// The entry's place, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many entries the tree has that it is in.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
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
        self.to_proof(None).to_text()
    }

    /// The proof in the form of C2SP tlog-proof, with something that travels with it.
    #[must_use]
    pub fn to_proof(&self, extra: Option<Vec<u8>>) -> Proof {
        Proof { index: self.index, path: self.proof.clone(), checkpoint: self.checkpoint.clone(), extra }
    }
}

/// A checkpoint of this log in a file of it, and its text.
fn stored<S: Storage>(storage: &S, path: &str, key: &NoteKey) -> Result<(Checkpoint, String), ReadError> {
    let bytes = storage.read(path).map_err(|e| ReadError::Io(path.to_owned(), e))?;
    let bytes = bytes.ok_or_else(|| ReadError::Missing(path.to_owned()))?;
    let checkpoint = read_checkpoint(&bytes, key).ok_or_else(|| ReadError::Malformed(path.to_owned()))?;
    Ok((checkpoint, String::from_utf8_lossy(&bytes).into_owned()))
}
