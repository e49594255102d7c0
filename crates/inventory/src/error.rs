//! What can go wrong with an inventory, and what was found and mended when it was opened.

use std::fmt;
use std::io;
use std::path::PathBuf;

use attest::merkle::Hash;

/// Why the inventory cannot answer.
#[derive(Debug)]
pub enum InventoryError {
    /// The folder cannot be made or read.
    Io(PathBuf, io::Error),
    /// Another process keeps it.
    InUse(PathBuf),
    /// It was opened only to read.
    OnlyToRead,
    /// A file of it is damaged: SQLite says so.
    Damaged(String),
    /// SQLite cannot do it.
    Database(String),
    /// The log cannot be read.
    Log(tlog::ReadError),
    /// The log's entries do not lead to the root that was signed.
    NotTheLog {
        /// The first entry of the part that does not.
        from: u64,
        /// The first entry after it.
        to: u64,
    },
    /// The log has fewer entries than what was asked for.
    Shorter {
        /// How many it has.
        has: u64,
        /// How many were asked for.
        wanted: u64,
    },
}

impl fmt::Display for InventoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, e) => write!(f, "cannot use {}: {e}", path.display()),
            Self::InUse(path) => write!(f, "another process keeps the inventory in {}", path.display()),
            Self::OnlyToRead => {
                f.write_str("the inventory was opened only to read: another process keeps it up to date")
            }
            Self::Damaged(e) => write!(f, "the inventory is damaged: {e}; it can be made again from the log"),
            Self::Database(e) => write!(f, "the inventory cannot answer: {e}"),
            Self::Log(e) => write!(f, "the log cannot be read: {e}"),
            Self::NotTheLog { from, to } => {
                write!(
                    f,
                    "entries {from} to {to} of the log do not lead to its signed root; nothing of them was taken"
                )
            }
            Self::Shorter { has, wanted } => write!(f, "the log has {has} entries, wanted {wanted}"),
        }
    }
}
impl std::error::Error for InventoryError {}

impl From<tlog::ReadError> for InventoryError {
    fn from(e: tlog::ReadError) -> Self {
        Self::Log(e)
    }
}

impl From<sqlx::Error> for InventoryError {
    fn from(e: sqlx::Error) -> Self {
        // SQLITE_CORRUPT and SQLITE_NOTADB, with whatever extension in the upper bits
        let code = e.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<u32>().ok());
        match code.map(|code| code & 0xff) {
            Some(11 | 26) => Self::Damaged(e.to_string()),
            _ => Self::Database(e.to_string()),
        }
    }
}

/// What was found out of order and mended. A person must hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The index was damaged or of another version, and is made again from the log. Nothing is lost.
    IndexDiscarded {
        /// Why.
        why: String,
    },
    /// The index was of another log, and is made again from this one. Nothing is lost.
    AnotherLog {
        /// How many entries had been read of the other log.
        size: u64,
        /// The root that they led to.
        root: Hash,
    },
    /// What clusters had reported is damaged. What runs now is reported again; what ran before is not in any log.
    ObservationsDamaged {
        /// Why.
        why: String,
        /// Where the damaged file was put.
        kept: PathBuf,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndexDiscarded { why } => {
                write!(f, "the index was thrown away and is made again from the log: {why}")
            }
            Self::AnotherLog { size, root } => {
                let hex = attest::digest::to_hex(root);
                write!(
                    f,
                    "the index was of another log ({size} entries, root {hex}), and is made again from this one"
                )
            }
            Self::ObservationsDamaged { why, kept } => write!(
                f,
                "what clusters reported until now is damaged and was put aside as {}: {why}; what ran before is not in \
                 any log, and restoring that file from a backup is the only way to it",
                kept.display()
            ),
        }
    }
}
