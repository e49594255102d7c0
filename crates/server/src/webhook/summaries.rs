//! Verification summaries of what was admitted: signed and put into the evidence store after the decision is on record, on
//! a thread of their own. No decision waits for one, and none is another where one fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use attest::time::Span;
use attest::{Digest, Object, Role};
use chokepoint::alarm::{Alarm, AlarmKind};
use chokepoint::{Passed, Verifier};
use evidence::Store;
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tlog::LogSigner;

use crate::Clock;
use crate::alarm::Desk;
use crate::webhook::after::Tell;
use crate::webhook::config::{Config, Summaries as Settings};
use crate::webhook::engine::{Engine, Ruled};

pub(crate) mod key;

pub use key::in_trust_root;

/// So many wait; more are lost, counted, and made later by hand.
const WAITING: usize = 4096;
/// So often one is tried, and so long between: a store that is down for a moment loses nothing.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);
const SLICE: Duration = Duration::from_millis(50);
/// A summary of the same files that has used up less than this part of its time stands for another one.
const PART: i64 = 4;
/// So many are known to be fresh.
const KNOWN: usize = 100_000;

/// How many summaries came to what.
#[derive(Clone, Debug, Default)]
pub struct SummaryMetrics(Family<[(&'static str, String); 1], Counter>);

impl SummaryMetrics {
    /// What can come of one: it is in the store; a fresh one is there already; it failed; there was no room to wait.
    pub const RESULTS: [&str; 4] = ["issued", "fresh", "failed", "lost"];

    /// Puts them among others; each series is there from the start.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "summaries",
            "Verification summaries of admissions, by what came of them",
            self.0.clone(),
        );
        Self::RESULTS.iter().for_each(|result| drop(self.of(result)));
    }

    fn of(&self, result: &str) -> Counter {
        self.0.get_or_create(&[("result", result.to_owned())]).clone()
    }

    fn count(&self, result: &'static str) {
        self.of(result).inc();
    }
}

/// The thread, and the queue before it.
pub(crate) struct Summaries {
    queue: Mutex<Option<SyncSender<Passed>>>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    metrics: SummaryMetrics,
}

impl std::fmt::Debug for Summaries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Summaries")
    }
}

/// What the thread works with.
pub(crate) struct With {
    pub(crate) engine: Arc<Engine>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) tell: Tell,
    pub(crate) metrics: SummaryMetrics,
}

impl Summaries {
    /// Opens the key and starts the thread.
    ///
    /// # Errors
    /// Why the key cannot be used, or whose else it is.
    pub(crate) fn start(settings: &Settings, config: &Config, with: With) -> Result<Self, String> {
        let signer = key::open(&settings.key)?;
        let (_, root) = with.engine.in_force();
        if let Some(whose) = key::shared(signer.public(), config, &root, Role::Verifier) {
            return Err(format!("the key of `summaries` is {whose}: give summaries a key of their own"));
        }
        let (queue, waiting) = sync_channel(WAITING);
        let (stop, metrics) = (Arc::new(AtomicBool::new(false)), with.metrics.clone());
        let worker = Worker {
            with,
            signer,
            verifier: settings.verifier.clone(),
            fresh: Fresh::default(),
            stop: Arc::clone(&stop),
            failing: None,
        };
        let thread = std::thread::Builder::new().name("summaries".to_owned());
        let thread = thread.spawn(move || worker.run(&waiting));
        let thread = thread.map_err(|e| format!("no thread for summaries: {e}"))?;
        Ok(Self { queue: Mutex::new(Some(queue)), stop, thread: Mutex::new(Some(thread)), metrics })
    }

    /// Takes what can be summarised of decisions that are on record, and never waits.
    pub(crate) fn offer(&self, ruled: &[Ruled]) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        for passed in ruled.iter().filter_map(|one| one.passed.as_ref()) {
            match queue.as_ref().map(|queue| queue.try_send(passed.clone())) {
                Some(Ok(())) => {}
                None | Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) => {
                    self.metrics.count("lost");
                }
            }
        }
    }

    /// Ends it, after one try for everything that waits.
    pub(crate) fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            thread.join().ok();
        }
    }
}

