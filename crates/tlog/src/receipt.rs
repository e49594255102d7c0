//! The proof that an entry is in a log.

use attest::bundle::LogEntry;
use attest::merkle::{Hash, leaf_hash};
use attest::note::NoteKey;

use crate::log::{CHECKPOINT, read_checkpoint};
use crate::reader::{ReadError, Reader};
use crate::storage::Storage;

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
