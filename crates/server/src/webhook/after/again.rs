//! The judging anew of everything that runs: whenever the book or the trust root changes, and on a rhythm, for keys that
//! were revoked since, scans that grew old, and evidence that was attached.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use attest::time::Span;
use attest::{Artifact, Digest, Json, Object};
use chokepoint::alarm::{Alarm, AlarmKind};
use chokepoint::{ENGINE, EventKind, EvidenceCache, NewEvent};
use inventory::audit::{EvidenceSource, Frozen, Gathered, GroupId, Report, Turn};
use inventory::{Inventory, Live};
use jiff::Timestamp;
use tlog::{Blobs, Files, Reader};
use tokio::runtime::Runtime;

use crate::advisories::Looked;
use crate::alarm::Desk;
use crate::webhook::after::advised::Advised;
use crate::webhook::after::concerned::Concerned;
use crate::webhook::config::Verify;
use crate::webhook::engine::Engine;

/// What a re-verification came to.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    /// The time that everything was judged at.
    pub(crate) at: Timestamp,
    /// Running deployments, by how they turn.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// What runs and nobody decided.
    pub(crate) undecided: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

/// What is kept from one re-verification to the next.
pub(super) struct Again {
    settings: Verify,
    store: evidence::Store,
    cache: EvidenceCache,
    gathered: Gathered,
    advised: Option<Advised>,
    /// The files of the last time, and when that was.
    last: Option<([String; 2], Instant)>,
    /// When it last could not be done, where that is not over.
    failed: Option<Instant>,
}

impl Again {
    pub(super) fn new(settings: &Verify, evidence: &Path) -> Self {
        Self {
            settings: settings.clone(),
            store: evidence::Store::new(evidence),
            cache: EvidenceCache::default(),
            gathered: Gathered::default(),
            advised: Advised::new(&settings.advisories),
            last: None,
            failed: None,
        }
    }

    /// Judges everything, if it is time.
    ///
    /// # Errors
    /// Why it could not, or why what was found is not on record.
    pub(super) fn go(
        &mut self,
        engine: &Engine,
        desk: &Desk,
        inventory: &Inventory,
        runtime: &Runtime,
        now: Timestamp,
    ) -> Result<Option<Verified>, String> {
        let digests = engine.digests();
        let every = Duration::from_secs(u64::try_from(self.settings.every.as_seconds()).unwrap_or(3600));
        let is_due = match &self.last {
            None => true,
            Some((files, at)) => *files != digests || at.elapsed() >= every,
        };
        if !is_due && !self.advised.as_mut().is_some_and(Advised::is_changed) {
            return Ok(None);
        }
        // a log that is full for an hour must not have everything judged anew each moment
        if self.failed.is_some_and(|at| at.elapsed() < PATIENCE) {
            return Ok(None);
        }
        let result = self.go_now(engine, desk, (inventory, runtime), digests, now);
        self.failed = result.is_err().then(Instant::now);
        result
    }

    fn go_now(
        &mut self,
        engine: &Engine,
        desk: &Desk,
        (inventory, runtime): (&Inventory, &Runtime),
        digests: [String; 2],
        now: Timestamp,
    ) -> Result<Option<Verified>, String> {
        let began = Instant::now();
        // evidence may have been attached since
        self.gathered.forget();
        let found = runtime.block_on(self.judge(engine, inventory, now))?;
        // each says what it can: what is not on record of the one keeps the others back from nothing
        let concerned = found.concerned.alarm(desk, now);
        let queue = self.alarm_queue(desk, &found.concerned, now);
        // what else was found stands, whatever becomes of the advisories
        let advised = self.advised.as_mut().zip(found.looked.as_ref());
        let advised = advised.map_or(Ok(()), |(advised, looked)| match looked {
            Ok(looked) => advised.alarm(desk, looked, now),
            Err(why) => Err(why.clone()),
        });
        concerned.and(queue)?;
        let verified = Verified {
            at: now,
            counts: TURNS.into_iter().map(|turn| (turn.name(), found.report.count(turn))).collect(),
            undecided: found.undecided,
            took: began.elapsed(),
        };
        // where nothing runs there is nothing to say
        if found.report.judged() > 0 {
            engine.record(event(&verified, &digests)).map_err(|e| e.to_string())?;
        }
        self.last = Some((digests, began));
        advised.map(|()| Some(verified))
    }

