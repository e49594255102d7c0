//! A batch on its way into the tree: durable in the folder before the database is told, so that whoever comes after a
//! crash can finish it.
//!
//! `portcullis-staged/v1 | old checkpoint | new checkpoint | leaves (u32 length, bytes) | SHA-256 of all before`.

use std::io;

use attest::Digest;
use attest::note::Checkpoint;
use tlog::{Files, Storage as _};

const FOLDER: &str = "staged";
const MAGIC: &str = "portcullis-staged/v1\n";

/// A batch that may have been committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Staged {
    /// The number of the sequencer that staged it.
    pub(crate) epoch: i64,
    /// What it continues.
    pub(crate) old: Checkpoint,
    /// What the tree becomes.
    pub(crate) new: Checkpoint,
    pub(crate) leaves: Vec<Vec<u8>>,
}

impl Staged {
    /// Writes it durably, in a file of this epoch: who was replaced does not write over who came after.
    pub(crate) fn write(&self, folder: &Files) -> io::Result<()> {
        let mut bytes = format!("{MAGIC}{}\n", self.epoch).into_bytes();
        for text in [self.old.to_text(), self.new.to_text()] {
            part(&mut bytes, text.as_bytes());
        }
        self.leaves.iter().for_each(|leaf| part(&mut bytes, leaf));
        let digest = Digest::sha256(&bytes);
        bytes.extend(digest.bytes());
        folder.write(&path(self.epoch), &bytes)
    }

    /// Those that are there.
    pub(crate) fn read(folder: &Files) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for epoch in epochs(folder)? {
            let bytes = folder.read(&path(epoch))?.unwrap_or_default();
            let damaged = || {
                let why = format!("the file {} in the log's folder is damaged", path(epoch));
                io::Error::new(io::ErrorKind::InvalidData, why)
            };
            found.push(Self::parse(&bytes).ok_or_else(damaged)?);
        }
        Ok(found)
    }

    /// What this epoch and those before it staged is in the tree, or never will be.
    pub(crate) fn remove(folder: &Files, epoch: i64) -> io::Result<()> {
        epochs(folder)?.into_iter().filter(|old| *old <= epoch).try_for_each(|old| folder.remove(&path(old)))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (bytes, digest) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if Digest::sha256(bytes).bytes() != digest {
            return None;
        }
        let rest = bytes.strip_prefix(MAGIC.as_bytes())?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let epoch = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
        let mut rest = rest.get(end + 1..)?;
        let mut checkpoint = || Checkpoint::parse(std::str::from_utf8(take(&mut rest)?).ok()?);
        let (old, new) = (checkpoint()?, checkpoint()?);
        let mut leaves = Vec::new();
        while !rest.is_empty() {
            leaves.push(take(&mut rest)?.to_vec());
        }
        Some(Self { epoch, old, new, leaves })
    }
}

fn path(epoch: i64) -> String {
    format!("{FOLDER}/{epoch}")
}

/// Whose staged batches are there; what else lies in the folder is the temporary file of a write that did not end.
fn epochs(folder: &Files) -> io::Result<Vec<i64>> {
    let entries = match std::fs::read_dir(folder.root().join(FOLDER)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut epochs = Vec::new();
    for entry in entries {
        epochs.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i64>().ok()));
    }
    Ok(epochs)
}

fn part(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

fn take<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (bytes, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_staged_is_found_as_it_was_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        assert_eq!(Staged::read(&files).unwrap(), []);
        let at = |size, byte| Checkpoint { origin: "log.example".to_owned(), size, root: [byte; 32] };
        let leaves = vec![b"one".to_vec(), Vec::new(), vec![7; 65_535]];
        let staged = Staged { epoch: 3, old: at(4, 1), new: at(7, 2), leaves };
        staged.write(&files).unwrap();
        assert_eq!(Staged::read(&files).unwrap(), std::slice::from_ref(&staged));
        let later = Staged { epoch: 4, ..staged.clone() };
        later.write(&files).unwrap();
        assert_eq!(Staged::read(&files).unwrap().len(), 2);
        Staged::remove(&files, 3).unwrap();
        assert_eq!(Staged::read(&files).unwrap(), [later]);
        Staged::remove(&files, 4).unwrap();
        staged.write(&files).unwrap();
        let path = folder.path().join("staged/3");
        let whole = std::fs::read(&path).unwrap();
        for at in [0, 25, 60, 200, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(
                Staged::read(&files).unwrap_err().to_string(),
                "the file staged/3 in the log's folder is damaged",
                "{at}"
            );
        }
        Staged::remove(&files, 3).unwrap();
        assert_eq!(Staged::read(&files).unwrap(), []);
    }
}