impl Drop for Summaries {
    fn drop(&mut self) {
        self.end();
    }
}

struct Worker {
    with: With,
    signer: Box<LogSigner>,
    verifier: Verifier,
    fresh: Fresh,
    stop: Arc<AtomicBool>,
    /// Why the last one failed, so that it is told once.
    failing: Option<String>,
}

impl Worker {
    fn run(mut self, waiting: &Receiver<Passed>) {
        // learnt from the log: what a process before this one could not do may work now, or not
        let began = (self.with.clock)();
        self.with.desk.gone(AlarmKind::SummaryFailed, Alarm::SUMMARIES, began).ok();
        while let Ok(passed) = waiting.recv() {
            self.go(&passed);
        }
    }

    fn go(&mut self, passed: &Passed) {
        if self.fresh.has(passed, self.verifier.expires) {
            return self.with.metrics.count("fresh");
        }
        for number in 1..=TRIES {
            match self.issue(passed) {
                Ok(()) => {
                    self.fresh.add(passed);
                    self.with.metrics.count("issued");
                    return self.works();
                }
                Err(why) => self.fails(why),
            }
            if number == TRIES || !self.pause() {
                break;
            }
        }
        self.with.metrics.count("failed");
    }

    /// Signs, and puts it into the store. The trust root in force may be another one than at the start.
    fn issue(&self, passed: &Passed) -> Result<(), String> {
        let (_, root) = self.with.engine.in_force();
        if let Some(whose) = key::in_trust_root(self.signer.public(), &root, Role::Verifier) {
            return Err(format!("the key of `summaries` is {whose}: nothing is signed with it"));
        }
        let bundle = passed.sign(&self.verifier, self.signer.as_ref()).map_err(|e| e.to_string())?;
        let kept = self.with.store.keep_summary(passed.digest(), passed.environment(), &bundle);
        kept.map_err(|e| e.to_string())
    }

    /// Waits, unless everything ends; says whether to try again.
    fn pause(&self) -> bool {
        let mut left = PAUSE;
        while !left.is_zero() && !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(SLICE);
            left = left.saturating_sub(SLICE);
        }
        !self.stop.load(Ordering::SeqCst)
    }

    fn fails(&mut self, why: String) {
        if self.failing.as_ref() == Some(&why) {
            return;
        }
        (self.with.tell)("summary-failed", Object::new().with("found", why.as_str()));
        let now = (self.with.clock)();
        // an alarm that is not on record is told by the event, and counted
        self.with.desk.raise(Alarm::summary_failed(&why, now), now).ok();
        self.failing = Some(why);
    }

    fn works(&mut self) {
        if self.failing.take().is_some() {
            let now = (self.with.clock)();
            self.with.desk.gone(AlarmKind::SummaryFailed, Alarm::SUMMARIES, now).ok();
        }
    }
}

/// What was summarised lately: Pods of one workload come by the hundred.
#[derive(Default)]
struct Fresh(BTreeMap<(Digest, String), (Timestamp, [Digest; 2])>);

impl Fresh {
    fn has(&self, passed: &Passed, expires: Span) -> bool {
        let known = self.0.get(&(passed.digest().clone(), passed.environment().to_owned()));
        let is_young = |at: Timestamp| {
            let age = Span::between(at, passed.at()).as_seconds();
            age.saturating_mul(PART) < expires.as_seconds()
        };
        known.is_some_and(|(at, files)| is_young(*at) && files.iter().eq(passed.files()))
    }

    fn add(&mut self, passed: &Passed) {
        if self.0.len() >= KNOWN {
            self.0.clear();
        }
        let files = passed.files().map(Clone::clone);
        self.0.insert((passed.digest().clone(), passed.environment().to_owned()), (passed.at(), files));
    }
}
