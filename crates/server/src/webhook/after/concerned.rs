//! What of all that runs somebody must hear of, held until it is alarmed. Each kind has a bound of its own: whoever runs
//! much of one kind must not keep another kind from being heard of.

use std::collections::{BTreeMap, BTreeSet};

use chokepoint::alarm::{Alarm, AlarmKind, Live as Named};
use inventory::Live;
use inventory::audit::Turn;
use jiff::Timestamp;
use policy::Finding;

use crate::alarm::Desk;

/// So many of one kind are named one by one: one more than can be open at once, so that an alarm says that there are more.
const MOST: usize = 10_001;

#[derive(Default)]
pub(super) struct Concerned {
    revoked: Broken,
    unmet: Broken,
    /// Of these nothing can be said: what was alarmed of them is not over because their evidence is gone.
    unknown: BTreeSet<String>,
    /// What was let in although its policy was not met, by environment: how many, and since when the oldest runs.
    pub(super) waiting: BTreeMap<String, (u64, Timestamp)>,
    is_cut: bool,
}

/// By subject: what runs a thousand times is one of them.
type Broken = BTreeMap<String, Alarm>;

impl Concerned {
    /// Takes one that runs, with what its verdict says.
    pub(super) fn add(&mut self, live: &Live, turn: Turn, findings: &[&Finding], now: Timestamp) {
        match turn {
            Turn::Tolerated => {
                let (count, oldest) = self.waiting.entry(live.environment.clone()).or_insert((0, live.since));
                *count += 1;
                *oldest = (*oldest).min(live.since);
            }
            Turn::CannotDecide if self.unknown.len() < MOST => {
                self.unknown.insert(Alarm::no_longer_met(named(live), &[], "", now).subject);
            }
            Turn::CannotDecide => self.is_cut = true,
            Turn::Breaks => self.add_broken(live, findings, now),
            Turn::Opens | Turn::Same => {}
        }
    }

    fn add_broken(&mut self, live: &Live, findings: &[&Finding], now: Timestamp) {
        let is_revoked = findings.iter().any(|finding| finding.ends_standing());
        let list = if is_revoked { &mut self.revoked } else { &mut self.unmet };
        let alarm = if is_revoked {
            let why = findings.first().map(|finding| finding.message.clone()).unwrap_or_default();
            Alarm::revoked_live(named(live), &why, now)
        } else {
            let rules: Vec<String> = findings.iter().map(|finding| finding.rule.to_owned()).collect();
            let fix = findings.first().and_then(|finding| finding.fixes().first().cloned());
            Alarm::no_longer_met(named(live), &rules, &fix.unwrap_or_default(), now)
        };
        if list.len() < MOST || list.contains_key(&alarm.subject) {
            list.entry(alarm.subject.clone()).or_insert(alarm);
        } else {
            self.is_cut = true;
        }
    }

    /// Raises an alarm for each that would be refused today, once, and closes those of what is mended or gone.
    ///
    /// # Errors
    /// Why that is not on record.
    pub(super) fn alarm(&self, desk: &Desk, now: Timestamp) -> Result<(), String> {
        let mut closed = Ok(());
        for (kind, list) in [(AlarmKind::RevokedLive, &self.revoked), (AlarmKind::NoLongerMet, &self.unmet)] {
            let mut so: BTreeSet<String> = list.keys().cloned().collect();
            for alarm in list.values() {
                desk.raise(alarm.clone(), now)?;
            }
            so.extend(self.unknown.iter().cloned());
            // where not all could be held, what is not among them may still be so
            if !self.is_cut {
                // what is over and not on record keeps no alarm of the other kind back
                closed = closed.and(desk.only(kind, &so, now));
            }
        }
        closed
    }
}

fn named(live: &Live) -> Named<'_> {
    Named {
        workload: live.workload.as_deref().unwrap_or(&live.artifact),
        environment: &live.environment,
        artifact: &live.artifact,
        digest: live.digest.as_ref(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use attest::{Digest, SecretKey, Signer as _, TrustRoot};
    use chokepoint::{EventKind, NewEvent};
    use inventory::Source;

    use super::*;
    use crate::alarm::Recorder;
    use crate::webhook::AlarmsConfig;

    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    impl Recorder for Log {
        fn record(&self, event: NewEvent) -> Result<u64, String> {
            let word = if event.kind == EventKind::Alarm { "raised" } else { "closed" };
            self.0.lock().unwrap().push(format!("{word} {}", event.body.string("subject").unwrap()));
            Ok(0)
        }
        fn leaves(&self, _: u64) -> Result<Vec<Vec<u8>>, String> {
            Ok(Vec::new())
        }
        fn part(&self, _: &Digest) -> Option<Vec<u8>> {
            None
        }
        fn origin(&self) -> String {
            "log.example".to_owned()
        }
    }

    fn desk(dir: &std::path::Path, log: &Arc<Log>) -> Desk {
        let config = AlarmsConfig { sinks: Vec::new(), budget: None, close: Vec::new() };
        let key = SecretKey::from_ed25519_seed(&[1; 32]).unwrap();
        let pem: String = key.public().to_pem().lines().map(|line| format!("          {line}\n")).collect();
        let root = format!("version: 1\nsigners:\n  vendor:\n    keys:\n      - key: |\n{pem}");
        let root = TrustRoot::parse("trust-root.yaml", &root).unwrap();
        let recorder = Arc::clone(log) as Arc<dyn Recorder>;
        Desk::open(&config, dir, recorder, &root, &(Arc::new(now) as crate::Clock)).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn live(environment: &str, workload: &str) -> Live {
        Live {
            workload: Some(workload.to_owned()),
            environment: environment.to_owned(),
            artifact: "shop".to_owned(),
            digest: None,
            since: now(),
            source: Source::Admitted,
            decided: Some(1),
            case: None,
        }
    }

    #[test]
    fn much_that_is_tolerated_or_runs_often_hides_nothing_of_what_breaks() {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(Log::default());
        let desk = desk(dir.path(), &log);
        let mut concerned = Concerned::default();
        for number in 0..MOST {
            concerned.add(&live("dry/run", &format!("t/{number}")), Turn::Tolerated, &[], now());
            concerned.add(&live("prod/shop", "often"), Turn::Breaks, &[], now());
        }
        concerned.add(&live("prod/shop", "one"), Turn::Breaks, &[], now());
        concerned.alarm(&desk, now()).unwrap();
        assert_eq!(*log.0.lock().unwrap(), ["raised often shop", "raised one shop"]);
        assert_eq!(concerned.waiting.get("dry/run").unwrap().0, u64::try_from(MOST).unwrap());
    }

    #[test]
    fn an_alarm_is_not_over_because_its_evidence_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(Log::default());
        let desk = desk(dir.path(), &log);
        let look = |turn: Turn| {
            let mut concerned = Concerned::default();
            concerned.add(&live("prod/shop", "one"), turn, &[], now());
            concerned.alarm(&desk, now()).unwrap();
        };
        look(Turn::Breaks);
        look(Turn::CannotDecide);
        assert_eq!(*log.0.lock().unwrap(), ["raised one shop"]);
        look(Turn::Same);
        assert_eq!(*log.0.lock().unwrap(), ["raised one shop", "closed one shop"]);
    }
}
