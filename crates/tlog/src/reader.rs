//! Reading a log: hashes, entries, and proofs, at the size of one checkpoint.

use std::fmt;
use std::io;

use attest::merkle::{Hash, leaf_hash, node_hash, root_from_inclusion};

use crate::storage::Storage;
use crate::tile;

/// The tree at one size.
#[derive(Debug)]
pub struct Reader<'a, S> {
    storage: &'a S,
    size: u64,
}

/// Why a log cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The store failed.
    Io(String, io::Error),
    /// A file that the checkpoint promises is not there.
    Missing(String),
    /// A file has another length or form than its name promises.
    Malformed(String),
    /// Asked for a leaf past the end.
    PastTheEnd {
        /// The leaf.
        index: u64,
        /// The size.
        size: u64,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, e) => write!(f, "cannot read {path}: {e}"),
            Self::Missing(path) => write!(f, "{path} is missing"),
            Self::Malformed(path) => write!(f, "{path} is malformed"),
            Self::PastTheEnd { index, size } => write!(f, "there is no record {index}: the log has {size}"),
        }
    }
}
impl std::error::Error for ReadError {}

impl<'a, S: Storage> Reader<'a, S> {
    /// The tree of the first `size` leaves.
    #[must_use]
    pub fn new(storage: &'a S, size: u64) -> Self {
        Self { storage, size }
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    fn file(&self, path: String) -> Result<Vec<u8>, ReadError> {
        match self.storage.read(&path) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(ReadError::Missing(path)),
            Err(e) => Err(ReadError::Io(path, e)),
        }
    }

    /// The hashes of one tile.
    pub(crate) fn hashes(&self, level: u32, number: u64) -> Result<Vec<Hash>, ReadError> {
        let width = tile::width_of(tile::count_at(self.size, level), number);
        let path = tile::hash_path(level, number, width);
        let hashes = tile::read_hashes(&self.file(path.clone())?);
        hashes.filter(|h| as_u64(h.len()) == width).ok_or(ReadError::Malformed(path))
    }

    /// The entries of one bundle.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entries(&self, number: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        let width = tile::width_of(self.size, number);
        let path = tile::entries_path(number, width);
        let entries = tile::read_entries(&self.file(path.clone())?);
        entries.filter(|e| as_u64(e.len()) == width).ok_or(ReadError::Malformed(path))
    }

    /// One entry, compared with its leaf hash.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, ReadError> {
        if index >= self.size {
            return Err(ReadError::PastTheEnd { index, size: self.size });
        }
        let mut entries = self.entries(index / tile::WIDTH)?;
        let at = usize::try_from(index % tile::WIDTH).unwrap_or(usize::MAX);
        let entry = entries.swap_remove(at);
        // a bundle that was edited alone must not be believed by who reads a single entry
        if self.hashes(0, index / tile::WIDTH)?.get(at) != Some(&leaf_hash(&entry)) {
            return Err(ReadError::Malformed(format!("record {index}")));
        }
        Ok(entry)
    }

    /// The entries of one bundle, each compared with its leaf hash, and these with a root: for who must not overlook one,
    /// and so cannot look at a single entry.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Malformed`] for a bundle or a tile that was changed.
    pub fn proven_entries(&self, number: u64, root: &Hash) -> Result<Vec<Vec<u8>>, ReadError> {
        let (entries, hashes) = (self.entries(number)?, self.hashes(0, number)?);
        let first = number.saturating_mul(tile::WIDTH);
        let changed = |index: u64| ReadError::Malformed(format!("record {index}"));
        for ((index, entry), hash) in (first..).zip(&entries).zip(&hashes) {
            if leaf_hash(entry) != *hash {
                return Err(changed(index));
            }
        }
        // the proof of a tile's first leaf is made of all its others
        let proof = self.inclusion(first)?;
        let leaf = hashes.first().copied().ok_or_else(|| changed(first))?;
        let is_in = root_from_inclusion(first, self.size, leaf, &proof).as_ref() == Some(root);
        if is_in { Ok(entries) } else { Err(changed(first)) }
    }

    /// The root.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn root(&self) -> Result<Hash, ReadError> {
        self.prefix_root(self.size)
    }

    /// The root over the first `old` leaves.
    pub(crate) fn prefix_root(&self, old: u64) -> Result<Hash, ReadError> {
        match old {
            0 => Ok(attest::merkle::empty_root()),
            old => self.range(0, old),
        }
    }

    /// The inclusion proof of a leaf (RFC 6962, section 2.1.1).
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, ReadError> {
        self.inclusion_in(index, self.size)
    }

    /// The inclusion proof of a leaf in the tree of the first `old` leaves.
    pub(crate) fn inclusion_in(&self, index: u64, old: u64) -> Result<Vec<Hash>, ReadError> {
        let size = old.min(self.size);
        if index >= size {
            return Err(ReadError::PastTheEnd { index, size });
        }
        let (mut from, mut to, mut proof) = (0, size, Vec::new());
        while to - from > 1 {
            let middle = from + (to - from).next_power_of_two() / 2;
            if index < middle {
                proof.push(self.range(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range(from, middle)?);
                from = middle;
            }
        }
        proof.reverse();
        Ok(proof)
    }

    /// The proof that this tree continues the one of the first `old` leaves (RFC 6962, section 2.1.2).
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn consistency(&self, old: u64) -> Result<Vec<Hash>, ReadError> {
        if old > self.size {
            return Err(ReadError::PastTheEnd { index: old, size: self.size });
        }
        if old == 0 || old == self.size {
            return Ok(Vec::new());
        }
        let (mut from, mut to, mut whole, mut proof) = (0, self.size, true, Vec::new());
        while old < to {
            let middle = from + (to - from).next_power_of_two() / 2;
            if old <= middle {
                proof.push(self.range(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range(from, middle)?);
                from = middle;
                whole = false;
            }
        }
        if !whole {
            proof.push(self.range(from, to)?);
        }
        proof.reverse();
        Ok(proof)
    }

    /// The root over leaves `from..to`; `from` is a multiple of the largest power of two in the range.
    fn range(&self, from: u64, to: u64) -> Result<Hash, ReadError> {
        let size = to - from;
        if size.is_power_of_two() {
            return self.node(size.trailing_zeros(), from / size);
        }
        let middle = from + size.next_power_of_two() / 2;
        Ok(node_hash(&self.range(from, middle)?, &self.range(middle, to)?))
    }

    /// The root of the complete subtree of `2^height` leaves at `index`.
    fn node(&self, height: u32, index: u64) -> Result<Hash, ReadError> {
        let (level, within) = (height / 8, height % 8);
        let first = index << within;
        let hashes = self.hashes(level, first / tile::WIDTH)?;
        let start = usize::try_from(first % tile::WIDTH).unwrap_or(usize::MAX);
        let part = hashes.get(start..start.saturating_add(1 << within));
        let path = || tile::hash_path(level, first / tile::WIDTH, tile::WIDTH);
        part.map(tile::root_of).ok_or_else(|| ReadError::Malformed(path()))
    }
}

pub(crate) fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
