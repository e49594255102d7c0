//! Advisories about what runs: asked with every re-verification, and when the dump changes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use attest::claims::Severity as Rated;
use attest::{DigestSet, Opener, TrustRoot};
use chokepoint::alarm::{Alarm, AlarmKind, Live as Named, Severity};
use inventory::Inventory;
use inventory::advisories::fingerprint;
use inventory::audit::{EvidenceSource, Gathered};
use jiff::Timestamp;

use crate::advisories::{Advisories, Affected, Config, Looked, Under};
use crate::alarm::Desk;

/// How often it is looked whether the dump changed.
const RHYTHM: Duration = Duration::from_secs(60);

/// What is kept from one look to the next.
pub(super) struct Advised {
    config: Config,
    advisories: Advisories,
    /// The dump of the last look.
    dump: Option<DigestSet>,
    seen: Instant,
}

impl Advised {
    /// Nothing where nobody names a dump.
    pub(super) fn new(config: &Config) -> Option<Self> {
        (!config.advisories.is_empty()).then(|| Self {
            config: config.clone(),
            advisories: Advisories::new(config.clone()),
            dump: None,
            seen: Instant::now(),
        })
    }

    /// Whether another dump is there than at the last look.
    pub(super) fn is_changed(&mut self) -> bool {
        if self.seen.elapsed() < RHYTHM {
            return false;
        }
        self.seen = Instant::now();
        fingerprint(&self.config.advisories).ok().is_some_and(|dump| self.dump.as_ref() != Some(&dump))
    }

    /// Looks up what runs.
    ///
    /// # Errors
    /// Why nobody can tell: an unreadable dump must not look clean.
    pub(super) async fn look(
        &mut self,
        inventory: &Inventory,
        gathered: &Gathered,
        (root, at): (&TrustRoot, Timestamp),
        opener: &(dyn Opener + Sync),
        evidence: &dyn EvidenceSource,
    ) -> Result<Looked, String> {
        self.dump = fingerprint(&self.config.advisories).ok();
        let under = Under { root, at, opener, evidence };
        self.advisories.look(inventory, gathered, under).await.map_err(|e| e.to_string())
    }

    /// Alarms each affected workload by its name, once, and closes what is mended.
    ///
    /// # Errors
    /// Why an alarm is not on record; or what of the dump could not be read.
    pub(super) fn alarm(&self, desk: &Desk, looked: &Looked, now: Timestamp) -> Result<(), String> {
        let mut alarmed = BTreeSet::new();
        for affected in &looked.affected {
            let alarm = of(affected, now);
            alarmed.insert(alarm.subject.clone());
            desk.raise(alarm, now)?;
        }
        desk.only(AlarmKind::Advisory, &alarmed, now)?;
        match (&looked.stale, looked.unread.first()) {
            (Some(why), _) => Err(format!("the advisories on disk were not read: {why}")),
            (None, Some(first)) => {
                Err(format!("an advisory cannot be read, and may be about anything: {first}"))
            }
            (None, None) => Ok(()),
        }
    }
}

fn of(affected: &Affected, now: Timestamp) -> Alarm {
    let live = Named {
        workload: &affected.workload,
        environment: &affected.environment,
        artifact: &affected.artifact,
        digest: affected.digest.as_ref(),
    };
    let package = match &affected.installed {
        Some(version) => format!("{} {version}", affected.component),
        None => affected.component.clone(),
    };
    let severity = if affected.severity == Rated::Critical { Severity::Critical } else { Severity::Warning };
    Alarm::advisory(live, &affected.advisory, &package, affected.fixed.as_deref(), severity, now)
}
