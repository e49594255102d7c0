//! Verifying a whole log: every entry, every tile, the checkpoint.

use std::fmt;

use attest::merkle::{Hash, leaf_hash};
use attest::note::{Checkpoint, NoteKey};

use crate::log::CHECKPOINT;
use crate::reader::{ReadError, Reader, as_u64};
use crate::storage::Storage;
use crate::tile::{self, WIDTH};
use crate::witnessing::edge::Edge;

/// A log whose every entry leads to its signed root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
}

/// What is wrong with a log, and where.
#[derive(Debug)]
pub enum Flaw {
    /// The checkpoint is missing, malformed, another log's, or not signed by this key.
    Checkpoint,
    /// A file is missing, unreadable or malformed.
    Read(ReadError),
    /// An entry is not the one that was logged.
    Entry(u64),
    /// A hash tile is not what its entries lead to.
    Tile {
        /// The level.
        level: u32,
        /// The tile's number.
        number: u64,
    },
    /// Everything fits together, but leads to another root than the one that was signed.
    Root,
    /// The log is shorter than, or no continuation of, a checkpoint that was seen before.
    Rewritten {
        /// The size that was seen.
        seen: u64,
        /// The size now.
        size: u64,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("the checkpoint is not signed by this log's key"),
            Self::Read(e) => e.fmt(f),
            Self::Entry(index) => write!(f, "record {index} is not the one that was logged"),
            Self::Tile { level, number } => write!(f, "hash tile {number} of level {level} was changed"),
            Self::Root => f.write_str("the records lead to another root than the one that was signed"),
            Self::Rewritten { seen, size } => {
                write!(
                    f,
                    "the log of {size} records does not continue the one of {seen} that was seen before"
                )
            }
        }
    }
}
impl std::error::Error for Flaw {}

/// Verifies the log in `storage` under its key, as it is at one checkpoint while it may go on; with `seen`, also that it
/// continues an earlier one.
///
/// `entry` is called with every entry once it is proven to be the one that was logged.
///
/// # Errors
/// The first [`Flaw`], located as closely as the tree allows.
pub fn verify<S: Storage>(
    storage: &S,
    key: &NoteKey,
    seen: Option<&Checkpoint>,
    mut entry: impl FnMut(u64, &[u8]),
) -> Result<Verified, Flaw> {
    let edge = Edge::with_entries(storage, key).map_err(|e| match e {
        ReadError::Missing(path) | ReadError::Malformed(path) if path == CHECKPOINT => Flaw::Checkpoint,
        e => Flaw::Read(e),
    })?;
    let (reader, checkpoint) = (edge.reader(), &edge.checkpoint);
    check_bundles(&reader, &mut entry)?;
    check_levels(&reader)?;
    if reader.root().map_err(Flaw::Read)? != checkpoint.root {
        return Err(Flaw::Root);
    }
    if let Some(seen) = seen {
        let rewritten = || Flaw::Rewritten { seen: seen.size, size: checkpoint.size };
        if seen.size > checkpoint.size {
            return Err(rewritten());
        }
        if reader.prefix_root(seen.size).map_err(Flaw::Read)? != seen.root {
            return Err(rewritten());
        }
    }
    Ok(Verified { checkpoint: checkpoint.clone() })
}

/// Every entry hashes to its leaf in level 0.
fn check_bundles<S: Storage>(reader: &Reader<'_, S>, entry: &mut impl FnMut(u64, &[u8])) -> Result<(), Flaw> {
    for number in 0..reader.size().div_ceil(WIDTH) {
        let entries = reader.entries(number).map_err(Flaw::Read)?;
        let leaves = reader.hashes(0, number).map_err(Flaw::Read)?;
        for (offset, (bytes, leaf)) in (0..).zip(entries.iter().zip(&leaves)) {
            let index = number * WIDTH + offset;
            if leaf_hash(bytes) != *leaf {
                return Err(Flaw::Entry(index));
            }
            entry(index, bytes);
        }
    }
    Ok(())
}

/// Every hash above level 0 is the root of the full tile below it.
fn check_levels<S: Storage>(reader: &Reader<'_, S>) -> Result<(), Flaw> {
    let mut level = 1;
    while tile::count_at(reader.size(), level) > 0 {
        let count = tile::count_at(reader.size(), level);
        for number in 0..count.div_ceil(WIDTH) {
            let hashes = reader.hashes(level, number).map_err(Flaw::Read)?;
            for (offset, hash) in (0_u64..).zip(&hashes) {
                let below: Vec<Hash> =
                    reader.hashes(level - 1, number * WIDTH + offset).map_err(Flaw::Read)?;
                if tile::root_of(&below) != *hash || as_u64(below.len()) != WIDTH {
                    return Err(Flaw::Tile { level, number });
                }
            }
        }
        level += 1;
    }
    Ok(())
}
