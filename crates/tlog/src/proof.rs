//! C2SP `tlog-proof`: what proves offline that a record is in a log, and which witnesses saw that.

use std::fmt;

use attest::merkle::{Hash, leaf_hash, root_from_inclusion};
use attest::note::{Checkpoint, Note, NoteKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::witness::{hash, size};

const FIRST: &str = "c2sp.org/tlog-proof@v1";
/// A path in a tree of 2^63 leaves is no longer than this.
const MAX_PATH: usize = 63;
/// The longest record, in base64, with everything else.
const MAX_PROOF: usize = 256 << 10;

/// A proof as text. Nothing in it is proven until [`Proof::verify`] says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The record's place, from 0.
    pub index: u64,
    /// The hashes from the leaf to the root.
    pub path: Vec<Hash>,
    /// The checkpoint with its signatures.
    pub checkpoint: String,
    /// What travels with it: the record itself, where it is ours.
    pub extra: Option<Vec<u8>>,
}

/// What a proof proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The checkpoint whose tree has the record.
    pub checkpoint: Checkpoint,
    /// The witnesses that saw it, and when.
    pub witnesses: Vec<(String, Timestamp)>,
}

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// It is no proof; the field is what was wanted.
    Malformed(&'static str),
    /// The checkpoint is not signed by the log's key, or is another log's.
    Checkpoint,
    /// The path does not lead from this record to the signed root.
    Inclusion,
    /// Fewer witnesses saw the checkpoint than are wanted.
    Witnesses {
        /// Those that did.
        found: Vec<String>,
        /// How many are wanted.
        wanted: usize,
    },
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(wanted) => write!(f, "it is no tlog-proof, wanted {wanted}"),
            Self::Checkpoint => f.write_str("the checkpoint is not signed by this log's key"),
            Self::Inclusion => f.write_str("the path does not lead from this record to the signed root"),
            Self::Witnesses { found, wanted } if found.is_empty() => {
                write!(f, "no witness cosigned the checkpoint, wanted {wanted}")
            }
            Self::Witnesses { found, wanted } => {
                write!(f, "the checkpoint is cosigned by {}, wanted {wanted} witnesses", found.join(", "))
            }
        }
    }
}
impl std::error::Error for ProofError {}

impl Proof {
    /// Parses the text.
    ///
    /// # Errors
    /// [`ProofError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let (head, checkpoint) = text
            .split_once("\n\n")
            .filter(|_| text.len() <= MAX_PROOF)
            .ok_or(ProofError::Malformed("an empty line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST) {
            return Err(ProofError::Malformed("a first line `c2sp.org/tlog-proof@v1`"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            None => None,
            Some(text) => {
                lines.next();
                Some(STANDARD.decode(text).or(Err(ProofError::Malformed("base64 after `extra`")))?)
            }
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(size);
        let index = index.ok_or(ProofError::Malformed("a line `index PLACE`"))?;
        let path = lines.map(hash).collect::<Option<Vec<Hash>>>().filter(|path| path.len() <= MAX_PATH);
        let path = path.ok_or(ProofError::Malformed("at most 63 lines of one base64 hash each"))?;
        Ok(Self { index, path, checkpoint: checkpoint.to_owned(), extra })
    }

    /// The text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let extra = self.extra.as_ref().map(|bytes| format!("extra {}\n", STANDARD.encode(bytes)));
        let path: String = self.path.iter().map(|hash| format!("{}\n", STANDARD.encode(hash))).collect();
        let extra = extra.unwrap_or_default();
        format!("{FIRST}\n{extra}index {}\n{path}\n{}", self.index, self.checkpoint)
    }

    /// Verifies that the record is in the log of this key, under a checkpoint that so many of these witnesses cosigned.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(
        &self,
        record: &[u8],
        key: &NoteKey,
        witnesses: &[NoteKey],
        quorum: usize,
    ) -> Result<Proven, ProofError> {
        let (checkpoint, note) = signed(&self.checkpoint, key).ok_or(ProofError::Checkpoint)?;
        let root = root_from_inclusion(self.index, checkpoint.size, leaf_hash(record), &self.path);
        if root != Some(checkpoint.root) {
            return Err(ProofError::Inclusion);
        }
        let witnesses = cosigned(&note, key, witnesses, quorum)?;
        Ok(Proven { checkpoint, witnesses })
    }
}

/// A checkpoint that the log's key signed for its own log, and the note that it is in.
pub(crate) fn signed(text: &str, key: &NoteKey) -> Option<(Checkpoint, Note)> {
    let note = Note::parse(text).filter(|note| note.is_signed_by(key))?;
    let checkpoint = Checkpoint::parse(note.text()).filter(|c| c.origin == key.name)?;
    Some((checkpoint, note))
}

/// The witnesses that cosigned a note, where they are enough. One key is one witness, however often it is named, and
/// a log is no witness of itself.
fn cosigned(
    note: &Note,
    log: &NoteKey,
    witnesses: &[NoteKey],
    quorum: usize,
) -> Result<Vec<(String, Timestamp)>, ProofError> {
    let mut keys: Vec<&[u8]> = vec![log.key.raw()];
    let mut found = Vec::new();
    for witness in witnesses {
        if let Some(at) = note.cosigned_at(witness).filter(|_| !keys.contains(&witness.key.raw())) {
            keys.push(witness.key.raw());
            found.push((witness.name.clone(), at));
        }
    }
    if found.len() < quorum {
        let found = found.into_iter().map(|(name, _)| name).collect();
        return Err(ProofError::Witnesses { found, wanted: quorum });
    }
    Ok(found)
}

/// What a checkpoint as text proves: that the log's key signed it, and that so many of these witnesses saw it.
///
/// # Errors
/// [`ProofError::Checkpoint`] and [`ProofError::Witnesses`].
pub fn read_witnessed(
    text: &str,
    key: &NoteKey,
    witnesses: &[NoteKey],
    quorum: usize,
) -> Result<Proven, ProofError> {
    let (checkpoint, note) = signed(text, key).ok_or(ProofError::Checkpoint)?;
    let witnesses = cosigned(&note, key, witnesses, quorum)?;
    Ok(Proven { checkpoint, witnesses })
}
