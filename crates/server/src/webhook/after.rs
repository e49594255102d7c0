//! What happens after the answers, on a thread of its own: this writer's heartbeat, alarms by the clock, the inventory
//! that follows the log, the witnesses, the watch, and the judging anew of everything that runs. No decision waits for it.

mod advised;
mod again;
mod chained;
mod concerned;
mod cosigned;
mod found;
mod watching;

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use attest::Object;
use attest::time::Span;
use chokepoint::alarm::{Alarm, AlarmKind, Severity};
use inventory::Inventory;
use jiff::Timestamp;
use replicas::Duty;
use tlog::witnessing::{Asking, Witnesses};
use tlog::{Fill, Mark};
use tokio::runtime::Runtime;

use crate::Clock;
use crate::alarm::Desk;
use crate::webhook::config::{After as Settings, Config, Witnesses as WitnessSettings};
use crate::webhook::engine::Engine;
use crate::witness::{Https, Publisher, Settings as Asked, start as ask};
use again::Again;
pub(crate) use again::Verified;
use chained::Chained;
use cosigned::Cosigned;
use watching::{Watching, With};

/// How often it looks at everything.
const RHYTHM: Duration = Duration::from_secs(2);
/// A writer that says nothing for longer says that it lives.
const HEARTBEAT: Span = Span::seconds(10);
const QUIET: Duration = Duration::from_secs(10);
/// How often alarms are looked at by the clock.
const BY_THE_CLOCK: Duration = Duration::from_secs(30);

/// Where events go: a name, and details.
pub type Tell = Arc<dyn Fn(&str, Object) + Send + Sync>;

/// How everything after the answer is, for metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// What the newest re-verification came to, and when that was.
    pub(crate) verified: Option<Verified>,
    /// Entries of the log that the inventory has.
    pub(crate) followed: u64,
    /// Percent of the spool that is used.
    pub(crate) spool: u64,
    /// Whether the log's store is out of reach.
    pub(crate) is_cut_off: bool,
    /// The size under the newest checkpoint that enough witnesses cosigned.
    pub(crate) witnessed: Option<u64>,
    /// When what runs was last joined whole with what was decided.
    pub(crate) joined: Option<Timestamp>,
    /// What does not work, by its part.
    pub(crate) failures: Vec<(&'static str, String)>,
}

/// The thread; dropped, it ends after what it is doing.
pub(crate) struct After {
    status: Arc<Mutex<Status>>,
    running: Mutex<Option<(SyncSender<()>, JoinHandle<()>)>>,
}

impl std::fmt::Debug for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("After")
    }
}

