//! The desk: what is alarmed is put on record once, and handed to the sinks; what was reviewed is closed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use attest::{Digest, TrustRoot};
use chokepoint::alarm::{Alarm, AlarmKind, Alarms, Refused, of_decision, of_recorded};
use chokepoint::breakglass::{Budget, ReviewRefused, Reviews};
use chokepoint::{Decision, Entry, EventKind, NewEvent, Record};
use jiff::Timestamp;

use crate::Clock;
use crate::alarm::deliver::{Delivery, Outbox, Pace};
use crate::alarm::{AlarmMetrics, Notice, name, teller};
use crate::webhook::AlarmsConfig;

/// The log, as the desk needs it.
pub trait Recorder: Send + Sync + 'static {
    /// Puts an event on record; gives its number among this writer's entries once it is durable.
    ///
    /// # Errors
    /// Why it is not.
    fn record(&self, event: NewEvent) -> Result<u64, String>;

    /// This writer's leaves from a number on, some at a time; none where there are none yet.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn leaves(&self, from: u64) -> Result<Vec<Vec<u8>>, String>;

    /// A part beside the log.
    fn part(&self, digest: &Digest) -> Option<Vec<u8>>;

    /// The log's name.
    fn origin(&self) -> String;
}

/// Why a review is not on record.
#[derive(Clone, Debug)]
pub enum ReviewNotTaken {
    /// It does not count.
    Refused(ReviewRefused),
    /// The log did not take it.
    Log(String),
}

impl fmt::Display for ReviewNotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(e) => e.fmt(f),
            Self::Log(why) => write!(f, "the review could not be logged: {why}"),
        }
    }
}
impl std::error::Error for ReviewNotTaken {}

/// Where alarms come in.
pub struct Desk {
    recorder: Arc<dyn Recorder>,
    origin: String,
    /// Held while an event is put on record: two who find the same thing at once are one alarm.
    state: Mutex<State>,
    outboxes: Vec<Outbox>,
    budget: Option<Budget>,
    metrics: AlarmMetrics,
}

#[derive(Default)]
struct State {
    alarms: Alarms,
    reviews: Reviews,
    /// Digests of what was let in elsewhere and brought, and whether it was alarmed.
    brought: BTreeMap<Digest, bool>,
    /// Alarms that are over, and of which the log did not take that yet. One that is raised again first is not over.
    closings: VecDeque<NewEvent>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk({} sinks)", self.outboxes.len())
    }
}

impl Desk {
    /// Learns from the log what is open, raises what a process that died did not come to, and starts to tell. `folder` is
    /// where it is kept what each sink was told.
    ///
    /// # Errors
    /// What cannot be read or written.
    pub fn open(
        config: &AlarmsConfig,
        folder: &Path,
        recorder: Arc<dyn Recorder>,
        root: &TrustRoot,
        clock: &Clock,
    ) -> Result<Self, String> {
        let origin = recorder.origin();
        let (state, size, open) = learn(recorder.as_ref(), &origin, root)?;
        std::fs::create_dir_all(folder).map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
        let metrics = AlarmMetrics::default();
        let mut outboxes = Vec::new();
        for sink in &config.sinks {
            let (name, digest) = name(sink);
            let file = folder.join(format!("{digest}.json"));
            let failed = format!("what {name} was told cannot be read from {}", file.display());
            let (from, own) = (Arc::clone(&recorder), origin.clone());
            let source = Arc::new(move |sequence| notices(from.as_ref(), &own, sequence));
            let (metrics, tell) = (metrics.clone(), teller(sink, clock));
            let delivery = Delivery { name, tell, file, source, metrics, pace: Pace::default() };
            let outbox = Outbox::start(delivery, size, &open).map_err(|e| format!("{failed}: {e}"))?;
            outboxes.push(outbox);
        }
        let (state, budget) = (Mutex::new(state), config.budget);
        let desk = Self { recorder, origin, state, outboxes, budget, metrics };
        desk.raise_owed(clock())?;
        Ok(desk)
    }

