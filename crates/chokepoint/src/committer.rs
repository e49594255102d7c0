//! The queue before the log: everything that waits is taken together by the one thread that records.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use tlog::{Journaled, Promise, Purpose, Storage};

use crate::awaiter;
use crate::epoch::LastSeen;
use crate::error::DecideError;
use crate::limits::Limits;
use crate::prepared::Prepared;
use crate::recorder::{Author, Recorder};

/// What one batch holds at most, unless one group of requests alone is longer.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// Who is told what came of it.
pub(crate) type Reply = Box<dyn FnOnce(Result<Vec<Promise>, DecideError>) + Send>;

/// The queue before the log.
pub(crate) struct Committer<S> {
    shared: Arc<Shared<S>>,
    threads: Vec<JoinHandle<()>>,
}

/// What the asking threads and the recording one share.
pub(crate) struct Shared<S> {
    pub(crate) log: Arc<Journaled<S>>,
    pub(crate) last_seen: Arc<LastSeen>,
    /// The time of this process' newest entry.
    pub(crate) last_own: LastSeen,
    limit: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    groups: VecDeque<Group>,
    /// Groups that somebody waits for.
    awaited: usize,
    /// Requests in all groups.
    waiting: usize,
    closing: bool,
    stopped: bool,
}

/// Requests that are recorded together.
pub(crate) struct Group {
    pub(crate) prepared: Vec<Prepared>,
    /// Nobody waits for what only travels with the next entry.
    pub(crate) reply: Option<Reply>,
    /// Whether it is an admission, which is answered only at the level that is asked for.
    pub(crate) is_admission: bool,
}

impl Group {
    /// What is recorded together with the next entry, at that one's time, and never alone.
    pub(crate) fn along(prepared: Prepared) -> Self {
        Self { prepared: vec![prepared], reply: None, is_admission: false }
    }

    /// The weakest purpose in it.
    pub(crate) fn purpose(&self) -> Purpose {
        self.prepared.iter().map(|prepared| prepared.purpose).min().unwrap_or(Purpose::Ordinary)
    }

    pub(crate) fn answer(self, result: Result<Vec<Promise>, DecideError>) {
        if let Some(reply) = self.reply {
            reply(result);
        }
    }
}

impl<S> fmt::Debug for Committer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Committer({} waiting at most)", self.shared.limit)
    }
}

impl<S: Storage + Clone + Send + Sync + 'static> Committer<S> {
    /// Starts the thread, and a second one where answers wait for more than the own disk.
    pub(crate) fn start(
        log: Journaled<S>,
        author: Author,
        last_seen: Arc<LastSeen>,
        limits: &Limits,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            log: Arc::new(log),
            last_seen,
            last_own: LastSeen::new(None),
            limit: limits.waiting,
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut threads = Vec::new();
        let mut awaiting = None;
        if limits.level > tlog::Level::Local {
            let (sender, thread) =
                awaiter::start(Arc::clone(&shared.log), limits.level, limits.level_within)?;
            awaiting = Some(sender);
            threads.push(thread);
        }
        let recorder = Recorder::new(Arc::clone(&shared), author, awaiting);
        let thread = std::thread::Builder::new().name("committer".to_owned());
        threads.insert(0, thread.spawn(move || recorder.run())?);
        Ok(Self { shared, threads })
    }

    /// The log behind it.
    pub(crate) fn log(&self) -> &Journaled<S> {
        &self.shared.log
    }

    /// The time of this process' newest entry.
    pub(crate) fn last_own(&self) -> Option<Timestamp> {
        self.shared.last_own.get()
    }

    /// Whether nothing is recorded any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.shared.lock().stopped || self.shared.log.is_stopped()
    }

    /// Whether so many more may wait.
    pub(crate) fn check_room(&self, more: usize) -> Result<(), DecideError> {
        self.shared.check_room(&self.shared.lock(), more)
    }

    /// Has a group recorded; gives it back where it is not taken.
    pub(crate) fn submit(&self, group: Group) -> Result<(), (DecideError, Group)> {
        let mut queue = self.shared.lock();
        if let Err(e) = self.shared.check_room(&queue, group.prepared.len()) {
            return Err((e, group));
        }
        queue.waiting += group.prepared.len();
        queue.awaited += 1;
        queue.groups.push_back(group);
        drop(queue);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Has an event recorded together with the next entry.
    pub(crate) fn send_along(&self, event: Prepared) {
        self.shared.lock().groups.push_back(Group::along(event));
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
    pub(crate) fn take(&self) -> Option<Vec<Group>> {
        let is_idle = |queue: &mut Queue| queue.awaited == 0 && !queue.closing;
        let mut queue = self.changed.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        if queue.awaited == 0 {
            return None;
        }
        let (mut taken, mut length) = (Vec::new(), 0_usize);
        while length < BATCH_BYTES {
            let Some(group) = queue.groups.pop_front() else { break };
            if group.reply.is_some() {
                queue.awaited = queue.awaited.saturating_sub(1);
                queue.waiting = queue.waiting.saturating_sub(group.prepared.len());
                length += group.prepared.iter().map(Prepared::length).sum::<usize>();
            }
            taken.push(group);
        }
        Some(taken)
    }

    /// Gives back what travels with the next entry, to the front.
    pub(crate) fn put_back(&self, groups: Vec<Group>) {
        let mut queue = self.lock();
        groups.into_iter().rev().for_each(|group| queue.groups.push_front(group));
    }

    /// After a failed write nothing is recorded, so nobody is answered.
    pub(crate) fn refuse_all(&self) {
        let mut queue = self.lock();
        queue.stopped = true;
        let left = std::mem::take(&mut queue.groups);
        drop(queue);
        left.into_iter().for_each(|group| group.answer(Err(DecideError::Stopped)));
    }
}

impl<S> Drop for Committer<S> {
    /// What waits is still recorded and answered; then the log applies everything.
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // a reply may hold the last owner of the choke point, and no thread waits for itself
            if thread.thread().id() != std::thread::current().id() {
                // a thread that panicked has answered nobody: who waits is told by the channel
                thread.join().ok();
            }
        }
    }
}
