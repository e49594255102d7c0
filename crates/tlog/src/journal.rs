//! The spool: what was acknowledged and is not in its target yet.
//!
//! A ring of segments of one length, and a reserve. Segments are written one after the other; one is written over once
//! all that it holds is in the target's tree: what a database has taken may still be lost, where another server takes over
//! that had not received it. Nothing marks a frame as applied but the target's own count: one whose leaves are all below
//! that is old, and its place is written over. So applying twice is not possible, and trimming costs nothing.

use std::fmt;
use std::io;
use std::sync::Arc;

use attest::note::NoteKey;

use crate::frame::{self, BLOCK};
use crate::log::{AppendError, Log, LogSigner};
use crate::promise::{self, Promise};
use crate::reader::as_u64;
use crate::recover::Located;
use crate::room::{Fill, Mark, Purpose, Room};
use crate::storage::Storage;
use crate::tile::MAX_ENTRY;

/// The reserve's file.
pub(crate) const RESERVE: &str = "journal/reserve";

/// The file of a ring's segment.
pub(crate) fn path_of(segment: usize) -> String {
    format!("journal/{segment}")
}

/// What becomes durable together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// New entries of the log, in order.
    pub leaves: Vec<Vec<u8>>,
    /// New blobs, which the entries name.
    pub blobs: Vec<Vec<u8>>,
}

impl Batch {
    /// How many bytes its frame has at most.
    fn length(&self) -> usize {
        let bytes = |list: &[Vec<u8>]| list.iter().map(|b| b.len() + 4).sum::<usize>();
        bytes(&self.leaves) + bytes(&self.blobs) + OVERHEAD
    }
}

/// What a frame has beside its leaves and blobs, at most: the note, and zeros up to a whole block.
pub(crate) const OVERHEAD: usize = 2 * BLOCK;

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
    ring: Vec<Segment>,
    /// Which of the ring is written.
    active: usize,
    reserve: Segment,
    /// An ordinary batch found no room, and none was freed since.
    is_full: bool,
    stopped: bool,
}

/// A file of frames.
struct Segment {
    path: Arc<str>,
    capacity: usize,
    /// Where its next frame goes.
    position: usize,
    /// The index after its last frame, while that is not applied.
    end: Option<u64>,
}

impl Segment {
    /// Preallocates the file, and finds the end of what it holds.
    fn begin<S: Storage>(storage: &S, path: &str, capacity: usize, held: &[Located]) -> io::Result<Self> {
        let own = || held.iter().filter(|found| &*found.path == path);
        // what lies behind the newest frame may be older, and is not written over
        let (Some(newest), Some(last)) = (own().max_by_key(|f| f.end()), own().max_by_key(|f| f.position))
        else {
            storage.preallocate(path, capacity)?;
            return Ok(Self { path: Arc::from(path), capacity, position: 0, end: None });
        };
        // one that holds something is not made anew, also where segments are longer now
        let capacity = capacity.min(storage.length(path)?.unwrap_or(0));
        // its newest frame may be in the page cache only, of a write that failed: what follows must not stand on that
        let bytes = storage.read_at(path, newest.position, newest.length)?.unwrap_or_default();
        storage.write_at(path, newest.position, &bytes)?;
        Ok(Self {
            path: Arc::from(path),
            capacity,
            position: last.position + last.length,
            end: Some(newest.end()),
        })
    }

    fn free(&mut self, applied: u64) -> bool {
        let is_free = self.end.is_some_and(|end| end <= applied);
        if is_free {
            (self.position, self.end) = (0, None);
        }
        is_free
    }

    fn used(&self) -> usize {
        if self.end.is_some() { self.position.min(self.capacity) } else { 0 }
    }
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
    /// Any I/O error: there must be room for everything before anything is acknowledged.
    pub fn begin(log: &Log<S>, room: Room) -> io::Result<Self> {
        Self::resume(log.storage().clone(), log.key(), log.signer(), room, log.size(), &[])
    }
}

impl<S: Storage> Journal<S> {
    /// The journal of a writer, going on behind what it holds.
    pub(crate) fn resume(
        storage: S,
        key: NoteKey,
        signer: Arc<LogSigner>,
        room: Room,
        applied: u64,
        held: &[Located],
    ) -> io::Result<Self> {
        let ring = (0..room.segments.max(1))
            .map(|segment| Segment::begin(&storage, &path_of(segment), room.segment, held))
            .collect::<io::Result<Vec<_>>>()?;
        let reserve = Segment::begin(&storage, RESERVE, room.reserve, held)?;
        let active = (0..).zip(&ring).max_by_key(|(_, segment)| segment.end).map_or(0, |(at, _)| at);
        // of segments that hold nothing the first one is as good as any
        let active = if ring.iter().all(|segment| segment.end.is_none()) { 0 } else { active };
        let next = held.iter().map(Located::end).max().unwrap_or(applied).max(applied);
        Ok(Self { storage, key, signer, next, ring, active, reserve, is_full: false, stopped: false })
    }

