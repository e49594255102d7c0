//! The one thread that records: it takes everything that waits, and makes it durable together.
//!
//! Nothing is delayed on purpose: while one batch is being written, the next one gathers.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use attest::{Algorithm, Digest};
use tlog::{AppendError, Batch, Journaled, Promise, Storage};

use crate::chokepoint::{DecideError, LastSeen};
use crate::entry::Position;
use crate::prepared::Prepared;

/// How many requests wait for their commit at most, unless another number is given.
pub(crate) const DEFAULT_WAITING: usize = 1024;
/// What one batch holds at most, unless one group of requests alone is longer.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// How many digests of blobs that are stored already are remembered: some megabytes.
const REMEMBERED: usize = 32 * 1024;

/// Who is told what came of it.
pub(crate) type Reply = Box<dyn FnOnce(Result<Vec<Promise>, DecideError>) + Send>;

/// The queue before the log.
pub(crate) struct Committer<S> {
    shared: Arc<Shared<S>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<S> {
    log: Journaled<S>,
    last_seen: Arc<LastSeen>,
    limit: usize,
    author: Mutex<Author>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Who writes, and what it wrote last.
#[derive(Debug)]
pub(crate) struct Author {
    pub(crate) name: String,
    pub(crate) epoch: u64,
    pub(crate) previous: Option<Digest>,
}

#[derive(Default)]
struct Queue {
    groups: VecDeque<Group>,
    /// Requests in all groups.
    waiting: usize,
    closing: bool,
    stopped: bool,
}

/// Requests that are recorded together.
struct Group {
    prepared: Vec<Prepared>,
    reply: Reply,
}

impl<S> fmt::Debug for Committer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Committer({} waiting at most)", self.shared.limit)
    }
}

impl<S: Storage + Clone + Send + Sync + 'static> Committer<S> {
    /// Starts the thread.
    pub(crate) fn start(
        log: Journaled<S>,
        author: Author,
        last_seen: Arc<LastSeen>,
        limit: usize,
    ) -> io::Result<Self> {
        let (queue, changed, author) = (Mutex::default(), Condvar::new(), Mutex::new(author));
        let shared = Arc::new(Shared { log, last_seen, limit, author, queue, changed });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(move || theirs.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The log behind it.
    pub(crate) fn log(&self) -> &Journaled<S> {
        &self.shared.log
    }

    /// Whether nothing is recorded any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.shared.lock().stopped || self.shared.log.is_stopped()
    }

    /// Whether so many more may wait.
    pub(crate) fn check_room(&self, more: usize) -> Result<(), DecideError> {
        self.shared.check_room(&self.shared.lock(), more)
    }

    /// Has a group recorded; gives the reply back where it is not taken.
    pub(crate) fn submit(&self, prepared: Vec<Prepared>, reply: Reply) -> Result<(), (DecideError, Reply)> {
        let mut queue = self.shared.lock();
        if let Err(e) = self.shared.check_room(&queue, prepared.len()) {
            return Err((e, reply));
        }
        queue.waiting += prepared.len();
        queue.groups.push_back(Group { prepared, reply });
        drop(queue);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_room(&self, queue: &Queue, more: usize) -> Result<(), DecideError> {
        if queue.stopped || queue.closing {
            return Err(DecideError::Stopped);
        }
        // a group that alone is larger than the queue is taken when nobody else waits
        let is_full = queue.waiting > 0 && queue.waiting + more > self.limit;
        if is_full { Err(DecideError::Busy { limit: self.limit }) } else { Ok(()) }
    }

    /// Everything that waits, up to a batch's length; nothing once all is done and the choke point closes.
    fn take(&self) -> Option<Vec<Group>> {
        let is_idle = |queue: &mut Queue| queue.groups.is_empty() && !queue.closing;
        let mut queue = self.changed.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut length) = (Vec::new(), 0_usize);
        while length < BATCH_BYTES {
            let Some(group) = queue.groups.pop_front() else { break };
            queue.waiting = queue.waiting.saturating_sub(group.prepared.len());
            length += group.prepared.iter().map(Prepared::length).sum::<usize>();
            taken.push(group);
        }
        (!taken.is_empty()).then_some(taken)
    }
}

