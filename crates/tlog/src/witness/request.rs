//! The body of `add-checkpoint`: `old N`, the consistency proof, an empty line, the checkpoint.

use attest::merkle::Hash;
use attest::note::{Checkpoint, Note};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A checkpoint with a hundred signatures and the longest proof are shorter than this.
pub const MAX_REQUEST: usize = 16 << 10;
/// A proof in a tree of 2^63 leaves is no longer than this.
const MAX_PROOF: usize = 63;

/// What a log asks of a witness. Nothing in it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The size of the tree that the witness saw last, as the log believes.
    pub old: u64,
    /// That the new tree continues the old one.
    pub proof: Vec<Hash>,
    /// The checkpoint, with its signatures.
    pub note: Note,
    /// What the checkpoint says.
    pub checkpoint: Checkpoint,
}

impl Request {
    /// Parses a body.
    ///
    /// # Errors
    /// What was wanted.
    pub fn parse(body: &[u8]) -> Result<Self, &'static str> {
        if body.len() > MAX_REQUEST {
            return Err("a body of at most 16 KiB");
        }
        let body = std::str::from_utf8(body).or(Err("text in UTF-8"))?;
        let (head, note) = body.split_once("\n\n").ok_or("an empty line before the checkpoint")?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(size);
        let old = old.ok_or("a first line `old SIZE`")?;
        let proof = lines.map(hash).collect::<Option<Vec<Hash>>>();
        let proof =
            proof.filter(|p| p.len() <= MAX_PROOF).ok_or("at most 63 lines of one base64 hash each")?;
        let note = Note::parse(note).ok_or("a signed note")?;
        let checkpoint = Checkpoint::parse(note.text()).ok_or("a checkpoint: origin, size, root")?;
        Ok(Self { old, proof, note, checkpoint })
    }
}

/// The body that a log sends.
pub(crate) fn write(old: u64, proof: &[Hash], note: &str) -> String {
    let proof: String = proof.iter().map(|hash| format!("{}\n", STANDARD.encode(hash))).collect();
    format!("old {old}\n{proof}\n{note}")
}

/// A size in decimal, with nothing before it.
pub(crate) fn size(text: &str) -> Option<u64> {
    let is_canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    is_canonical.then(|| text.parse().ok())?
}

/// A line of one base64 hash.
pub(crate) fn hash(line: &str) -> Option<Hash> {
    STANDARD.decode(line).ok()?.try_into().ok()
}