    async fn judge(
        &mut self,
        engine: &Engine,
        inventory: &Inventory,
        now: Timestamp,
    ) -> Result<Found, String> {
        let failed = |e: inventory::InventoryError| e.to_string();
        let files = engine.log_files();
        let size = engine.checkpoint()?.size;
        let (reader, blobs) = (Reader::new(files, size), Blobs::new(files));
        let source = Source { blobs: Blobs::new(files.clone()), store: &self.store };
        self.gathered.take_in(inventory, &reader, &blobs, &source).await.map_err(failed)?;
        let (book, root) = engine.in_force();
        let frozen = Frozen { book: &book, root: &root, at: now, engine: ENGINE };
        let found: Mutex<Concerned> = Mutex::default();
        let mut each = |live: &Live, turn: Turn, groups: &[GroupId], report: &Report| {
            let findings: Vec<_> = groups.iter().filter_map(|id| report.get(*id)?.example.as_ref()).collect();
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.add(live, turn, &findings, now);
        };
        let judged = self.gathered.judge(inventory, frozen, &self.cache, &source, &mut each).await;
        let judged = judged.map_err(failed)?;
        let opened = (&*root, now);
        let looked = match self.advised.as_mut() {
            Some(advised) => {
                Some(advised.look(inventory, &self.gathered, opened, &self.cache, &source).await)
            }
            None => None,
        };
        let concerned = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Found { report: judged.report, undecided: judged.undecided, concerned, looked })
    }

    /// What was let in although its policy was not met waits until it is met, or gone: since it runs.
    fn alarm_queue(&self, desk: &Desk, found: &Concerned, now: Timestamp) -> Result<(), String> {
        let mut overdue = BTreeSet::new();
        for (environment, &(count, oldest)) in &found.waiting {
            if Span::between(oldest, now) > self.settings.queue {
                let oldest = (oldest, self.settings.queue);
                let alarm = Alarm::queue_overdue(AlarmKind::DryRunAdmitted, environment, count, oldest, now);
                overdue.insert(alarm.subject.clone());
                desk.raise(alarm, now)?;
            }
        }
        desk.only(AlarmKind::DryRunAdmitted, &overdue, now)
    }
}

/// How long after a failure it is tried again.
const PATIENCE: Duration = Duration::from_secs(60);
const TURNS: [Turn; 4] = [Turn::Same, Turn::Breaks, Turn::Tolerated, Turn::CannotDecide];
struct Found {
    report: Report,
    undecided: u64,
    concerned: Concerned,
    looked: Option<Result<Looked, String>>,
}

/// Evidence on record, and what was attached since.
struct Source<'s> {
    blobs: Blobs<Files>,
    store: &'s evidence::Store,
}

impl EvidenceSource for Source<'_> {
    fn fetch(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.blobs.get(digest).ok().or_else(|| self.store.get(digest).ok().flatten())
    }

    fn attached(&self, artifact: &Artifact) -> Vec<(String, Digest)> {
        let digest = artifact.digest();
        let attached =
            digest.and_then(|digest| self.store.attached(&digest).ok().flatten()).unwrap_or_default();
        attached.into_iter().map(|bundle| (bundle.to_string(), bundle)).collect()
    }
}

fn event(verified: &Verified, digests: &[String; 2]) -> NewEvent {
    let int = |n: u64| Json::Int(i64::try_from(n).unwrap_or(i64::MAX).min(attest::json::MAX_INT));
    let [book, root] = digests;
    let mut body = Object::new().with("book", book.as_str()).with("trust_root", root.as_str());
    for (turn, count) in &verified.counts {
        body.set(turn, int(*count));
    }
    body.set("undecided", int(verified.undecided));
    body.set("milliseconds", int(u64::try_from(verified.took.as_millis()).unwrap_or(u64::MAX)));
    NewEvent { at: verified.at, kind: EventKind::ReVerified, body, parts: Vec::new() }
}
