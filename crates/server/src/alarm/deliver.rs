//! Telling one sink everything, in a thread of its own.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use attest::{Json, Object};

use crate::alarm::{AlarmMetrics, Notice, Tell};

/// So many wait in memory; more are read from the log again.
const MAX_WAITING: usize = 1000;
/// After so many failures another notice is tried: one that a sink does not take must not hold up the others for ever.
const TRIES: u32 = 3;

/// What the log has from a sequence on, and the sequence after the last entry that was looked at.
pub(crate) type Source = dyn Fn(u64) -> Result<(Vec<Notice>, u64), String> + Send + Sync;

/// How long it pauses after a failure: twice as long each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { least: Duration::from_secs(1), most: Duration::from_secs(300) }
    }
}

/// What one sink has yet to be told. Dropping it ends its thread; what was not told is told after the next start.
pub struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    queue: Mutex<Queue>,
    changed: Condvar,
    metrics: AlarmMetrics,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Notice>,
    /// Everything below is told or waits.
    next: u64,
    /// The newest that did not find room: it is in the log, and read from there.
    missed: Option<u64>,
    failure: Option<String>,
    closing: bool,
}

/// What a sink was told, in a file: all below `through`, and these beyond it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    through: u64,
    beyond: BTreeSet<u64>,
}

/// What a thread works with.
pub(crate) struct Delivery {
    pub(crate) name: String,
    pub(crate) tell: Box<dyn Tell>,
    /// Where it keeps what it told.
    pub(crate) file: PathBuf,
    pub(crate) source: Arc<Source>,
    pub(crate) metrics: AlarmMetrics,
    pub(crate) pace: Pace,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({})", self.shared.name)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
    }
}

impl Outbox {
    /// Starts a sink's thread over a log of `size` entries. A sink that was never told anything is told what is open.
    ///
    /// # Errors
    /// Its file cannot be read, or is not what was written; or there is no thread.
    pub(crate) fn start(delivery: Delivery, size: u64, open: &[Notice]) -> io::Result<Self> {
        let told = Told::read(&delivery.file)?;
        let mut queue = Queue::default();
        match &told {
            Some(told) => {
                queue.next = told.through;
                queue.missed = size.checked_sub(1).filter(|last| *last >= told.through);
            }
            None => {
                queue.next = size;
                queue.waiting = open.iter().cloned().collect();
            }
        }
        let shared = Arc::new(Shared {
            name: delivery.name.clone(),
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            metrics: delivery.metrics.clone(),
        });
        let theirs = Arc::clone(&shared);
        let worker =
            Worker { shared: theirs, delivery, told: told.unwrap_or_default(), failures: 0, tries: 0 };
        std::thread::Builder::new().name("alarms".to_owned()).spawn(move || worker.run())?;
        Ok(Self { shared })
    }

    /// Has a notice told. Never waits for the sink.
    pub(crate) fn push(&self, notice: &Notice) {
        let mut queue = self.shared.lock();
        if queue.missed.is_some() || queue.waiting.len() >= MAX_WAITING {
            queue.missed = queue.missed.max(Some(notice.sequence));
        } else {
            queue.next = notice.sequence.saturating_add(1);
            queue.waiting.push_back(notice.clone());
        }
        self.shared.metrics.waiting(&self.shared.name, queue.waiting.len());
        self.shared.changed.notify_all();
    }

