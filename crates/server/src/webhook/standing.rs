//! What was decided for which owner, kept in memory and in a snapshot: an index of the log, which is read to its end
//! when the process starts. A snapshot counts where the log has its digest; else the log is read anew.

mod snapshot;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use attest::note::Checkpoint;
use attest::{Digest, Json, Object};
use chokepoint::{Answer, Basis, Entry as LogEntry, NewEvent, Record};
use jiff::Timestamp;
use kubernetes::{Admitted, Decided, Deployment, Entry, Link, Ownership, Review, makes};
use policy::{Case, Standing};
use tlog::{Blobs, Reader, Storage};

use crate::webhook::engine::{Engine, Ruled};
use snapshot::Snapshot;

/// Owners that are remembered: ReplicaSets, Jobs and the like of a large cluster.
const OWNERS: usize = 200_000;
/// Records that are read at most where there is no snapshot; what is older has not stood for long.
const RECORDS: u64 = 200_000;
/// So many records are read again quickly.
const WORTH_A_SNAPSHOT: u64 = 5000;

/// The index, shared by all threads.
#[derive(Debug)]
pub(crate) struct Standings {
    decided: Mutex<Decided>,
    /// The review that is being read, of each writer. Whoever reads the log holds it.
    groups: Mutex<BTreeMap<String, Group>>,
    snapshot: Snapshot,
    /// Why the snapshot that was found did not count; nothing once another one is written.
    refused: Mutex<Option<String>>,
    /// How many records there were when a snapshot was last thought of.
    seen: AtomicU64,
    /// How many records the snapshot knows.
    saved: AtomicU64,
}

impl Standings {
    /// Reads the snapshot, and what the log has beyond it. One of which the log does not know is not believed: the log is
    /// read anew, and it is told.
    ///
    /// # Errors
    /// Why the log cannot be read.
    pub(crate) fn open<S: Storage + Clone>(
        state: &Path,
        storage: &S,
        checkpoint: &Checkpoint,
    ) -> Result<Self, String> {
        let (snapshot, size) = (Snapshot::of(state), checkpoint.size);
        let (found, refused) = match snapshot.read(storage, checkpoint, size.saturating_sub(RECORDS)) {
            Ok(found) => (found, None),
            Err(why) => (None, Some(why)),
        };
        let mut decided = found.unwrap_or_else(|| Decided::new(OWNERS));
        decided.learnt_until(size.saturating_sub(RECORDS));
        let (seen, saved) = (AtomicU64::new(size), AtomicU64::new(size));
        let (decided, refused, groups) = (Mutex::new(decided), Mutex::new(refused), Mutex::default());
        let standings = Self { decided, groups, snapshot, refused, seen, saved };
        standings.follow(storage, size)?;
        Ok(standings)
    }