    /// The index of the next leaf.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The key under which its promises are believed.
    pub(crate) fn key(&self) -> &NoteKey {
        &self.key
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

    /// Whether there is room for this batch.
    #[must_use]
    pub fn has_room(&self, batch: &Batch, purpose: Purpose) -> bool {
        self.has_room_for(batch.length(), purpose)
    }

    /// Whether there is room for a frame of so many bytes.
    pub(crate) fn has_room_for(&self, bytes: usize, purpose: Purpose) -> bool {
        self.in_ring(bytes).is_some() || self.is_in_reserve(bytes, purpose)
    }

    /// The segment of the ring that takes so many bytes. One that is empty grows for a batch of any length.
    fn in_ring(&self, bytes: usize) -> Option<usize> {
        if self.is_full {
            return None;
        }
        let active = self.ring.get(self.active)?;
        if active.position == 0 || active.position.saturating_add(bytes) <= active.capacity {
            return Some(self.active);
        }
        let count = self.ring.len();
        let others = (1..count).map(|step| (self.active + step) % count);
        let mut free = others.filter(|at| self.ring.get(*at).is_some_and(|s| s.end.is_none()));
        free.next()
    }

    fn is_in_reserve(&self, bytes: usize, purpose: Purpose) -> bool {
        let limit = match purpose {
            Purpose::Ordinary => return false,
            Purpose::Outage => self.reserve.capacity / 2,
            Purpose::Reserve => self.reserve.capacity,
        };
        self.reserve.position.saturating_add(bytes) <= limit
    }

    /// The ring has no room, and is left alone until some of it is applied.
    pub(crate) fn found_full(&mut self) {
        self.is_full = true;
    }

    /// Everything below this index is in the target's tree: segments that hold nothing else are free.
    pub fn applied(&mut self, upto: u64) {
        let freed = self.ring.iter_mut().filter_map(|segment| segment.free(upto).then_some(())).count();
        self.is_full &= freed == 0;
        self.reserve.free(upto);
    }

    /// Whether more than half of the active segment is used.
    pub(crate) fn is_half_full(&self) -> bool {
        self.ring.get(self.active).is_some_and(|segment| segment.position > segment.capacity / 2)
    }

    /// How full it is.
    #[must_use]
    pub fn fill(&self) -> Fill {
        let held = |(at, segment): (usize, &Segment)| match segment.end {
            // what is behind its last frame cannot be used
            Some(_) if at != self.active => segment.capacity,
            _ => segment.used(),
        };
        let used = as_u64((0..).zip(&self.ring).map(held).sum());
        let capacity = as_u64(self.ring.iter().map(|segment| segment.capacity).sum());
        Fill {
            used,
            capacity,
            reserve_used: as_u64(self.reserve.used()),
            reserve: as_u64(self.reserve.capacity),
            mark: Mark::of(used, capacity, self.is_full),
            is_cut_off: false,
        }
    }

    /// Writes a batch. When this returns, all of it survives a power cut.
    ///
    /// # Errors
    /// [`AppendError`]. After a failed write nothing more is taken: the page cache may claim what the disk lost.
    pub fn commit(&mut self, batch: &Batch) -> Result<Vec<Promise>, AppendError> {
        self.commit_for(Purpose::Ordinary, batch).map(|(promises, _)| promises)
    }

    /// As [`Journal::commit`], for another purpose, and says where it lies.
    ///
    /// # Errors
    /// [`AppendError`]; [`AppendError::Full`] where there is no room for that purpose, and nothing was written.
    pub fn commit_for(
        &mut self,
        purpose: Purpose,
        batch: &Batch,
    ) -> Result<(Vec<Promise>, Located), AppendError> {
        if self.stopped {
            return Err(AppendError::Stopped);
        }
        if batch.leaves.is_empty() {
            return Err(AppendError::Empty);
        }
        if let Some(long) = batch.leaves.iter().find(|leaf| leaf.len() > MAX_ENTRY) {
            return Err(AppendError::TooLong(long.len()));
        }
        let at = self.in_ring(batch.length());
        if at.is_none() && !self.is_in_reserve(batch.length(), purpose) {
            return Err(AppendError::Full);
        }
        self.stopped = true;
        let signed = promise::sign(&self.key.name, self.next, &batch.leaves, self.signer.as_ref());
        let (note, promises) = signed.or(Err(AppendError::Sign))?;
        let bytes = frame::write(self.next, &note, batch);
        self.active = at.unwrap_or(self.active);
        let in_ring = at.and_then(|at| self.ring.get_mut(at));
        let segment = in_ring.unwrap_or(&mut self.reserve);
        self.storage.write_at(&segment.path, segment.position, &bytes).map_err(AppendError::Io)?;
        let (first, count, length) = (self.next, as_u64(batch.leaves.len()), bytes.len());
        let located =
            Located { path: Arc::clone(&segment.path), position: segment.position, length, first, count };
        segment.position += length;
        segment.end = Some(located.end());
        self.next = located.end();
        self.stopped = false;
        Ok((promises, located))
    }
}