/// What the thread works with.
struct Round {
    engine: Arc<Engine>,
    desk: Arc<Desk>,
    clock: Clock,
    tell: Tell,
    runtime: Runtime,
    inventory: Option<Arc<Inventory>>,
    again: Option<Again>,
    chained: Chained,
    /// The name under which this process writes.
    writer: String,
    watching: Option<Watching>,
    publisher: Option<Publisher>,
    cosigned: Cosigned,
    /// Since when the log cannot be followed.
    unread: Option<Instant>,
    looked: Option<Instant>,
    began: Instant,
    status: Arc<Mutex<Status>>,
    /// What failed in this round.
    failures: Vec<(&'static str, String)>,
    /// What was told as failing, so that it is told once.
    told: Vec<(&'static str, String)>,
}

impl After {
    /// Opens the inventory, starts the watch and the asking of witnesses, and then the thread.
    ///
    /// # Errors
    /// What cannot be opened or started.
    pub(crate) fn start(
        config: &Config,
        engine: &Arc<Engine>,
        desk: &Arc<Desk>,
        clock: &Clock,
        tell: &Tell,
    ) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| format!("no thread for what happens after the answers: {e}"))?;
        let settings = &config.after;
        let inventory = open_inventory(settings, &runtime, tell)?;
        let with = With { config, engine, desk, clock, tell };
        let watching = inventory.as_ref().map(|inventory| Watching::start(with, inventory)).transpose()?;
        let publisher =
            settings.witnesses.as_ref().map(|w| start_asking(w, engine, clock, tell)).transpose()?;
        let again = inventory.as_ref().map(|_| Again::new(&settings.verify, &config.evidence));
        let status = Arc::new(Mutex::new(Status::default()));
        let mut round = Round {
            engine: Arc::clone(engine),
            desk: Arc::clone(desk),
            clock: Arc::clone(clock),
            tell: Arc::clone(tell),
            runtime,
            inventory,
            again,
            chained: Chained::default(),
            writer: config.log.writer.clone(),
            watching: watching.flatten(),
            publisher,
            cosigned: Cosigned::new(Instant::now()),
            unread: None,
            looked: None,
            began: Instant::now(),
            status: Arc::clone(&status),
            failures: Vec::new(),
            told: Vec::new(),
        };
        let (stop, stopped) = sync_channel(1);
        let going = move || {
            loop {
                round.go();
                if stopped.recv_timeout(RHYTHM) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("after".to_owned()).spawn(going);
        let thread = thread.map_err(|e| format!("no thread for what happens after the answers: {e}"))?;
        Ok(Self { status, running: Mutex::new(Some((stop, thread))) })
    }

    /// How it is.
    pub(crate) fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What does not work, and whether the thread does: else nothing is alarmed, followed or judged again, and nobody hears
    /// of it, who would be the first to be told by that very thread.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let line = |(part, why): (&str, String)| format!("what happens after the answers: {part}: {why}");
        let mut failures = self.status().failures;
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(|(_, thread)| thread.is_finished()) {
            let why = "its thread has ended: what runs is not watched and not judged again until this is started anew";
            failures.push(("thread", why.to_owned()));
        }
        failures.into_iter().map(line).collect()
    }

    /// Ends it after what it is doing.
    pub(crate) fn end(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = running {
            drop(stop);
            thread.join().ok();
        }
    }
}

impl Drop for After {
    fn drop(&mut self) {
        self.end();
    }
}

impl Round {
    fn go(&mut self) {
        let now = (self.clock)();
        self.failures.clear();
        // a process that ends at once has nothing to say
        if self.began.elapsed() > QUIET {
            let beat = self.engine.heartbeat(now, HEARTBEAT);
            self.failed("log", beat);
        }
        let (fill, cut_off) = self.engine.spool();
        let spool = self.alarm_spool(&fill, cut_off.as_deref(), now);
        self.failed("alarms", spool);
        self.see_sequencer(now);
        if self.looked.is_none_or(|at| at.elapsed() > BY_THE_CLOCK) {
            self.looked = Some(Instant::now());
            let looked = self.desk.look(now);
            self.failed("alarms", looked);
        }
        let witnessed = self.see_witnesses(now);
        let chained = self.chained.go(&self.engine, &self.desk, &self.writer, now);
        self.failed("log", chained);
        let followed = self.follow();
        let verified = self.judge_again(now);
        let joined = self.watching.as_ref().map(Watching::status);
        if let Some(why) = joined.as_ref().and_then(|status| status.failure.clone()) {
            self.failures.push(("watch", why));
        }
        self.say_failures();
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.spool = percent(&fill);
        status.is_cut_off = cut_off.is_some();
        status.witnessed = witnessed;
        status.followed = followed.unwrap_or(status.followed);
        status.verified = verified.or(status.verified.take());
        status.joined = joined.and_then(|status| status.complete);
        status.failures.clone_from(&self.failures);
    }

    fn failed(&mut self, part: &'static str, result: Result<(), String>) {
        self.failures.extend(result.err().map(|why| (part, why)));
    }

    /// Each failure is an event once, until it is another one or over.
    fn say_failures(&mut self) {
        for (part, why) in self.failures.iter().filter(|failure| !self.told.contains(failure)) {
            (self.tell)("after-failed", Object::new().with("part", *part).with("found", why.as_str()));
        }
        self.told.clone_from(&self.failures);
    }

