//! What a journal holds after a crash.

use std::sync::Arc;

use attest::note::NoteKey;

use crate::frame::{self, BLOCK, Frame};
use crate::journal::{Batch, JournalFlaw, RESERVE, path_of};
use crate::promise;
use crate::reader::as_u64;
use crate::storage::Storage;
use crate::target::beyond;

/// Where a frame lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    pub(crate) path: Arc<str>,
    pub(crate) position: usize,
    pub(crate) length: usize,
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl Located {
    /// The index after its last leaf.
    pub(crate) fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// Reads the batch again, as carefully as the first time: somebody may have changed the file since.
    ///
    /// # Errors
    /// [`JournalFlaw`] where it is not what was written.
    pub(crate) fn read<S: Storage>(&self, storage: &S, key: &NoteKey) -> Result<Batch, JournalFlaw> {
        let bytes = storage.read_at(&self.path, self.position, self.length).map_err(JournalFlaw::Io)?;
        let frame = frame::read(&bytes.unwrap_or_default()).ok_or(JournalFlaw::Gap(self.end()))?;
        let is_same = frame.first == self.first && as_u64(frame.batch.leaves.len()) == self.count;
        if is_same && promise::is_signed(&frame.note, frame.first, &frame.batch.leaves, key) {
            Ok(frame.batch)
        } else {
            Err(JournalFlaw::Unsigned(self.first))
        }
    }
}

/// What a journal holds that a log of `size` entries does not have yet, in order. A torn batch at the end was never
/// acknowledged, and is not there.
///
/// # Errors
/// [`JournalFlaw`] where something that was acknowledged is missing, or something was put in.
pub fn pending<S: Storage>(storage: &S, key: &NoteKey, size: u64) -> Result<Vec<Batch>, JournalFlaw> {
    let mut batches = Vec::new();
    for found in locate(storage, key, size, size)? {
        let batch = found.read(storage, key)?;
        let new = beyond(size.max(found.first), found.first, std::slice::from_ref(&batch));
        batches.extend(new.or(Err(JournalFlaw::Gap(found.first)))?);
    }
    Ok(batches)
}

/// Where what is pending lies: what a target that has `taken` entries does not have, and before that what is not in its
/// tree of `sequenced` entries, as far as the spool has it without a gap. Only one segment's bytes are in memory at once.
///
/// # Errors
/// [`JournalFlaw`], as for [`pending`].
pub(crate) fn locate<S: Storage>(
    storage: &S,
    key: &NoteKey,
    sequenced: u64,
    taken: u64,
) -> Result<Vec<Located>, JournalFlaw> {
    let size = sequenced.min(taken);
    let mut found = Vec::new();
    // there may be more segments than this life uses
    for path in (0..).map(path_of) {
        let Some(bytes) = storage.read(&path).map_err(JournalFlaw::Io)? else { break };
        read_segment(&path, &bytes, key, size, &mut found);
    }
    if let Some(bytes) = storage.read(RESERVE).map_err(JournalFlaw::Io)? {
        read_segment(RESERVE, &bytes, key, size, &mut found);
    }
    found.sort_by_key(|(located, _)| located.first);
    let (mut next, mut pending) = (size, Vec::new());
    for (located, is_signed) in found {
        if !is_signed {
            return Err(JournalFlaw::Unsigned(located.first));
        }
        if located.first != next {
            // a target may have taken a part of the first one; and what is missing before is missed by nobody, as long as
            // the target has it: so a spool that was lost begins again
            if next > taken || located.first > taken {
                return Err(JournalFlaw::Gap(located.first));
            }
            pending.clear();
        }
        next = located.end();
        pending.push(located);
    }
    // a spool that ends before what the target has says nothing of what comes next
    if next < taken {
        pending.clear();
    }
    Ok(pending)
}

/// Finds what is not in the target in one segment, and whether the log's key signed it.
fn read_segment(path: &str, bytes: &[u8], key: &NoteKey, size: u64, found: &mut Vec<(Located, bool)>) {
    let path: Arc<str> = Arc::from(path);
    let located = |frame: &Frame, position: usize| Located {
        path: Arc::clone(&path),
        position,
        length: frame.length,
        first: frame.first,
        count: as_u64(frame.batch.leaves.len()),
    };
    let is_signed = |frame: &Frame| promise::is_signed(&frame.note, frame.first, &frame.batch.leaves, key);
    // frames go up; what lies behind the newest is of an earlier turn, and goes back. In the reserve some are left out.
    let (mut position, mut next) = (0, 0);
    while let Some(frame) = bytes.get(position..).and_then(frame::read).filter(|frame| frame.first >= next) {
        let at = located(&frame, position);
        (position, next) = (position + frame.length, at.end());
        if at.end() > size {
            found.push((at, is_signed(&frame)));
        }
    }
    // Frames of this log behind one that is not whole: there is at most one write on its way, so they mean that the torn
    // one was acknowledged, and it will be missed. Only signed frames count, because these blocks may lie within a blob,
    // whose bytes a requester chose.
    let mut hashed = 0_usize;
    while let Some(rest) = bytes.get(position..).filter(|rest| !rest.is_empty()) {
        // a blob that is made of beginnings of frames must not keep a log from opening
        hashed = hashed.saturating_add(frame::claimed_length(rest).unwrap_or(0));
        if hashed > bytes.len().saturating_mul(4) {
            return;
        }
        let frame = frame::read(rest).filter(|f| f.first + as_u64(f.batch.leaves.len()) > size);
        if let Some(frame) = frame.filter(is_signed) {
            found.push((located(&frame, position), true));
        }
        position += BLOCK;
    }
}
