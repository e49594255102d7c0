//! The thread that brings what is durable in the spool to its target, and what it shares with those who commit.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::journal::{Batch, Journal};
use crate::log::AppendError;
use crate::recover::Located;
use crate::storage::Storage;
use crate::target::{ApplyError, Level, Target};

/// How long the tree may stay behind while there is room: what comes in this time shares tiles and a checkpoint.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a target that is out of reach is left alone at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a target that has entries and not yet in its tree is asked how far that is.
const LOOK: Duration = Duration::from_secs(1);
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
    /// With the applier or in the target, and not yet in its tree: until then a target may lose it, as in a failover.
    kept: VecDeque<Located>,
    /// When it was last looked how far the tree is.
    looked: Instant,
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

/// How far the target is.
struct Standing {
    taken: u64,
    /// How many entries are in its tree, where that was asked and could be said.
    sequenced: Option<u64>,
}

/// A batch that is durable.
pub(crate) struct Waiting {
    located: Located,
    batch: Option<Batch>,
}

impl<S: Storage> Front<S> {
    pub(crate) fn new(journal: Journal<S>, applied: u64, held: Vec<Located>) -> Self {
        let mut front = Self {
            journal,
            waiting: VecDeque::new(),
            kept: held.into(),
            looked: Instant::now(),
            in_memory: 0,
            applied,
            hurry: false,
            closing: false,
            cut_off: None,
            failure: None,
        };
        front.begin_again_at(applied);
        front
    }

    /// Has everything brought that the target, which has so many entries, does not have: nothing, unless it lost some.
    fn begin_again_at(&mut self, taken: u64) {
        while let Some(located) = self.kept.pop_back_if(|located| located.end() > taken) {
            self.waiting.push_front(Waiting { located, batch: None });
        }
    }

    /// Notes how far the target is. What is in its tree is not lost any more, and its place is free.
    fn note(&mut self, standing: &Standing) {
        self.applied = standing.taken;
        if let Some(sequenced) = standing.sequenced {
            while self.kept.pop_front_if(|located| located.end() <= sequenced).is_some() {}
            self.journal.applied(sequenced);
            self.looked = Instant::now();
        }
        self.begin_again_at(standing.taken);
    }

    /// Whether the spool has the entry that the target takes next.
    fn can_begin_again_at(&self, taken: u64) -> bool {
        self.kept.front().is_some_and(|located| located.first <= taken)
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
            self.kept.push_back(waiting.located.clone());
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
    /// Takes what is waiting, and brings it to the target; segments of which all is in the target's tree are free then.
    pub(crate) fn run(&self) {
        while let Some(taken) = self.take() {
            let standing = if taken.is_empty() {
                self.look().map(Some)
            } else {
                self.load(taken).and_then(|(first, batches)| self.bring(first, &batches))
            };
            let mut front = lock(&self.front);
            match standing {
                Ok(Some(standing)) => front.note(&standing),
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

    /// What is waiting; nothing in it where it is only time to look how far the target's tree is. Nothing once the log is
    /// closed.
    fn take(&self) -> Option<Vec<Waiting>> {
        let is_idle = |front: &mut Front<S>| {
            let is_asked = front.hurry && !front.kept.is_empty();
            front.waiting.is_empty() && !front.closing && !is_asked
        };
        let mut front = lock(&self.front);
        front = if front.kept.is_empty() {
            self.changed.wait_while(front, is_idle).unwrap_or_else(PoisonError::into_inner)
        } else {
            let waited = self.changed.wait_timeout_while(front, LOOK, is_idle);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        if !front.waiting.is_empty() {
            let may_wait = |front: &mut Front<S>| !front.hurry && !front.closing;
            let paused = self.changed.wait_timeout_while(front, PAUSE, may_wait);
            front = paused.unwrap_or_else(PoisonError::into_inner).0;
        }
        let taken = front.take_some();
        // what is left is not kept waiting
        front.hurry = !front.waiting.is_empty();
        (!taken.is_empty() || !front.closing).then_some(taken)
    }

    /// How far the target is. Where it does not say how far its tree is, it is asked again.
    fn look(&self) -> Result<Standing, AppendError> {
        let mut target = lock(&self.target);
        let sequenced = sequenced(target.as_mut())?;
        let standing = Standing { sequenced, taken: target.taken() };
        drop(target);
        if standing.sequenced.is_none() {
            lock(&self.front).looked = Instant::now();
        }
        Ok(standing)
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

    /// Brings batches to the target, again and again while it is out of reach. Gives how far it is then; nothing where it
    /// closes meanwhile.
    fn bring(&self, first: u64, batches: &[Batch]) -> Result<Option<Standing>, AppendError> {
        let mut pause = PAUSE;
        loop {
            let applied = self.apply(first, batches);
            let mut front = lock(&self.front);
            match applied {
                Ok(standing) => {
                    front.cut_off = None;
                    return Ok(Some(standing));
                }
                Err((ApplyError::Stop(e), _)) => return Err(e),
                Err((ApplyError::Unreachable(why), taken)) => {
                    front.cut_off = Some(why);
                    // it lost what it had taken: that comes first, where the spool has it
                    if taken < first && front.can_begin_again_at(taken) {
                        return Ok(Some(Standing { taken, sequenced: None }));
                    }
                }
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

    /// Brings them once; in any case it says how many entries the target has then.
    fn apply(&self, first: u64, batches: &[Batch]) -> Result<Standing, (ApplyError, u64)> {
        // one that is behind with its tree is not asked about that after every batch
        let is_time = {
            let front = lock(&self.front);
            let is_behind = front.kept.front().is_some_and(|located| located.first < first);
            !is_behind || front.hurry || front.looked.elapsed() > LOOK
        };
        let mut target = lock(&self.target);
        target.apply(first, batches).map_err(|e| (e, target.taken()))?;
        let asked = if is_time { sequenced(target.as_mut()) } else { Ok(None) };
        let sequenced = asked.map_err(|e| (ApplyError::Stop(e), target.taken()))?;
        Ok(Standing { sequenced, taken: target.taken() })
    }
}

/// How many entries are in the target's tree; nothing where it is out of reach.
fn sequenced(target: &mut dyn Target) -> Result<Option<u64>, AppendError> {
    match target.reached(Level::Sequenced) {
        Ok(sequenced) => Ok(Some(sequenced)),
        Err(ApplyError::Unreachable(_)) => Ok(None),
        Err(ApplyError::Stop(e)) => Err(e),
    }
}
