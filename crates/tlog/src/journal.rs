//! The journal beside a log: what was acknowledged and is not in the tree yet.
//!
//! Two segments of one length, written from the beginning in turns: while one is applied to the tree, the other takes
//! what comes. Nothing marks a frame as applied but the checkpoint: one whose leaves are all below the checkpoint's
//! size is old, and its place is written over. So applying twice is not possible, and trimming costs nothing.

use std::fmt;
use std::io;
use std::sync::Arc;

use attest::note::NoteKey;

use crate::frame::{self, BLOCK, Frame};
use crate::log::{AppendError, Log, LogSigner};
use crate::promise::{self, Promise};
use crate::reader::as_u64;
use crate::storage::Storage;
use crate::tile::MAX_ENTRY;

/// How long a segment is: some two thousand decisions.
pub(crate) const SEGMENT: usize = 8 * 1024 * 1024;

/// What becomes durable together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// New entries of the log, in order.
    pub leaves: Vec<Vec<u8>>,
    /// New blobs, which the entries name.
    pub blobs: Vec<Vec<u8>>,
}

/// Why a journal is not believed.
#[derive(Debug)]
pub enum JournalFlaw {
    /// It cannot be read.
    Io(io::Error),
    /// Records that were acknowledged are missing before this one.
    Gap(u64),
    /// The log's key did not sign what is there from this record on.
    Unsigned(u64),
}

impl fmt::Display for JournalFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "the journal cannot be read: {e}"),
            Self::Gap(index) => write!(
                f,
                "the journal is damaged: it has record {index}, and some before it, which were acknowledged, are missing"
            ),
            Self::Unsigned(index) => {
                write!(f, "the journal was changed: the log's key did not sign record {index} in it")
            }
        }
    }
}
impl std::error::Error for JournalFlaw {}

/// The writing end of a journal.
pub struct Journal<S> {
    storage: S,
    key: NoteKey,
    signer: Arc<LogSigner>,
    /// The index of the next leaf.
    next: u64,
    /// Which segment is written.
    active: usize,
    /// Where its next frame goes.
    position: usize,
    capacity: usize,
    stopped: bool,
}

impl<S> fmt::Debug for Journal<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Journal(of {}, next is {})", self.key.name, self.next)
    }
}

impl<S: Storage + Clone> Journal<S> {
    /// The journal of a log that has just been opened: everything in it is applied.
    ///
    /// # Errors
    /// Any I/O error: there must be room for both segments before anything is acknowledged.
    pub fn begin(log: &Log<S>, capacity: usize) -> io::Result<Self> {
        Self::begin_at(log.storage().clone(), &log.key().name, log.signer(), log.size(), capacity)
    }
}

impl<S: Storage> Journal<S> {
    /// The journal of a writer whose next entry is `next`.
    pub(crate) fn begin_at(
        storage: S,
        name: &str,
        signer: Arc<LogSigner>,
        next: u64,
        capacity: usize,
    ) -> io::Result<Self> {
        for segment in 0..SEGMENTS.len() {
            storage.preallocate(path_of(segment), capacity)?;
        }
        let key = NoteKey { name: name.to_owned(), key: signer.public().clone() };
        Ok(Self { storage, key, signer, next, active: 0, position: 0, capacity, stopped: false })
    }
}

impl<S: Storage> Journal<S> {
    /// The index of the next leaf.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The store.
    pub(crate) fn storage(&self) -> &S {
        &self.storage
    }

    /// Whether a write failed.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Nothing is acknowledged any more.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether the active segment has room for this batch, or is empty: then it grows for a batch of any length.
    #[must_use]
    pub fn has_room(&self, batch: &Batch) -> bool {
        let bytes = |list: &[Vec<u8>]| list.iter().map(|b| b.len() + 4).sum::<usize>();
        let estimate = bytes(&batch.leaves) + bytes(&batch.blobs) + 2 * BLOCK;
        self.position == 0 || self.position + estimate <= self.capacity
    }

    /// Whether more than half of the active segment is used.
    pub(crate) fn is_half_full(&self) -> bool {
        self.position > self.capacity / 2
    }