    fn alarm_log(&self, part: &str, found: Option<(String, Severity)>, now: Timestamp) -> Result<(), String> {
        match found {
            Some((found, severity)) => {
                self.desk.raise(Alarm::log_degraded(part, &found, severity, now), now).map(drop)
            }
            None => self.desk.gone(AlarmKind::LogDegraded, part, now),
        }
    }

    fn alarm_spool(&self, fill: &Fill, cut_off: Option<&str>, now: Timestamp) -> Result<(), String> {
        let one = |part: &str, found| self.alarm_log(part, found, now);
        let severity = if fill.mark >= Mark::Full { Severity::Critical } else { Severity::Warning };
        let used = format!("{} of {} bytes are used", fill.used, fill.capacity);
        // the one is not on record, and the other may be the one that has room
        let filling = one("the spool is filling", (fill.mark > Mark::Low).then_some((used, severity)));
        let away =
            one("the log's store is out of reach", cut_off.map(|why| (why.to_owned(), Severity::Critical)));
        filling.and(away)
    }

    /// The tree of a shared log is made by one of the replicas; what keeps this one from it is alarmed, unless another one
    /// does it.
    fn see_sequencer(&mut self, now: Timestamp) {
        let Some(health) = self.engine.sequencer() else { return };
        let (duty, held) = (health.duty(), health.held());
        let why = match duty {
            Duty::Refused(why) => Some((why, Severity::Critical)),
            Duty::Unreachable(why) => Some((why, Severity::Warning)),
            Duty::Starting | Duty::Sequencing(_) | Duty::StandingBy(_) => None,
        };
        let held = (!held.is_empty()).then(|| (held.join("; "), Severity::Critical));
        for (part, found) in [("the sequencer", why), ("entries are held back", held)] {
            self.failures.extend(found.iter().map(|(why, _)| ("sequencer", why.clone())));
            let alarmed = self.alarm_log(part, found, now);
            self.failed("alarms", alarmed);
        }
    }

    fn see_witnesses(&mut self, now: Timestamp) -> Option<u64> {
        let standing = self.publisher.as_ref()?.standing();
        if let Some((witness, why)) = &standing.contradiction {
            let raised = self.desk.raise(Alarm::witness_refuses(witness, why, now), now);
            self.failed("alarms", raised.map(drop));
        }
        let late = self
            .engine
            .checkpoint()
            .and_then(|checkpoint| self.cosigned.alarm(standing.size, checkpoint.size, &self.desk, now));
        self.failed("witnesses", late);
        standing.size
    }

    /// Reads what is new in the log into the inventory.
    fn follow(&mut self) -> Option<u64> {
        let inventory = self.inventory.as_ref()?;
        let checkpoint = match self.engine.checkpoint() {
            Ok(checkpoint) => checkpoint,
            Err(why) => {
                self.failures.push(("inventory", why));
                return None;
            }
        };
        let followed =
            self.runtime.block_on(inventory.follow(self.engine.log_files(), &checkpoint, &mut |_| {}));
        match followed {
            Ok(followed) => {
                self.unread = None;
                for notice in &followed.notices {
                    (self.tell)("inventory-notice", Object::new().with("found", notice.to_string()));
                }
                Some(followed.size)
            }
            // partial tiles are replaced as the log grows: once more in the next round; what lasts is no such moment
            Err(inventory::InventoryError::Log(_)) if !lasts(&mut self.unread, Instant::now()) => None,
            Err(e) => {
                self.failures.push(("inventory", e.to_string()));
                None
            }
        }
    }

