//! A log that acknowledges from its spool; a thread of its own brings what is there to the target.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use attest::note::NoteKey;

use crate::applier::{Front, Shared, lock};
use crate::journal::{Batch, Journal, OVERHEAD};
use crate::log::{AppendError, Log, LogSigner, OpenLogError};
use crate::promise::Promise;
use crate::reader::ReadError;
use crate::receipt::Receipt;
use crate::recover::{self, Located};
use crate::room::{Fill, Purpose, Room};
use crate::storage::Storage;
use crate::target::{ApplyError, Level, Newest, Target};

/// How long who commits waits for room while the target takes entries: longer than it needs for what is on its way.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether a level was reached.
const LOOK: Duration = Duration::from_millis(20);
/// How many of the newest leaves are known after the spool was opened.
const NEWEST: usize = 512;

/// A log with a spool in front of it. Dropping it brings everything to the target that is within reach.
pub struct Journaled<S> {
    shared: Arc<Shared<S>>,
    applier: Option<JoinHandle<()>>,
    /// The newest leaves that the spool held when it was opened.
    held: Vec<Vec<u8>>,
}

impl<S> fmt::Debug for Journaled<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journaled")
    }
}

impl<S: Storage + Clone + Send + Sync + 'static> Journaled<S> {
    /// Puts a spool in front of a log that was just opened.
    ///
    /// # Errors
    /// Any I/O error: the spool's room is had here, and its thread started.
    pub fn start(log: Log<S>) -> io::Result<Self> {
        Self::start_with(log, Room::default())
    }

    /// As [`Journaled::start`], with another room.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn start_with(log: Log<S>, room: Room) -> io::Result<Self> {
        let journal = Journal::begin(&log, room)?;
        Self::run(journal, Box::new(log), Vec::new(), Vec::new())
    }

    /// Opens the spool of a writer whose entries go to a target. What was acknowledged in it and is not in the target
    /// yet is brought there first, by and by where that is out of reach. `name` and the signer's key are what promises
    /// are believed under; two writers never share a name.
    ///
    /// # Errors
    /// [`OpenLogError`] where the spool was changed or has no room, or lacks what was acknowledged.
    pub fn open(
        storage: S,
        name: &str,
        signer: Arc<LogSigner>,
        room: Room,
        mut target: Box<dyn Target>,
    ) -> Result<Self, OpenLogError> {
        let key = NoteKey { name: name.to_owned(), key: signer.public().clone() };
        let sequenced = match target.reached(Level::Sequenced) {
            Ok(sequenced) => sequenced,
            // it has just been opened: what is not known now is not kept for it, and what it lacks is
            Err(ApplyError::Unreachable(_)) => 0,
            Err(ApplyError::Stop(e)) => return Err(OpenLogError::Apply(e)),
        };
        let taken = target.taken();
        let held = recover::locate(&storage, &key, sequenced, taken).map_err(OpenLogError::Journal)?;
        let newest = newest_of(&storage, &key, &held)?;
        let journal = Journal::resume(storage, key, signer, room, taken, &held).map_err(OpenLogError::Io)?;
        Self::run(journal, target, held, newest).map_err(OpenLogError::Io)
    }

    fn run(
        journal: Journal<S>,
        target: Box<dyn Target>,
        waiting: Vec<Located>,
        held: Vec<Vec<u8>>,
    ) -> io::Result<Self> {
        let front = Front::new(journal, target.taken(), waiting);
        let shared = Arc::new(Shared {
            committing: Mutex::new(()),
            front: Mutex::new(front),
            changed: Condvar::new(),
            target: Mutex::new(target),
        });
        let theirs = Arc::clone(&shared);
        let applier =
            std::thread::Builder::new().name("log-applier".to_owned()).spawn(move || theirs.run())?;
        Ok(Self { shared, applier: Some(applier), held })
    }

    /// Makes a batch durable, and promises its entries. `make` is told the index of the first one.
    ///
    /// # Errors
    /// [`AppendError`]. Unless it is [`AppendError::TooLong`], [`AppendError::Empty`] or [`AppendError::Full`], the log
    /// has stopped.
    pub fn commit(&self, make: impl FnOnce(u64) -> Batch) -> Result<Vec<Promise>, AppendError> {
        self.commit_for(Purpose::Ordinary, make)
    }

    /// As [`Journaled::commit`], for another purpose.
    ///
    /// # Errors
    /// [`AppendError`], as for [`Journaled::commit`].
    pub fn commit_for(
        &self,
        purpose: Purpose,
        make: impl FnOnce(u64) -> Batch,
    ) -> Result<Vec<Promise>, AppendError> {
        let _committing = lock(&self.shared.committing);
        let next = lock(&self.shared.front).journal.next();
        let batch = make(next);
        self.wait_for_room(|journal| journal.has_room(&batch, purpose))?;
        let mut front = lock(&self.shared.front);
        let result = front.journal.commit_for(purpose, &batch);
        if let Err(e @ (AppendError::Io(_) | AppendError::Sign | AppendError::Read(_))) = &result {
            front.failed(e);
        }
        let (promises, located) = result?;
        front.add(located, batch);
        front.hurry |= front.journal.is_half_full();
        self.shared.changed.notify_all();
        Ok(promises)
    }

    /// Waits until there is room for a batch of so many bytes in leaves and blobs, each with four more. While nobody else
    /// commits it is not taken away again.
    ///
    /// # Errors
    /// [`AppendError::Full`] where there is none, and the target is out of reach or too slow.
    pub fn await_room(&self, bytes: usize, purpose: Purpose) -> Result<(), AppendError> {
        self.wait_for_room(|journal| journal.has_room_for(bytes.saturating_add(OVERHEAD), purpose))
    }

    fn wait_for_room(&self, has_room: impl Fn(&Journal<S>) -> bool) -> Result<(), AppendError> {
        let mut front = lock(&self.shared.front);
        if has_room(&front.journal) || front.journal.is_stopped() {
            return Ok(());
        }
        let may_wait = |front: &mut Front<S>| {
            let is_hopeless = front.cut_off.is_some() || front.journal.fill().is_full();
            !has_room(&front.journal) && !front.journal.is_stopped() && !is_hopeless
        };
        front.hurry = true;
        self.shared.changed.notify_all();
        let waited = self.shared.changed.wait_timeout_while(front, PATIENCE, may_wait);
        let (mut front, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if has_room(&front.journal) || front.journal.is_stopped() {
            return Ok(());
        }
        front.journal.found_full();
        Err(AppendError::Full)
    }

    /// How many entries were acknowledged.
    #[must_use]
    pub fn size(&self) -> u64 {
        lock(&self.shared.front).journal.next()
    }

    /// How many entries are acknowledged, and not yet in the target.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let front = lock(&self.shared.front);
        front.journal.next().saturating_sub(front.applied)
    }

    /// How full the spool is.
    #[must_use]
    pub fn fill(&self) -> Fill {
        let front = lock(&self.shared.front);
        Fill { is_cut_off: front.cut_off.is_some(), ..front.journal.fill() }
    }

    /// Why the target is out of reach, while it is.
    #[must_use]
    pub fn cut_off(&self) -> Option<String> {
        lock(&self.shared.front).cut_off.clone()
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

    /// The spool's store.
    #[must_use]
    pub fn storage(&self) -> S {
        lock(&self.shared.front).journal.storage().clone()
    }

    /// Waits until everything that was acknowledged so far is in the target.
    ///
    /// # Errors
    /// [`AppendError::Stopped`], and [`AppendError::Unreachable`] where the target is; what was acknowledged is in the
    /// spool, and is brought there when it is back, or the log is opened anew.
    pub fn settle(&self) -> Result<(), AppendError> {
        let mut front = lock(&self.shared.front);
        let wanted = front.journal.next();
        while front.applied < wanted {
            if front.journal.is_stopped() {
                return Err(AppendError::Stopped);
            }
            if let Some(why) = &front.cut_off {
                return Err(AppendError::Unreachable(why.clone()));
            }
            front.hurry = true;
            self.shared.changed.notify_all();
            front = self.shared.changed.wait(front).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Waits until so many entries have reached a level, but not longer than `within`; says whether they have.
    ///
    /// # Errors
    /// [`AppendError`] where the log has stopped.
    pub fn wait_until(&self, level: Level, entries: u64, within: Duration) -> Result<bool, AppendError> {
        let begun = Instant::now();
        while !self.has_reached(level, entries)? {
            let left = within.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            let mut front = lock(&self.shared.front);
            if front.journal.is_stopped() {
                return Err(AppendError::Stopped);
            }
            if front.applied < entries {
                front.hurry = true;
                self.shared.changed.notify_all();
            }
            drop(self.shared.changed.wait_timeout(front, left.min(LOOK)));
        }
        Ok(true)
    }

    fn has_reached(&self, level: Level, entries: u64) -> Result<bool, AppendError> {
        if level == Level::Local {
            return Ok(self.size() >= entries);
        }
        // nothing that is not in the target can have reached more; and the target is not asked while it is busy
        if lock(&self.shared.front).applied < entries {
            return Ok(false);
        }
        let mut target = match self.shared.target.try_lock() {
            Ok(target) => target,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(false),
        };
        match target.reached(level).map_err(AppendError::from) {
            Ok(reached) => Ok(reached >= entries),
            Err(AppendError::Unreachable(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// How many entries have reached a level.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn reached(&self, level: Level) -> Result<u64, AppendError> {
        match level {
            Level::Local => Ok(self.size()),
            level => Ok(lock(&self.shared.target).reached(level)?),
        }
    }

    /// What was written last: in the target, and in the spool when it was opened.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn newest(&self) -> Result<Newest, AppendError> {
        let mut newest = lock(&self.shared.target).newest()?;
        newest.own = self.held.last().cloned().or(newest.own);
        newest.all.extend(self.held.iter().cloned());
        Ok(newest)
    }

    /// The receipt of an entry, once it is in the tree.
    ///
    /// # Errors
    /// [`AppendError`] where the log has stopped, cannot be read, or has no such entry yet.
    pub fn prove(&self, index: u64) -> Result<Receipt, AppendError> {
        self.settle()?;
        let receipt = lock(&self.shared.target).prove(index)?;
        let size = self.size();
        receipt.ok_or(AppendError::Read(ReadError::PastTheEnd { index, size }))
    }

    /// Brings everything to the target and ends.
    ///
    /// # Errors
    /// [`AppendError`] where that failed; what was acknowledged is in the spool.
    pub fn close(self) -> Result<(), AppendError> {
        self.settle()
    }
}

/// The newest leaves of what a spool holds.
fn newest_of<S: Storage>(storage: &S, key: &NoteKey, held: &[Located]) -> Result<Vec<Vec<u8>>, OpenLogError> {
    let mut newest = Vec::new();
    for located in held.iter().rev() {
        let mut leaves = located.read(storage, key).map_err(OpenLogError::Journal)?.leaves;
        leaves.append(&mut newest);
        newest = leaves;
        if newest.len() >= NEWEST {
            break;
        }
    }
    Ok(newest)
}

impl<S> Drop for Journaled<S> {
    fn drop(&mut self) {
        lock(&self.shared.front).closing = true;
        self.shared.changed.notify_all();
        if let Some(applier) = self.applier.take() {
            // a thread that panicked has nothing to say here: the spool has everything
            applier.join().ok();
        }
    }
}
