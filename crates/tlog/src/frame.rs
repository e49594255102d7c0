//! How a batch lies in a journal's segment.
//!
//! `magic | length of payload (u64) | SHA-256 of payload | payload | zeros up to a whole block`, big endian; the payload
//! is `first index (u64) | note | leaves | blobs`, each byte string behind its length (u32), each list behind its count.
//!
//! SHA-256 and not a CRC: the note signs the root of the leaves, and this hash says as strongly that nothing of the
//! batch is missing; beside two signatures for each decision its cost is not seen. A frame begins on a block of its
//! own, so a torn write never shares a sector with a batch that was acknowledged.

use attest::Digest;

use crate::journal::Batch;
use crate::reader::as_u64;

/// What a disk or a file system writes at once, at most in use.
pub(crate) const BLOCK: usize = 4096;
const MAGIC: &[u8] = b"PCJRNL01";
const HEADER: usize = 8 + 8 + 32;

/// A batch as it was written.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The index of its first leaf.
    pub(crate) first: u64,
    /// The log's signature over its leaves.
    pub(crate) note: String,
    pub(crate) batch: Batch,
    /// The bytes it takes up in the segment.
    pub(crate) length: usize,
}

/// The bytes of a frame.
pub(crate) fn write(first: u64, note: &str, batch: &Batch) -> Vec<u8> {
    let blobs: usize = batch.blobs.iter().map(Vec::len).sum();
    let mut out = Vec::with_capacity(blobs + batch.leaves.len() * 1024 + BLOCK);
    out.extend(MAGIC);
    out.extend([0; HEADER - 8]);
    out.extend(first.to_be_bytes());
    put(&mut out, note.as_bytes());
    for list in [&batch.leaves, &batch.blobs] {
        out.extend(length_of(list.len()));
        list.iter().for_each(|bytes| put(&mut out, bytes));
    }
    let payload = out.get(HEADER..).unwrap_or_default();
    let header = [as_u64(payload.len()).to_be_bytes().as_slice(), Digest::sha256(payload).bytes()].concat();
    if let Some(place) = out.get_mut(8..HEADER) {
        place.copy_from_slice(&header);
    }
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(length_of(bytes.len()));
    out.extend(bytes);
}

fn length_of(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// How long the frame is that claims to begin here, if it fits.
pub(crate) fn claimed_length(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    usize::try_from(u64::from_be_bytes(*length)).ok().filter(|length| *length <= rest.len())
}

/// The frame that begins here, if it is whole.
pub(crate) fn read(bytes: &[u8]) -> Option<Frame> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    let payload = rest.get(..length)?;
    if Digest::sha256(payload).bytes() != hash {
        return None;
    }
    let mut cursor = Cursor(payload);
    let (first, rest) = cursor.0.split_first_chunk::<8>()?;
    cursor.0 = rest;
    let note = String::from_utf8(cursor.bytes()?).ok()?;
    let batch = Batch { leaves: cursor.list()?, blobs: cursor.list()? };
    let length = (HEADER + length).next_multiple_of(BLOCK);
    cursor.0.is_empty().then(|| Frame { first: u64::from_be_bytes(*first), note, batch, length })
}

struct Cursor<'b>(&'b [u8]);

impl Cursor<'_> {
    fn number(&mut self) -> Option<usize> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        usize::try_from(u32::from_be_bytes(*number)).ok()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn list(&mut self) -> Option<Vec<Vec<u8>>> {
        (0..self.number()?).map(|_| self.bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_written_and_not_with_any_byte_changed_or_cut() {
        let batch = Batch { leaves: vec![b"one".to_vec(), Vec::new()], blobs: vec![vec![7; 5000]] };
        let bytes = write(42, "a note", &batch);
        assert_eq!(bytes.len(), 2 * BLOCK);
        let frame = read(&bytes).unwrap();
        assert_eq!((frame.first, frame.note.as_str(), frame.length), (42, "a note", 2 * BLOCK));
        assert_eq!(frame.batch, batch);
        let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
        for at in 0..used {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed).is_none(), "byte {at}");
            assert!(read(&bytes[..at]).is_none(), "cut at {at}");
        }
    }
}
