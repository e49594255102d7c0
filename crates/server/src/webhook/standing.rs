//! What was decided for which owner, kept in memory and in a snapshot: an index of the log, which is read to its end
//! when the process starts.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use attest::{Digest, Json, Object};
use chokepoint::Record;
use jiff::Timestamp;
use kubernetes::{Admitted, Decided, Entry};
use policy::Case;
use tlog::{Blobs, Reader, Storage, write_durably};

/// Owners that are remembered: ReplicaSets, Jobs and the like of a large cluster.
const OWNERS: usize = 200_000;
/// Records that are read at most where there is no snapshot; what is older has not stood for long.
const RECORDS: u64 = 200_000;
const FILE: &str = "decided.json";

/// The index, shared by all threads.
#[derive(Debug)]
pub(crate) struct Standings {
    decided: Mutex<Decided>,
    file: PathBuf,
}

impl Standings {
    /// Reads the snapshot, and what the log has beyond it. A snapshot that cannot be read is made anew.
    ///
    /// # Errors
    /// Why the log cannot be read.
    pub(crate) fn open<S: Storage + Clone>(state: &Path, storage: &S, size: u64) -> Result<Self, String> {
        let file = state.join(FILE);
        let mut decided = snapshot(&file).filter(|d| d.learnt() <= size).unwrap_or_else(|| Decided::new(OWNERS));
        let (reader, blobs) = (Reader::new(storage, size), Blobs::new(storage.clone()));
        let mut group = Group::default();
        for index in decided.learnt().max(size.saturating_sub(RECORDS))..size {
            let failed = |e: &dyn std::fmt::Display| format!("record {index} of the log: {e}");
            let leaf = reader.entry(index).map_err(|e| failed(&e))?;
            let record = Record::parse(&leaf).map_err(|e| failed(&e))?;
            let case = record.case(&blobs).map_err(|e| failed(&e))?;
            group.add(index, &record, &case).into_iter().for_each(|admitted| decided.learn(admitted));
        }
        decided.learnt_until(size);
        Ok(Self { decided: Mutex::new(decided), file })
    }

    fn lock(&self) -> MutexGuard<'_, Decided> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on record about a template of an owner.
    pub(crate) fn find(&self, owner: &str, template: &Digest) -> Option<Entry> {
        self.lock().find(owner, template).cloned()
    }

    /// Learns of an object that was admitted with all its parts.
    pub(crate) fn learn(&self, admitted: Admitted) {
        self.lock().learn(admitted);
    }

    /// Writes the snapshot: everything before record `size` is in it.
    ///
    /// # Errors
    /// Why it is not written. Nothing is lost: the log is read again.
    pub(crate) fn save(&self, size: u64) -> Result<(), String> {
        let text = {
            let mut decided = self.lock();
            decided.learnt_until(size);
            decided.to_json().to_string()
        };
        write_durably(&self.file, text.as_bytes()).map_err(|e| format!("{}: {e}", self.file.display()))
    }
}

fn snapshot(file: &Path) -> Option<Decided> {
    let bytes = std::fs::read(file).ok()?;
    let limits = attest::json::Limits { bytes: 1 << 30, values: 50_000_000, ..Default::default() };
    let value = attest::json::parse_with(&bytes, limits).ok()?;
    Decided::read(&value, OWNERS).ok()
}

/// The records of one review: what it deploys is admitted whole, or not at all.
#[derive(Default)]
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
        let is_whole = self.parts == told.parts && self.admitted == told.parts;
        is_whole.then(|| told.admitted(case, self.first, self.met == told.parts))
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
    /// Nothing where the object makes nothing, or is no object of a cluster.
    fn read(case: &Case) -> Option<Self> {
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