    /// Writes a batch. When this returns, all of it survives a power cut.
    ///
    /// # Errors
    /// [`AppendError`]. After a failed write nothing more is taken: the page cache may claim what the disk lost.
    pub fn commit(&mut self, batch: &Batch) -> Result<Vec<Promise>, AppendError> {
        if self.stopped {
            return Err(AppendError::Stopped);
        }
        if batch.leaves.is_empty() {
            return Err(AppendError::Empty);
        }
        if let Some(long) = batch.leaves.iter().find(|leaf| leaf.len() > MAX_ENTRY) {
            return Err(AppendError::TooLong(long.len()));
        }
        self.stopped = true;
        let signed = promise::sign(&self.key.name, self.next, &batch.leaves, self.signer.as_ref());
        let (note, promises) = signed.or(Err(AppendError::Sign))?;
        let bytes = frame::write(self.next, &note, batch);
        self.storage.write_at(path_of(self.active), self.position, &bytes).map_err(AppendError::Io)?;
        self.position += bytes.len();
        self.next += as_u64(batch.leaves.len());
        self.stopped = false;
        Ok(promises)
    }

    /// Goes on in the other segment. Only once all of what that one holds is applied.
    pub fn rotate(&mut self) {
        self.active = (self.active + 1) % SEGMENTS.len();
        self.position = 0;
    }
}

const SEGMENTS: [&str; 2] = ["journal/0", "journal/1"];

fn path_of(segment: usize) -> &'static str {
    SEGMENTS.get(segment).copied().unwrap_or("journal/0")
}

/// What a journal holds that a log of `size` entries does not have yet, in order. A torn batch at the end was never
/// acknowledged, and is not there.
///
/// # Errors
/// [`JournalFlaw`] where something that was acknowledged is missing, or something was put in.
pub fn pending<S: Storage>(storage: &S, key: &NoteKey, size: u64) -> Result<Vec<Batch>, JournalFlaw> {
    let mut frames = Vec::new();
    for path in SEGMENTS {
        let segment = storage.read(path).map_err(JournalFlaw::Io)?.unwrap_or_default();
        let rest = read_in_order(&segment, &mut frames);
        read_behind_a_tear(rest, key, size, &mut frames);
    }
    frames.retain(|frame: &Frame| frame.first + as_u64(frame.batch.leaves.len()) > size);
    frames.sort_by_key(|frame| frame.first);
    let mut next = size;
    for frame in &frames {
        if !promise::is_signed(&frame.note, frame.first, &frame.batch.leaves, key) {
            return Err(JournalFlaw::Unsigned(frame.first));
        }
        if frame.first != next {
            return Err(JournalFlaw::Gap(frame.first));
        }
        next += as_u64(frame.batch.leaves.len());
    }
    Ok(frames.into_iter().map(|frame| frame.batch).collect())
}

/// Reads frames from the segment's beginning as long as each continues the one before, and gives the rest.
fn read_in_order<'b>(mut segment: &'b [u8], frames: &mut Vec<Frame>) -> &'b [u8] {
    let mut next = None;
    while let Some(frame) = frame::read(segment).filter(|f| next.is_none_or(|next| next == f.first)) {
        next = Some(frame.first + as_u64(frame.batch.leaves.len()));
        segment = segment.get(frame.length..).unwrap_or_default();
        frames.push(frame);
    }
    segment
}

/// Looks for frames of this log behind one that is not whole. There is at most one write on its way, so a frame behind
/// a torn one means that the torn one was acknowledged: it will be missed. Only signed frames count, because these
/// blocks may lie within a blob, whose bytes a requester chose.
fn read_behind_a_tear(rest: &[u8], key: &NoteKey, size: u64, frames: &mut Vec<Frame>) {
    let (mut at, mut hashed) = (0, 0_usize);
    while let Some(bytes) = rest.get(at..).filter(|bytes| !bytes.is_empty()) {
        at += BLOCK;
        // a blob that is made of beginnings of frames must not keep a log from opening
        hashed = hashed.saturating_add(frame::claimed_length(bytes).unwrap_or(0));
        if hashed > 4 * SEGMENT {
            return;
        }
        let found = frame::read(bytes).filter(|f| f.first + as_u64(f.batch.leaves.len()) > size);
        if let Some(found) = found.filter(|f| promise::is_signed(&f.note, f.first, &f.batch.leaves, key)) {
            frames.push(found);
        }
    }
}