    fn judge_again(&mut self, now: Timestamp) -> Option<Verified> {
        let (again, inventory) = (self.again.as_mut()?, self.inventory.as_ref()?);
        match again.go(&self.engine, &self.desk, inventory, &self.runtime, now) {
            Ok(verified) => verified,
            Err(why) => {
                self.failures.push(("verify", why));
                None
            }
        }
    }
}

/// Whether something that began at the first call has lasted for longer than the log needs to replace a file.
fn lasts(since: &mut Option<Instant>, now: Instant) -> bool {
    now.saturating_duration_since(*since.get_or_insert(now)) > Duration::from_secs(60)
}

fn percent(fill: &Fill) -> u64 {
    let (used, all) = (u128::from(fill.used), u128::from(fill.capacity).max(1));
    u64::try_from(used * 100 / all).unwrap_or(100)
}

fn open_inventory(
    settings: &Settings,
    runtime: &Runtime,
    tell: &Tell,
) -> Result<Option<Arc<Inventory>>, String> {
    let Some(folder) = &settings.inventory else { return Ok(None) };
    let failed = |e| format!("the inventory in {} cannot be opened: {e}", folder.display());
    let (inventory, notices) = runtime.block_on(Inventory::open(folder)).map_err(failed)?;
    for notice in notices {
        tell("inventory-notice", Object::new().with("found", notice.to_string()));
    }
    Ok(Some(Arc::new(inventory)))
}

fn start_asking(
    settings: &WitnessSettings,
    engine: &Arc<Engine>,
    clock: &Clock,
    tell: &Tell,
) -> Result<Publisher, String> {
    let one = |(name, url, key): &(String, String, std::path::PathBuf)| {
        let key = witness_key(key)?;
        Ok(Asking { name: name.clone(), url: url.clone(), key })
    };
    let of = settings.of.iter().map(one).collect::<Result<Vec<_>, String>>()?;
    let witnesses = Witnesses::new(settings.quorum, of).map_err(|e| e.to_string())?;
    let transport = Https::new(settings.ca.as_deref(), &witnesses).map_err(|e| e.to_string())?;
    let own = Arc::clone(tell);
    let settings = Asked {
        storage: engine.log_files().clone(),
        key: engine.log_key().clone(),
        witnesses,
        rhythm: Duration::from_secs(1),
        clock: Arc::clone(clock),
        tell: Box::new(move |event, details| own(event, details)),
    };
    ask(settings, transport).map_err(|e| format!("witnesses cannot be asked: {e}"))
}

fn witness_key(file: &Path) -> Result<attest::note::NoteKey, String> {
    let text =
        std::fs::read_to_string(file).map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
    let key = attest::note::NoteKey::parse(text.trim());
    key.map(|(key, _)| key).ok_or_else(|| format!("{} is no verifier key of a witness", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_cannot_be_read_for_a_minute_is_no_moment_between_two_files() {
        let (start, mut since) = (Instant::now(), None);
        assert!(!lasts(&mut since, start));
        assert!(!lasts(&mut since, start + Duration::from_secs(60)));
        assert!(lasts(&mut since, start + Duration::from_secs(61)));
    }

    #[test]
    fn a_thread_that_panicked_is_a_warning_and_so_is_every_part_that_fails() {
        let (stop, stopped) = sync_channel(1);
        let going = move || {
            stopped.recv().unwrap_or_default();
            panic!("a round that failed");
        };
        let thread = std::thread::spawn(going);
        let failures = vec![("watch", "403".to_owned())];
        let status = Arc::new(Mutex::new(Status { failures, ..Status::default() }));
        let after = After { status, running: Mutex::new(Some((stop.clone(), thread))) };
        assert_eq!(after.warnings(), ["what happens after the answers: watch: 403"]);
        stop.send(()).unwrap();
        let began = Instant::now();
        while after.warnings().len() < 2 && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let warnings = after.warnings();
        assert!(warnings.get(1).is_some_and(|w| w.contains("its thread has ended")), "{warnings:?}");
        drop(stop);
        after.end();
        assert_eq!(after.warnings().len(), 1, "what was ended on purpose is none");
    }
}