    /// What is wrong with the sink now, where something is; with its name.
    #[must_use]
    pub fn failure(&self) -> Option<(String, String)> {
        let failure = self.shared.lock().failure.clone();
        failure.map(|why| (self.shared.name.clone(), why))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or until it is closed.
    fn pause(&self, length: Duration) {
        let until = Instant::now() + length;
        let mut queue = self.lock();
        while !queue.closing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    delivery: Delivery,
    told: Told,
    /// In a row: they make the pauses longer.
    failures: u32,
    /// Of the notice in front.
    tries: u32,
}

impl Worker {
    fn run(mut self) {
        while let Some(notice) = self.next() {
            let result = self.delivery.tell.tell(&notice);
            self.delivery.metrics.told(&self.shared.name, result.is_ok());
            self.shared.lock().failure = result.clone().err();
            match result {
                Ok(()) => self.was_told(notice.sequence),
                Err(_) => self.failed(),
            }
        }
    }

    /// The notice in front; nothing once it is closed.
    fn next(&mut self) -> Option<Notice> {
        loop {
            let queue = self.shared.lock();
            if queue.closing {
                return None;
            }
            if let Some(notice) = queue.waiting.front() {
                return Some(notice.clone());
            }
            match queue.missed {
                Some(missed) => {
                    let from = queue.next;
                    drop(queue);
                    self.refill(from, missed);
                }
                None => drop(self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)),
            }
        }
    }

    /// Reads from the log what did not find room.
    fn refill(&mut self, from: u64, missed: u64) {
        let (notices, next) = match (self.delivery.source)(from) {
            Ok(read) => read,
            Err(why) => {
                self.shared.lock().failure = Some(why);
                return self.failed();
            }
        };
        let mut queue = self.shared.lock();
        let is_new = |notice: &Notice| !self.told.beyond.contains(&notice.sequence);
        queue.waiting.extend(notices.into_iter().filter(is_new));
        queue.next = queue.next.max(next);
        if next > missed && queue.missed == Some(missed) {
            queue.missed = None;
        }
        self.shared.metrics.waiting(&self.shared.name, queue.waiting.len());
        drop(queue);
        if next <= from {
            // the newest entries are on their way into the tree
            self.shared.pause(self.delivery.pace.least);
        }
    }

    fn was_told(&mut self, sequence: u64) {
        (self.failures, self.tries) = (0, 0);
        let mut queue = self.shared.lock();
        queue.waiting.pop_front();
        self.told.beyond.insert(sequence);
        let lowest = queue.waiting.iter().map(|notice| notice.sequence).min();
        self.told.through = lowest.unwrap_or(queue.next);
        self.shared.metrics.waiting(&self.shared.name, queue.waiting.len());
        drop(queue);
        self.told.beyond = self.told.beyond.split_off(&self.told.through);
        // where it cannot be kept, it is told once more after a restart
        if let Err(e) = self.told.write(&self.delivery.file) {
            self.shared.lock().failure = Some(format!("{}: {e}", self.delivery.file.display()));
        }
    }

    fn failed(&mut self) {
        let pace = self.delivery.pace;
        let length = pace.least.saturating_mul(2_u32.saturating_pow(self.failures)).min(pace.most);
        self.failures = self.failures.saturating_add(1);
        self.tries += 1;
        self.shared.pause(length);
        if self.tries >= TRIES {
            self.tries = 0;
            let mut queue = self.shared.lock();
            if !queue.waiting.is_empty() {
                queue.waiting.rotate_left(1);
            }
        }
    }
}

impl Told {
    fn read(file: &Path) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let read = || {
            let json = attest::json::parse(&bytes).ok()?;
            let object = json.as_object().ok()?;
            let number = |json: &Json| u64::try_from(json.as_int().ok()?).ok();
            let beyond = object.array("beyond").ok()?.iter().map(number).collect::<Option<_>>()?;
            Some(Self { through: number(object.get("through")?)?, beyond })
        };
        let broken = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not what was written; remove it, and what is open is told again",
            )
        };
        read().map(Some).ok_or_else(broken)
    }

    fn write(&self, file: &Path) -> io::Result<()> {
        let number = |n: &u64| Json::Int(i64::try_from(*n).unwrap_or(i64::MAX));
        let beyond = self.beyond.iter().map(number).collect();
        let object = Object::new().with("through", number(&self.through)).with("beyond", Json::Array(beyond));
        tlog::write_durably(file, object.to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests;
