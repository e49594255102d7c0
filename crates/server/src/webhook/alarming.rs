//! The desk of alarms in the process that decides: what is let in past a policy is alarmed before anybody is answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use attest::Digest;
use chokepoint::alarm::{Alarm, AlarmKind};
use jiff::Timestamp;

use crate::Clock;
use crate::alarm::{Desk, Recorder, ReviewNotTaken};
use crate::webhook::after::{After, Tell};
use crate::webhook::config::Config;
use crate::webhook::decide::Kubernetes;
use crate::webhook::engine::Ruled;
use crate::webhook::judge::{AfterLook, NotKept, Reloaded};
use crate::webhook::summaries::{Summaries, With};

impl Kubernetes {
    /// Opens the desk: it learns the log, and raises what a process that died did not come to.
    ///
    /// # Errors
    /// What cannot be read or written.
    pub fn open_desk(&self, config: &Config, clock: &Clock) -> Result<Arc<Desk>, String> {
        self.engine().settle();
        let recorder: Arc<dyn Recorder> = self.engine().clone();
        let (_, root) = self.engine().in_force();
        let desk = Desk::open(&config.alarms, &config.state.join("alarms"), recorder, &root, clock)?;
        Ok(Arc::clone(self.desk.get_or_init(|| Arc::new(desk))))
    }

    /// Starts what happens after the answers.
    ///
    /// # Errors
    /// What cannot be opened or started.
    pub fn start_after(&self, config: &Config, clock: &Clock, tell: &Tell) -> Result<(), String> {
        let desk = self.open_desk(config, clock)?;
        let after = After::start(config, self.engine(), &desk, clock, tell)?;
        drop(self.after.set(after));
        if let Some(settings) = &config.summaries {
            let with = With {
                engine: Arc::clone(self.engine()),
                desk,
                store: self.store.clone(),
                clock: Arc::clone(clock),
                tell: Arc::clone(tell),
                metrics: self.summary_metrics.clone(),
            };
            drop(self.summaries.set(Summaries::start(settings, config, with)?));
        } else {
            // an earlier process made some; what is over waits in the desk for the log
            desk.gone(AlarmKind::SummaryFailed, Alarm::SUMMARIES, clock()).ok();
        }
        Ok(())
    }

    /// Alarms what was let in by a grant or in an outage. What is not on record now is raised at the next start.
    pub(super) fn alarm(&self, ruled: &[Ruled], now: Timestamp) {
        let Some(desk) = self.desk.get() else { return };
        for one in ruled {
            let Some((record, (index, leaf))) = one.alarmed.as_ref().zip(one.record.as_ref()) else {
                continue;
            };
            let Ok(leaf) = Digest::parse(leaf) else { continue };
            // the alarm that failed is found again from the log, which has the record
            desk.decided(*index, &leaf, record, &one.decision, now).ok();
        }
    }

    /// Alarms files that are not taken, until they are, or are gone. What an earlier process alarmed ends so too.
    pub(super) fn alarm_files(&self, told: &[Reloaded], now: Timestamp) {
        let Some(desk) = self.desk.get() else { return };
        for Reloaded { what, result } in told {
            if let Err(why) = result {
                // the event on standard error says it too, and what is not on record now is found at the next change
                desk.raise(Alarm::files_refused(what, why, now), now).ok();
            }
        }
        // ungoverned files are taken all or none, and which of them was refused before is not known
        let refused = match &self.steward {
            Some(steward) => Some(steward.refused()),
            None => self.loaded().stale.is_none().then(BTreeSet::new),
        };
        if let Some(refused) = refused {
            // what is over waits in the desk for the log
            desk.only(AlarmKind::FilesRefused, &refused, now).ok();
        }
    }

    /// How what happens after the answers is.
    pub(super) fn look_after(&self, now: Timestamp) -> AfterLook {
        let mut look = AfterLook::default();
        if let Some(after) = self.after.get() {
            let status = after.status();
            let age = |at: Timestamp| now.as_second().saturating_sub(at.as_second());
            look.verified = status.verified.as_ref().map(|verified| age(verified.at));
            let verified = status.verified.as_ref();
            look.running = verified.map(|v| v.counts.clone().into_iter().collect()).unwrap_or_default();
            look.running.extend(verified.map(|v| ("undecided", v.undecided)));
            look.joined = status.joined.map(age);
            (look.followed, look.spool) = (status.followed, status.spool);
            (look.is_cut_off, look.witnessed) = (status.is_cut_off, status.witnessed);
        }
        if let Some(desk) = self.desk.get() {
            look.untold = desk.failures();
        }
        look
    }

    /// Takes a signed review of what a grant let in; answers with the digest of its bytes.
    pub(super) fn review(&self, bytes: &[u8], now: Timestamp) -> Result<String, NotKept> {
        let desk = self.desk.get().ok_or_else(nowhere)?;
        let (_, root) = self.engine().in_force();
        desk.review(&root, bytes, now).map_err(|e| match e {
            ReviewNotTaken::Refused(e) => NotKept::Refused(e.to_string()),
            ReviewNotTaken::Log(_) => NotKept::Store(e.to_string()),
        })?;
        Ok(Digest::sha256(bytes).to_string())
    }

    /// Closes an alarm that somebody has seen.
    pub(super) fn close_alarm(&self, bytes: &[u8], by: &str, now: Timestamp) -> Result<String, NotKept> {
        let desk = self.desk.get().ok_or_else(nowhere)?;
        let malformed = |e: &dyn std::fmt::Display| NotKept::Malformed(e.to_string());
        let body = attest::json::parse(bytes).map_err(|e| malformed(&e))?;
        let body = body.as_object().map_err(|e| malformed(&e))?;
        let text = |key: &str| body.string(key).map_err(|e| malformed(&e));
        let (id, reason) = (text("id")?, text("reason")?);
        match desk.acknowledge(id, by, reason, now) {
            Ok(Ok(_)) => Ok(Digest::sha256(bytes).to_string()),
            Ok(Err(refused)) => Err(NotKept::Refused(refused.to_string())),
            Err(why) => Err(NotKept::Store(why)),
        }
    }
}

pub(super) fn nowhere() -> NotKept {
    NotKept::Store("the desk of alarms is not open".to_owned())
}
