//! A log that acknowledges from its journal; a thread of its own applies what is there to the tree.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use attest::note::NoteKey;

use crate::journal::{self, Batch, Journal, SEGMENT};
use crate::log::{AppendError, Log, LogSigner, OpenLogError};
use crate::promise::Promise;
use crate::reader::ReadError;
use crate::receipt::Receipt;
use crate::storage::Storage;
use crate::target::{ApplyError, Level, Newest, Target};

/// How long the tree may stay behind while there is room: what comes in this time shares tiles and a checkpoint.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a target that is out of reach is left alone at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A log with a journal in front of it. Dropping it applies everything.
pub struct Journaled<S> {
    shared: Arc<Shared<S>>,
    applier: Option<JoinHandle<()>>,
}

struct Shared<S> {
    /// Held by who commits: indexes are given out in the order of commits.
    committing: Mutex<()>,
    front: Mutex<Front<S>>,
    changed: Condvar,
    target: Mutex<Box<dyn Target>>,
}

struct Front<S> {
    journal: Journal<S>,
    /// In the active segment, and not with the applier yet.
    waiting: Vec<Batch>,
    /// How many entries are in the tree.
    applied: u64,
    /// Somebody waits for the applier.
    hurry: bool,
    closing: bool,
    /// What made it stop.
    failure: Option<String>,
}

impl<S> fmt::Debug for Journaled<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journaled")
    }
}

impl<S> Front<S> {
    /// Keeps the first of them: what comes afterwards is only that it has stopped.
    fn failed(&mut self, e: &AppendError) {
        self.failure.get_or_insert_with(|| e.to_string());
    }
}

/// A thread that panicked left `stopped` set in what it was writing; so what it held can be looked at.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Storage + Clone + Send + Sync + 'static> Journaled<S> {
    /// Puts a journal in front of a log that was just opened.
    ///
    /// # Errors
    /// Any I/O error: the journal's room is reserved here, and its thread started.
    pub fn start(log: Log<S>) -> io::Result<Self> {
        Self::start_with(log, SEGMENT)
    }

    /// As [`Journaled::start`], with segments of another length in bytes.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn start_with(log: Log<S>, segment: usize) -> io::Result<Self> {
        let (name, signer) = (log.key().name, log.signer());
        let journal = Journal::begin_at(log.storage().clone(), &name, signer, log.size(), segment)?;
        Self::run(journal, Box::new(log))
    }

    /// Opens the spool of a writer whose entries go to a target: what was acknowledged in it and is not in the target
    /// yet is brought there first. `name` and the signer's key are what promises are believed under; two writers never
    /// share a name.
    ///
    /// # Errors
    /// [`OpenLogError`] where the spool was changed, has no room, or the target does not take what it holds.
    pub fn open(
        storage: S,
        name: &str,
        signer: Arc<LogSigner>,
        mut target: Box<dyn Target>,
    ) -> Result<Self, OpenLogError> {
        let key = NoteKey { name: name.to_owned(), key: signer.public().clone() };
        let taken = target.taken();
        let pending = journal::pending(&storage, &key, taken).map_err(OpenLogError::Journal)?;
        let applied = target.apply(taken, &pending).map_err(AppendError::from);
        applied.map_err(OpenLogError::Apply)?;
        let journal = Journal::begin_at(storage, name, signer, target.taken(), SEGMENT);
        Self::run(journal.map_err(OpenLogError::Io)?, target).map_err(OpenLogError::Io)
    }

    fn run(journal: Journal<S>, target: Box<dyn Target>) -> io::Result<Self> {
        let applied = target.taken();
        let front =
            Front { journal, waiting: Vec::new(), applied, hurry: false, closing: false, failure: None };
        let shared = Arc::new(Shared {
            committing: Mutex::new(()),
            front: Mutex::new(front),
            changed: Condvar::new(),
            target: Mutex::new(target),
        });
        let theirs = Arc::clone(&shared);
        let applier =
            std::thread::Builder::new().name("log-applier".to_owned()).spawn(move || theirs.run())?;
        Ok(Self { shared, applier: Some(applier) })
    }

    /// Makes a batch durable, and promises its entries. `make` is told the index of the first one.
    ///
    /// # Errors
    /// [`AppendError`]. Unless it is [`AppendError::TooLong`] or [`AppendError::Empty`], the log has stopped.
    pub fn commit(&self, make: impl FnOnce(u64) -> Batch) -> Result<Vec<Promise>, AppendError> {
        let _committing = lock(&self.shared.committing);
        let mut front = lock(&self.shared.front);
        let batch = make(front.journal.next());
        while !front.journal.has_room(&batch) && !front.journal.is_stopped() {
            front.hurry = true;
            self.shared.changed.notify_all();
            front = self.shared.changed.wait(front).unwrap_or_else(PoisonError::into_inner);
        }
        let result = front.journal.commit(&batch);
        if let Err(e @ (AppendError::Io(_) | AppendError::Sign | AppendError::Read(_))) = &result {
            front.failed(e);
        }
        let promises = result?;
        front.waiting.push(batch);
        front.hurry |= front.journal.is_half_full();
        self.shared.changed.notify_all();
        Ok(promises)
    }

    /// How many entries were acknowledged.
    #[must_use]
    pub fn size(&self) -> u64 {
        lock(&self.shared.front).journal.next()
    }

    /// How many entries are acknowledged, and not yet in the tree.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let front = lock(&self.shared.front);
        front.journal.next().saturating_sub(front.applied)
    }

    /// Whether a write failed: nothing is acknowledged any more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        lock(&self.shared.front).journal.is_stopped()
    }

    /// What made it stop, once it has.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let front = lock(&self.shared.front);
        front.journal.is_stopped().then(|| front.failure.clone()).flatten()
    }

    /// The store.
    #[must_use]
    pub fn storage(&self) -> S {
        lock(&self.shared.front).journal.storage().clone()
    }

    /// Waits until everything that was acknowledged so far is in the tree.
    ///
    /// # Errors
    /// [`AppendError::Stopped`]; what was acknowledged is in the journal, and applied when the log is opened anew.
    pub fn settle(&self) -> Result<(), AppendError> {
        let mut front = lock(&self.shared.front);
        let wanted = front.journal.next();
        while front.applied < wanted {
            if front.journal.is_stopped() {
                return Err(AppendError::Stopped);
            }
            front.hurry = true;
            self.shared.changed.notify_all();
            front = self.shared.changed.wait(front).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// The receipt of an entry, once it is in the tree.
    ///
    /// # Errors
    /// [`AppendError`] where the log has stopped, cannot be read, or has no such entry.
    pub fn prove(&self, index: u64) -> Result<Receipt, AppendError> {
        self.settle()?;
        let receipt = lock(&self.shared.target).prove(index)?;
        let size = self.size();
        receipt.ok_or(AppendError::Read(ReadError::PastTheEnd { index, size }))
    }

    /// How many entries have reached a level.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn reached(&self, level: Level) -> Result<u64, ApplyError> {
        match level {
            Level::Local => Ok(self.size()),
            level => lock(&self.shared.target).reached(level),
        }
    }

    /// What the target's newest entries are.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn newest(&self) -> Result<Newest, ApplyError> {
        lock(&self.shared.target).newest()
    }

    /// Applies everything and ends.
    ///
    /// # Errors
    /// [`AppendError::Stopped`] where that failed; what was acknowledged is in the journal.
    pub fn close(self) -> Result<(), AppendError> {
        self.settle()
    }
}

