//! The thread that brings what is durable in the spool to its target, and what it shares with those who commit.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::journal::{Batch, Journal};
use crate::log::AppendError;
use crate::recover::Located;
use crate::storage::Storage;
use crate::target::{ApplyError, Target};

/// How long the tree may stay behind while there is room: what comes in this time shares tiles and a checkpoint.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a target that is out of reach is left alone at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So many bytes of what waits stay in memory; the rest is read again when its turn comes.
const IN_MEMORY: usize = 32 * 1024 * 1024;
/// So many bytes are brought at once, at least one batch.
const AT_ONCE: usize = 16 * 1024 * 1024;

pub(crate) struct Shared<S> {
    /// Held by who commits: indexes are given out in the order of commits.
    pub(crate) committing: Mutex<()>,
    pub(crate) front: Mutex<Front<S>>,
    pub(crate) changed: Condvar,
    pub(crate) target: Mutex<Box<dyn Target>>,
}

pub(crate) struct Front<S> {
    pub(crate) journal: Journal<S>,
    /// In the spool, and not with the applier yet.
    pub(crate) waiting: VecDeque<Waiting>,
    /// Bytes of those that are in memory.
    in_memory: usize,
    /// How many entries are in the target.
    pub(crate) applied: u64,
    /// Somebody waits for the applier.
    pub(crate) hurry: bool,
    pub(crate) closing: bool,
    /// Why the target is out of reach, while it is.
    pub(crate) cut_off: Option<String>,
    /// What made it stop.
    pub(crate) failure: Option<String>,
}

/// A batch that is durable.
pub(crate) struct Waiting {
    located: Located,
    batch: Option<Batch>,
}

impl<S> Front<S> {
    pub(crate) fn new(journal: Journal<S>, applied: u64, held: Vec<Located>) -> Self {
        let waiting = held.into_iter().map(|located| Waiting { located, batch: None }).collect();
        Self {
            journal,
            waiting,
            in_memory: 0,
            applied,
            hurry: false,
            closing: false,
            cut_off: None,
            failure: None,
        }
    }

    /// Has a batch brought to the target, after those that wait.
    pub(crate) fn add(&mut self, located: Located, batch: Batch) {
        let is_kept = self.in_memory + located.length <= IN_MEMORY;
        self.in_memory += if is_kept { located.length } else { 0 };
        self.waiting.push_back(Waiting { located, batch: is_kept.then_some(batch) });
    }

    /// Keeps the first of them: what comes afterwards is only that it has stopped.
    pub(crate) fn failed(&mut self, e: &AppendError) {
        self.failure.get_or_insert_with(|| e.to_string());
    }

    fn take_some(&mut self) -> Vec<Waiting> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < AT_ONCE {
            let Some(waiting) = self.waiting.pop_front() else { break };
            bytes += waiting.located.length;
            if waiting.batch.is_some() {
                self.in_memory = self.in_memory.saturating_sub(waiting.located.length);
            }
            taken.push(waiting);
        }
        taken
    }
}

/// A thread that panicked left `stopped` set in what it was writing; so what it held can be looked at.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Storage + Clone> Shared<S> {
    /// Takes what is waiting, and brings it to the target; segments that hold nothing else are free then.
    pub(crate) fn run(&self) {
        while let Some(taken) = self.take() {
            let result = self.load(taken).and_then(|(first, batches)| self.bring(first, &batches));
            let mut front = lock(&self.front);
            match result {
                Ok(Some(size)) => {
                    front.applied = size;
                    front.journal.applied(size);
                }
                // it closes, and the target is out of reach: the spool has it, and brings it when it is opened anew
                Ok(None) => return,
                Err(e) => {
                    front.journal.stop();
                    front.failed(&e);
                }
            }
            let is_stopped = front.journal.is_stopped();
            drop(front);
            // who waits for room has it now
            self.changed.notify_all();
            if is_stopped {
                return;
            }
        }
    }

    /// What is waiting; nothing once the log is closed.
    fn take(&self) -> Option<Vec<Waiting>> {
        let is_idle = |front: &mut Front<S>| front.waiting.is_empty() && !front.closing;
        let front =
            self.changed.wait_while(lock(&self.front), is_idle).unwrap_or_else(PoisonError::into_inner);
        let may_wait = |front: &mut Front<S>| !front.hurry && !front.closing;
        let paused = self.changed.wait_timeout_while(front, PAUSE, may_wait);
        let (mut front, _) = paused.unwrap_or_else(PoisonError::into_inner);
        let taken = front.take_some();
        // what is left is not kept waiting
        front.hurry = !front.waiting.is_empty();
        (!taken.is_empty()).then_some(taken)
    }

    /// The batches, those that did not stay in memory read again.
    fn load(&self, taken: Vec<Waiting>) -> Result<(u64, Vec<Batch>), AppendError> {
        let (storage, key) = {
            let front = lock(&self.front);
            (front.journal.storage().clone(), front.journal.key().clone())
        };
        let first = taken.first().map_or(0, |waiting| waiting.located.first);
        let load = |waiting: Waiting| match waiting.batch {
            Some(batch) => Ok(batch),
            None => waiting.located.read(&storage, &key).map_err(AppendError::Journal),
        };
        Ok((first, taken.into_iter().map(load).collect::<Result<_, _>>()?))
    }

    /// Brings batches to the target, again and again while it is out of reach. Gives how many entries it has then;
    /// nothing where it closes meanwhile.
    fn bring(&self, first: u64, batches: &[Batch]) -> Result<Option<u64>, AppendError> {
        let mut pause = PAUSE;
        loop {
            let applied = {
                let mut target = lock(&self.target);
                target.apply(first, batches).map(|()| target.taken())
            };
            let mut front = lock(&self.front);
            match applied {
                Ok(size) => {
                    front.cut_off = None;
                    return Ok(Some(size));
                }
                Err(ApplyError::Stop(e)) => return Err(e),
                Err(ApplyError::Unreachable(why)) => front.cut_off = Some(why),
            }
            // who waits for room need not wait any longer
            self.changed.notify_all();
            let is_open = |front: &mut Front<S>| !front.closing;
            let waited = self.changed.wait_timeout_while(front, pause, is_open);
            if waited.unwrap_or_else(PoisonError::into_inner).0.closing {
                return Ok(None);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