impl<S: Storage + Clone + Send + Sync + 'static> Shared<S> {
    fn run(&self) {
        let mut remembered = Remembered::default();
        while let Some(mut groups) = self.take() {
            match self.commit(&mut groups, &mut remembered) {
                Ok(promises) => answer(groups, promises),
                Err(e) => {
                    let e = DecideError::Append(Arc::new(e));
                    groups.into_iter().for_each(|group| (group.reply)(Err(e.clone())));
                    return self.refuse_all();
                }
            }
        }
    }

    /// One write and one sync for all of them.
    fn commit(&self, groups: &mut [Group], remembered: &mut Remembered) -> Result<Vec<Promise>, AppendError> {
        let mut new = BTreeSet::new();
        let mut blobs = Vec::new();
        for prepared in groups.iter_mut().flat_map(|group| &mut group.prepared) {
            for (digest, bytes) in std::mem::take(&mut prepared.parts) {
                if !remembered.has(&digest) && new.insert(digest) {
                    blobs.push(bytes);
                }
            }
        }
        let all = || groups.iter().flat_map(|group| &group.prepared);
        if all().next().is_none() {
            return Ok(Vec::new());
        }
        let mut author = self.author.lock().unwrap_or_else(PoisonError::into_inner);
        let promises = self.log.commit(|first| Batch { leaves: author.write(first, all()), blobs })?;
        drop(author);
        // only now: a digest is remembered because its bytes are durable
        new.into_iter().for_each(|digest| remembered.add(digest));
        all().for_each(|prepared| self.last_seen.raise(prepared.at));
        Ok(promises)
    }

    /// After a failed write nothing is recorded, so nobody is answered.
    fn refuse_all(&self) {
        let mut queue = self.lock();
        queue.stopped = true;
        let left = std::mem::take(&mut queue.groups);
        drop(queue);
        left.into_iter().for_each(|group| (group.reply)(Err(DecideError::Stopped)));
    }
}

/// Tells everybody, each group its own.
fn answer(groups: Vec<Group>, promises: Vec<Promise>) {
    let mut promises = promises.into_iter();
    for group in groups {
        (group.reply)(Ok(promises.by_ref().take(group.prepared.len()).collect()));
    }
}

impl Author {
    /// The leaves of these entries, each of which names the one before it.
    fn write<'p>(&mut self, first: u64, entries: impl Iterator<Item = &'p Prepared>) -> Vec<Vec<u8>> {
        let mut leaf = |(sequence, prepared): (u64, &Prepared)| {
            let (writer, previous) = (self.name.clone(), self.previous.take());
            let leaf = prepared.leaf(Position { writer, epoch: self.epoch, sequence, previous });
            let hash = attest::merkle::leaf_hash(&leaf);
            self.previous = Digest::from_bytes(Algorithm::Sha256, hash.to_vec()).ok();
            leaf
        };
        (first..).zip(entries).map(&mut leaf).collect()
    }
}

/// Digests of blobs that are durable, the newest ones.
#[derive(Default)]
struct Remembered {
    digests: BTreeSet<Digest>,
    order: VecDeque<Digest>,
}

impl Remembered {
    fn has(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    fn add(&mut self, digest: Digest) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
        self.order.push_back(digest.clone());
        self.digests.insert(digest);
    }
}

impl<S> Drop for Committer<S> {
    /// What waits is still recorded and answered; then the log applies everything.
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        // a reply may hold the last owner of the choke point, and no thread waits for itself
        let others = self.thread.take().filter(|t| t.thread().id() != std::thread::current().id());
        if let Some(thread) = others {
            // a thread that panicked has answered nobody: who waits is told by the channel
            thread.join().ok();
        }
    }
}