impl<S: Storage> Shared<S> {
    /// The applier: takes what is waiting, lets the journal go on in the other segment, and applies it.
    fn run(&self) {
        while let Some(batches) = self.take() {
            let result = self.bring(&batches);
            let mut front = lock(&self.front);
            match result {
                Ok(size) => front.applied = size,
                Err(e) => {
                    front.journal.stop();
                    front.failed(&e.into());
                }
            }
            let is_stopped = front.journal.is_stopped();
            drop(front);
            self.changed.notify_all();
            if is_stopped {
                return;
            }
        }
    }

    /// Brings batches to the target, again and again while it is out of reach.
    fn bring(&self, batches: &[Batch]) -> Result<u64, ApplyError> {
        let mut pause = PAUSE;
        loop {
            let first = lock(&self.front).applied;
            let mut target = lock(&self.target);
            match target.apply(first, batches) {
                Ok(()) => return Ok(target.taken()),
                Err(e @ ApplyError::Unreachable(_)) => {
                    drop(target);
                    let is_open = |front: &mut Front<S>| !front.closing;
                    let front = self.changed.wait_timeout_while(lock(&self.front), pause, is_open);
                    // what it could not bring is in the journal, and brought when the spool is opened anew
                    if front.unwrap_or_else(PoisonError::into_inner).0.closing {
                        return Err(e);
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// What is waiting; nothing once the log is closed, or has stopped.
    fn take(&self) -> Option<Vec<Batch>> {
        let is_idle = |front: &mut Front<S>| front.waiting.is_empty() && !front.closing;
        let front =
            self.changed.wait_while(lock(&self.front), is_idle).unwrap_or_else(PoisonError::into_inner);
        let may_wait = |front: &mut Front<S>| !front.hurry && !front.closing;
        let paused = self.changed.wait_timeout_while(front, PAUSE, may_wait);
        let (mut front, _) = paused.unwrap_or_else(PoisonError::into_inner);
        front.hurry = false;
        if front.waiting.is_empty() {
            return None;
        }
        front.journal.rotate();
        let batches = std::mem::take(&mut front.waiting);
        drop(front);
        // who waits for room has it now
        self.changed.notify_all();
        Some(batches)
    }
}

impl<S> Drop for Journaled<S> {
    fn drop(&mut self) {
        lock(&self.shared.front).closing = true;
        self.shared.changed.notify_all();
        if let Some(applier) = self.applier.take() {
            // a thread that panicked has nothing to say here: the journal has everything
            applier.join().ok();
        }
    }
}