    /// Why the snapshot that was found did not count.
    pub(crate) fn warning(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns what the log has beyond what is known, other writers' records included.
    ///
    /// # Errors
    /// Why the log cannot be read.
    fn follow<S: Storage + Clone>(&self, storage: &S, size: u64) -> Result<(), String> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let (reader, blobs) = (Reader::new(storage, size), Blobs::new(storage.clone()));
        let known = self.lock().learnt();
        for index in known..size {
            let failed = |e: &dyn std::fmt::Display| format!("record {index} of the log: {e}");
            let leaf = reader.entry(index).map_err(|e| failed(&e))?;
            let entry = LogEntry::parse(&leaf).map_err(|e| failed(&e))?;
            if let Some(record) = entry.decision() {
                let case = record.case(&blobs).map_err(|e| failed(&e))?;
                let group = groups.entry(record.position.writer.clone()).or_default();
                let admitted = group.add(record.position.sequence, record, &case);
                admitted.into_iter().for_each(|admitted| self.lock().learn(admitted));
            }
            self.lock().learnt_until(index + 1);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Decided> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on record about the owners of something that is made at this moment.
    pub(crate) fn inherited(&self, ownership: Option<&Ownership>, now: Timestamp) -> Option<Inherited> {
        let Some(Ownership::Made(links)) = ownership else { return None };
        let mut decided = self.lock();
        let mut known = Vec::new();
        for link in links {
            let key = link.owner.key();
            decided.used(&key, &link.template, now);
            known.extend(decided.find(&key, &link.template).cloned().map(|entry| (link.clone(), entry)));
        }
        (!known.is_empty()).then_some(Inherited { known })
    }

    /// Learns of an object that makes others, once it was admitted whole and on record.
    pub(crate) fn learn(&self, review: &Review, deployments: &[Deployment], ruled: &[Ruled], at: Timestamp) {
        let is_admitted = |one: &Ruled| one.decision.answer() == Answer::Admit;
        let Some(record) = ruled.first().and_then(|one| one.record.as_ref()).map(|(index, _)| *index) else {
            return;
        };
        let (Some((owner, template)), true) = (makes(review), ruled.iter().all(is_admitted)) else { return };
        let requester = deployments.first().map(|d| d.requester.clone());
        let is_met = ruled.iter().all(|one| one.decision.basis() == Basis::Policy);
        self.lock().learn(Admitted { uid: owner.key(), template, requester, record, at, is_met });
    }

    /// Writes down what was learnt, so that the next start reads less of the log. Where that fails, it reads more.
    pub(crate) fn keep(&self, engine: &Engine, is_last: bool, now: Timestamp) {
        let record = |event| engine.record(event).map_err(|e| e.to_string());
        if !engine.is_shared() {
            self.save(engine.log_size(), is_last, now, record).ok();
            return;
        }
        // what other replicas decided stands here too; what cannot be read now is read the next time
        let followed = |tree: &tlog::Files, size| self.follow(tree, size).map(|()| size);
        if let Ok(size) = engine.read_tree(followed) {
            self.save(size, is_last, now, record).ok();
        }
    }

    /// Writes the snapshot, once its digest is on record. A record that was made a moment ago may not be learnt yet: what
    /// the last call saw is.
    ///
    /// # Errors
    /// Why it is not written. Nothing is lost: the log is read again.
    fn save(
        &self,
        size: u64,
        is_last: bool,
        now: Timestamp,
        record: impl FnOnce(NewEvent) -> Result<(), String>,
    ) -> Result<(), String> {
        let text = {
            let mut decided = self.lock();
            let learnt = if is_last { size } else { self.seen.swap(size, Ordering::Relaxed) };
            if learnt.saturating_sub(self.saved.load(Ordering::Relaxed))
                < if is_last { 1 } else { WORTH_A_SNAPSHOT }
            {
                return Ok(());
            }
            decided.learnt_until(learnt);
            self.saved.store(learnt, Ordering::Relaxed);
            decided.to_json().to_string()
        };
        self.snapshot.write(&text, now, record)?;
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// What owners hand down to what is made of their template, nearest first.
#[derive(Clone, Debug)]
pub(crate) struct Inherited {
    known: Vec<(Link, Entry)>,
}

impl Inherited {
    /// Who asked: for the topmost owner, which is what a person wrote.
    pub(crate) fn heir(&self) -> Option<(&Link, &str)> {
        self.known.iter().rev().find_map(|(link, entry)| Some((link, entry.requester.as_deref()?)))
    }

    /// That it was decided before, the last time. Only what met the policy then may be made again: what a grant or a dry
    /// run let in is judged each time.
    pub(crate) fn recreated(&self) -> Option<Standing> {
        let met = self.known.iter().filter_map(|(link, entry)| Some((link, entry, entry.met?)));
        let (link, entry, (decided, at)) = met.max_by_key(|(_, _, (_, at))| *at)?;
        Some(Standing::Recreated { owner: link.owner.key(), template: entry.template.clone(), decided, at })
    }
}

/// The records of one review: what it deploys is admitted whole, or not at all.
#[derive(Debug, Default)]
struct Group {
    review: String,
    parts: usize,
    admitted: usize,
    met: usize,
    first: u64,
}

impl Group {
    /// Takes the next record; gives what was admitted, once its last part is there.
    fn add(&mut self, index: u64, record: &Record, case: &Case) -> Option<Admitted> {
        let told = Told::read(case)?;
        if self.review != told.review {
            *self = Self { review: told.review.clone(), first: index, ..Self::default() };
        }
        self.parts += 1;
        self.admitted += usize::from(record.decision == "admit");
        self.met += usize::from(record.decision == "admit" && record.basis == "policy");
        let (is_whole, is_met) = (self.admitted == told.parts, self.met == told.parts);
        (is_whole && self.parts == told.parts).then(|| told.admitted(case, self.first, is_met))
    }
}

/// What a case of ours says about the object that was asked for.
struct Told {
    review: String,
    parts: usize,
    owner: String,
    template: Digest,
}

impl Told {
    /// Nothing where the object makes nothing, or is no object of a cluster. What other choke points keep of a request is
    /// for who asked to choose: nothing of it is believed here.
    fn read(case: &Case) -> Option<Self> {
        if !case.request().chokepoint.starts_with("kubernetes/") {
            return None;
        }
        let Some(Json::Object(body)) = &case.request().body else { return None };
        let text = |key: &str| body.optional_string(key).ok().flatten().map(str::to_owned);
        Some(Self {
            review: text("uid")?,
            parts: usize::try_from(body.int("parts").ok()?).ok()?,
            owner: owner(body)?,
            template: Digest::parse(&text("template")?).ok()?,
        })
    }

    fn admitted(self, case: &Case, record: u64, is_met: bool) -> Admitted {
        let (requester, at): (_, Timestamp) = (case.request().requester.clone(), case.at());
        Admitted { uid: self.owner, template: self.template, requester, record, at, is_met }
    }
}

/// The name under which an object's templates are kept, as the body of a case has it.
fn owner(body: &Object) -> Option<String> {
    body.optional_string("owner").ok().flatten().map(str::to_owned)
}

#[cfg(test)]
mod tests;