    fn raise_owed(&self, now: Timestamp) -> Result<(), String> {
        let owed: Vec<Record> = self.state().alarms.owed().cloned().collect();
        for record in owed {
            let decision = self.recorder.part(&record.decided);
            let decision = decision.and_then(|bytes| attest::json::parse(&bytes).ok());
            for alarm in of_recorded(&record, decision.as_ref()) {
                self.raise(alarm, now)?;
            }
        }
        self.metrics.see(&self.state().alarms);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event on record, and hands it to the sinks.
    fn put(&self, event: NewEvent) -> Result<u64, String> {
        let (kind, at, body) = (event.kind, event.at, event.body.clone());
        let sequence = self.recorder.record(event)?;
        if let Some(notice) = Notice::new(kind, sequence, &self.origin, at, &body) {
            self.outboxes.iter().for_each(|outbox| outbox.push(&notice));
        }
        Ok(sequence)
    }

    /// Raises an alarm, unless it is open already; says whether it was raised. It is on record when this returns.
    ///
    /// # Errors
    /// Why it is not on record; it is raised again when it is found again.
    pub fn raise(&self, alarm: Alarm, now: Timestamp) -> Result<bool, String> {
        let mut state = self.state();
        let Some(event) = state.alarms.raise(alarm, now) else { return Ok(false) };
        // the log has room for an alarm where it has none for a closing: no closing may keep an alarm back
        self.settle(&mut state).ok();
        let result = self.put(event.clone());
        match &result {
            // put behind the alarm, its own closing would close it again
            Ok(_) => state.closings.retain(|closing| !is_of(closing, &event)),
            Err(_) => state.alarms.withdraw(&event),
        }
        self.metrics.see(&state.alarms);
        result.map(|_| true)
    }

    /// Raises these in their order, for so long. One that is not on record stays, with all behind it.
    ///
    /// # Errors
    /// Why one is not.
    pub fn raise_all(
        &self,
        alarms: &mut VecDeque<Alarm>,
        within: Duration,
        now: Timestamp,
    ) -> Result<(), String> {
        let began = Instant::now();
        while let Some(alarm) = alarms.front().filter(|_| began.elapsed() < within).cloned() {
            self.raise(alarm, now)?;
            alarms.pop_front();
        }
        Ok(())
    }

    /// Puts on record what is over, and what could not be put there before; gives the last place.
    fn close(
        &self,
        state: &mut State,
        over: impl IntoIterator<Item = NewEvent>,
    ) -> Result<Option<u64>, String> {
        state.closings.extend(over);
        self.metrics.see(&state.alarms);
        self.settle(state)
    }

    fn settle(&self, state: &mut State) -> Result<Option<u64>, String> {
        let mut last = None;
        while let Some(event) = state.closings.front().cloned() {
            last = Some(self.put(event)?);
            state.closings.pop_front();
        }
        Ok(last)
    }

    /// What an alarm says is so no more.
    ///
    /// # Errors
    /// Why that is not on record yet: it is tried again.
    pub fn gone(&self, kind: AlarmKind, subject: &str, now: Timestamp) -> Result<(), String> {
        let mut state = self.state();
        let event = state.alarms.gone(kind, subject, now);
        self.close(&mut state, event).map(drop)
    }

    /// Of this kind only these subjects are so: all others are so no more, also those that another process raised.
    ///
    /// # Errors
    /// Why that is not on record yet: it is tried again.
    pub fn only(&self, kind: AlarmKind, subjects: &BTreeSet<String>, now: Timestamp) -> Result<(), String> {
        self.gone_unless(kind, |subject| subjects.contains(subject), now)
    }

    /// Of this kind only what this says of a subject is so.
    ///
    /// # Errors
    /// Why that is not on record yet: it is tried again.
    pub fn gone_unless(
        &self,
        kind: AlarmKind,
        is_so: impl Fn(&String) -> bool,
        now: Timestamp,
    ) -> Result<(), String> {
        let mut state = self.state();
        let over = state.alarms.gone_unless(kind, |alarm| is_so(&alarm.subject), now);
        self.close(&mut state, over).map(drop)
    }

    /// Closes an alarm because somebody has seen it; gives the place of the event.
    ///
    /// # Errors
    /// Why not: it cannot be closed so, or it is not on record yet.
    pub fn acknowledge(
        &self,
        id: &str,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Result<u64, Refused>, String> {
        let mut state = self.state();
        let event = match state.alarms.acknowledge(id, by, reason, now) {
            Ok(event) => event,
            Err(refused) => return Ok(Err(refused)),
        };
        let closed = self.close(&mut state, [event]);
        let closed = closed.and_then(|place| place.ok_or_else(|| "nothing was put on record".to_owned()));
        closed.map(Ok).map_err(|why| format!("{why}; it is put on record as soon as the log takes it"))
    }

    /// A decision was put on record: what must be alarmed of it is, before this returns. `leaf` is the record's leaf hash.
    ///
    /// # Errors
    /// Why an alarm is not on record; it is raised when somebody looks by the clock, or at the next start.
    pub fn decided(
        &self,
        index: u64,
        leaf: &Digest,
        record: &Record,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<(), String> {
        let alarms = of_decision(record, decision);
        if record.basis == "breakglass" {
            // its blob is in the spool, and not in the store yet: without it nobody would know whose grant it was
            let own = decision.to_json().to_string().into_bytes();
            let parts = |digest: &Digest| {
                if *digest == record.decided { Some(own.clone()) } else { self.recorder.part(digest) }
            };
            self.state().reviews.let_in(index, leaf.clone(), record, &parts);
        }
        let raised = alarms.into_iter().try_for_each(|alarm| self.raise(alarm, now).map(drop));
        if raised.is_err() {
            self.state().alarms.owe(record);
        }
        raised
    }

    /// Whether this is here that was let in elsewhere.
    pub fn has(&self, digest: &Digest) -> bool {
        self.state().brought.contains_key(digest)
    }

    /// Takes what was let in while the choke point could not be reached: alarmed first, then on record. Brought again, it is
    /// the same; but what nobody could see a grant in before, and is one now, is alarmed now. The event's first part has this
    /// digest.
    ///
    /// # Errors
    /// Why it is not on record; brought again, it is tried again.
    pub fn bring(&self, digest: &Digest, event: NewEvent, alarm: Option<Alarm>) -> Result<(), String> {
        let is_alarmed = alarm.is_some();
        let is_there = |state: &State| state.brought.get(digest).is_some_and(|before| *before || !is_alarmed);
        if is_there(&self.state()) {
            return Ok(());
        }
        alarm.map(|alarm| self.raise(alarm, event.at)).transpose()?;
        let mut state = self.state();
        if !is_there(&state) {
            self.put(event)?;
            state.brought.insert(digest.clone(), is_alarmed);
        }
        Ok(())
    }

    /// Takes a signed review of what a grant let in; gives the place of the event. What it closes is closed.
    ///
    /// # Errors
    /// [`ReviewNotTaken`].
    pub fn review(&self, root: &TrustRoot, bytes: &[u8], now: Timestamp) -> Result<u64, ReviewNotTaken> {
        let mut state = self.state();
        let checked = state.reviews.check(root, bytes, now).map_err(ReviewNotTaken::Refused)?;
        let sequence = self.put(checked.event(bytes, now)).map_err(ReviewNotTaken::Log)?;
        state.reviews.keep(sequence, checked);
        let closed = close_reviewed(&mut state, now);
        // the review is on record: what is not closed now is when it is looked at next
        self.close(&mut state, closed).ok();
        Ok(sequence)
    }

    /// Looks by the clock: what was not reviewed in time, and whether breakglass is used too often.
    ///
    /// # Errors
    /// Why something is not on record.
    pub fn look(&self, now: Timestamp) -> Result<(), String> {
        let mut state = self.state();
        let mut due: Vec<Alarm> = state
            .reviews
            .grants()
            .filter(|used| used.is_overdue(now))
            .filter_map(|used| Some(Alarm::breakglass_unreviewed(used, used.due()?, now)))
            .collect();
        let mut closed = close_reviewed(&mut state, now);
        if let Some(budget) = self.budget {
            let used = state.reviews.used_within(budget.per, now);
            if used > budget.grants {
                due.push(Alarm::breakglass_budget(budget, used, now));
            } else {
                closed.extend(state.alarms.gone(AlarmKind::BreakglassBudget, &budget.to_string(), now));
            }
        }
        // what is over and not on record keeps nothing back that is due
        let closed = self.close(&mut state, closed).map(drop);
        drop(state);
        let raised = due.into_iter().try_for_each(|alarm| self.raise(alarm, now).map(drop));
        let owed = self.raise_owed(now);
        raised.and(owed).and(closed)
    }

    /// Sinks that are not told, and why: for what the choke point says of itself.
    #[must_use]
    pub fn failures(&self) -> Vec<(String, String)> {
        self.outboxes.iter().filter_map(Outbox::failure).collect()
    }

    /// Numbers, to be registered among others.
    #[must_use]
    pub fn metrics(&self) -> &AlarmMetrics {
        &self.metrics
    }
}

/// Whether two events are of the same alarm.
fn is_of(one: &NewEvent, other: &NewEvent) -> bool {
    ["kind", "subject"].iter().all(|key| one.body.string(key) == other.body.string(key))
}

/// The alarms about grants of which all was looked at.
fn close_reviewed(state: &mut State, now: Timestamp) -> Vec<NewEvent> {
    let State { alarms, reviews, .. } = state;
    let is_open = |alarm: &Alarm| {
        let digest = alarm.fields.string("grant_digest").ok().and_then(|d| Digest::parse(d).ok());
        digest.and_then(|d| reviews.grant(&d)).is_none_or(|used| used.due().is_some())
    };
    let mut closed = alarms.gone_unless(AlarmKind::BreakglassUsed, is_open, now);
    closed.extend(alarms.gone_unless(AlarmKind::BreakglassUnreviewed, is_open, now));
    closed
}

/// Learns the whole log: what is open, how many entries there are, and the notices of what is open.
fn learn(
    recorder: &dyn Recorder,
    origin: &str,
    root: &TrustRoot,
) -> Result<(State, u64, Vec<Notice>), String> {
    let (mut state, mut size) = (State::default(), 0_u64);
    let mut open: BTreeMap<String, Notice> = BTreeMap::new();
    let parts = |digest: &Digest| recorder.part(digest);
    loop {
        let leaves = recorder.leaves(size)?;
        if leaves.is_empty() {
            break;
        }
        for leaf in leaves {
            if let Ok(entry) = Entry::parse(&leaf) {
                state.alarms.learn(&entry);
                if let Some((digest, is_alarmed)) = brought(&entry) {
                    *state.brought.entry(digest).or_default() |= is_alarmed;
                }
                if let Some(notice) = of_entry(&entry, origin) {
                    let id = notice.text("id").to_owned();
                    if notice.event == "alarm" {
                        open.insert(id, notice)
                    } else {
                        open.remove(&id)
                    };
                }
            }
            state.reviews.learn(size, &leaf, &parts, Some(root));
            size += 1;
        }
    }
    let mut open: Vec<Notice> = open.into_values().collect();
    open.sort_by_key(|notice| notice.sequence);
    Ok((state, size, open))
}

/// The digest of what was let in elsewhere and whether it was alarmed, where the entry is of such a thing. Only what is
/// alarmed names a grant.
fn brought(entry: &Entry) -> Option<(Digest, bool)> {
    let Entry::Event(event) = entry else { return None };
    let is_brought = matches!(event.kind, EventKind::Spooled | EventKind::SpooledUnverified);
    let digest = event.parts.first().filter(|_| is_brought)?;
    Some((digest.clone(), event.body.get("grant").is_some()))
}

fn of_entry(entry: &Entry, origin: &str) -> Option<Notice> {
    match entry {
        Entry::Event(event) => Notice::of(event, origin),
        Entry::Decision(_) => None,
    }
}

fn notices(recorder: &dyn Recorder, origin: &str, from: u64) -> Result<(Vec<Notice>, u64), String> {
    let leaves = recorder.leaves(from)?;
    let read = u64::try_from(leaves.len()).unwrap_or(0);
    let notice = |leaf: &Vec<u8>| of_entry(&Entry::parse(leaf).ok()?, origin);
    Ok((leaves.iter().filter_map(notice).collect(), from.saturating_add(read)))
}

#[cfg(test)]
pub(crate) mod tests;
