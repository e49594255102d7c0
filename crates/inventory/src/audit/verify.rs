//! The re-verification of everything live: gather the questions, judge them, name who is concerned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use attest::{Digest, Opener};
use chokepoint::{Entry, RecordError};
use policy::Submitted;
use tlog::{Blobs, Reader, Storage};

use super::fleet::{Fleet, QuestionId};
use super::judge::{Frozen, judge};
use super::report::{GroupId, Report, Subject, Turn};
use crate::error::InventoryError;
use crate::live::Live;
use crate::store::Inventory;

/// What runs, as questions. It is kept from one re-verification to the next, so that only new records are read.
#[derive(Debug, Default)]
pub struct Gathered {
    pub(super) fleet: Fleet,
    /// The question of each record that let something in that runs.
    pub(super) of_record: BTreeMap<u64, QuestionId>,
    /// Records whose case cannot be had, and why.
    pub(super) lost: BTreeMap<u64, String>,
    pub(super) undecided: u64,
}

/// Who is told everything live whose policy is not met: how it turns, the groups that it is in, and the report that has them.
pub type Tell<'t> = dyn FnMut(&Live, Turn, &[GroupId], &Report) + Send + 't;

/// The questions whose answer is not what it was, and the groups of each.
type Concerned = BTreeMap<QuestionId, (Turn, Vec<GroupId>)>;

/// What a re-verification came to.
#[derive(Debug)]
pub struct ReVerified {
    /// Counts and groups.
    pub report: Report,
    /// What runs that nobody decided: another finding, and not judged here.
    pub undecided: u64,
}

/// Where evidence is: on record, and attached since.
pub trait EvidenceSource: Sync {
    /// The bytes of evidence.
    fn fetch(&self, digest: &Digest) -> Option<Vec<u8>>;

    /// What was attached to an artifact beside what its record has: names and digests.
    fn attached(&self, artifact: &attest::Artifact) -> Vec<(String, Digest)>;
}

impl Gathered {
    /// Takes in what runs now: reads the cases of records that it has not seen, and counts who asks what.
    ///
    /// # Errors
    /// [`InventoryError`] where the inventory cannot be read.
    pub async fn take_in<S: Storage>(
        &mut self,
        inventory: &Inventory,
        reader: &Reader<'_, S>,
        blobs: &Blobs<&S>,
        evidence: &dyn EvidenceSource,
    ) -> Result<(), InventoryError> {
        let mut wanted = BTreeSet::new();
        let mut running: BTreeMap<u64, u64> = BTreeMap::new();
        self.undecided = 0;
        let mut pages = inventory.live(None);
        while let Some(page) = pages.next().await? {
            for live in page {
                let Some(record) = live.decided else {
                    self.undecided += 1;
                    continue;
                };
                *running.entry(record).or_default() += 1;
                if !self.of_record.contains_key(&record) {
                    wanted.insert(record);
                }
            }
        }
        // what nobody runs any more is forgotten with its questions: evidence that was attached since is looked for anew
        self.of_record.retain(|record, _| running.contains_key(record));
        self.read(&wanted, reader, blobs, evidence);
        self.fleet.nobody_runs();
        for (record, count) in running {
            if let Some(question) = self.of_record.get(&record) {
                self.fleet.run(*question, count);
            }
        }
        Ok(())
    }

    /// Reads cases in the order of the log: the entries of one bundle lie together.
    fn read<S: Storage>(
        &mut self,
        wanted: &BTreeSet<u64>,
        reader: &Reader<'_, S>,
        blobs: &Blobs<&S>,
        evidence: &dyn EvidenceSource,
    ) {
        const BUNDLE: u64 = 256;
        let mut bundle: Option<(u64, Vec<Vec<u8>>)> = None;
        for record in wanted {
            let number = record / BUNDLE;
            if bundle.as_ref().is_none_or(|(held, _)| *held != number) {
                bundle = Some((number, reader.entries(number).unwrap_or_default()));
            }
            let at = usize::try_from(record % BUNDLE).unwrap_or(usize::MAX);
            let leaf = bundle.as_ref().and_then(|(_, entries)| entries.get(at));
            match leaf.map(|leaf| self.read_one(*record, leaf, blobs, evidence)) {
                Some(Ok(())) => drop(self.lost.remove(record)),
                Some(Err(e)) => drop(self.lost.insert(*record, e.to_string())),
                None => drop(self.lost.insert(*record, "the record cannot be read".to_owned())),
            }
        }
    }

    fn read_one<S: Storage>(
        &mut self,
        index: u64,
        leaf: &[u8],
        blobs: &Blobs<&S>,
        evidence: &dyn EvidenceSource,
    ) -> Result<(), RecordError> {
        let Entry::Decision(record) = Entry::parse(leaf)? else { return Ok(()) };
        let case = record.case(blobs)?;
        let more = evidence.attached(case.artifact());
        if let Some(question) = self.fleet.add(&case, &more) {
            self.of_record.insert(index, question);
        }
        Ok(())
    }

    /// Has attached evidence looked for again: a new scan, a new review.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// How many different questions are asked.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.fleet.len()
    }

    /// Judges everything, and names who is concerned: `each` is told everything live whose policy is not met, with the
    /// groups that it is in.
    ///
    /// # Errors
    /// [`InventoryError`] where the inventory cannot be read.
    pub async fn judge(
        &self,
        inventory: &Inventory,
        frozen: Frozen<'_>,
        opener: &(dyn Opener + Sync),
        evidence: &dyn EvidenceSource,
        each: &mut Tell<'_>,
    ) -> Result<ReVerified, InventoryError> {
        let found: Mutex<(Report, Concerned)> = Mutex::default();
        judge(&self.fleet, frozen, threads(), opener, &|digest| evidence.fetch(digest), &|judged| {
            let question = judged.question;
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            let (turn, groups) = match &judged.decision {
                Ok(decision) => {
                    let turn = Turn::of(true, decision);
                    let artifact = question.artifact.short();
                    let running = question.running;
                    (turn, found.0.add(question.environment, &artifact, running, turn, decision))
                }
                Err(missing) => {
                    let why = missing.to_string();
                    (Turn::CannotDecide, found.0.add_unjudged(question.environment, question.running, &why))
                }
            };
            if turn != Turn::Same && question.running > 0 {
                found.1.insert(judged.id, (turn, groups));
            }
        });
        let (mut report, concerned) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.name(inventory, &mut report, &concerned, each).await?;
        Ok(ReVerified { report, undecided: self.undecided })
    }

    async fn name(
        &self,
        inventory: &Inventory,
        report: &mut Report,
        concerned: &Concerned,
        each: &mut Tell<'_>,
    ) -> Result<(), InventoryError> {
        if concerned.is_empty() && self.lost.is_empty() {
            return Ok(());
        }
        let mut pages = inventory.live(None);
        while let Some(page) = pages.next().await? {
            for live in &page {
                let Some(record) = live.decided else { continue };
                let subject = Subject::of(live);
                if let Some(why) = self.lost.get(&record) {
                    let groups = report.add_unjudged(&live.environment, 1, why);
                    report.name(&groups, &subject);
                    each(live, Turn::CannotDecide, &groups, report);
                }
                let question = self.of_record.get(&record);
                let Some((turn, groups)) = question.and_then(|q| concerned.get(q)) else { continue };
                report.name(groups, &subject);
                each(live, *turn, groups, report);
            }
        }
        Ok(())
    }
}

pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Subject {
    /// As people know what runs.
    #[must_use]
    pub fn of(live: &Live) -> Self {
        let digest = live.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        let artifact = format!("{}{digest}", live.artifact);
        let name = live.workload.clone().unwrap_or_else(|| live.artifact.clone());
        Self { name, artifact, record: live.decided }
    }
}

/// Evidence on record alone.
#[derive(Debug)]
pub struct OnRecord<'b, S>(pub &'b Blobs<S>);

impl<S: Storage + Sync> EvidenceSource for OnRecord<'_, S>
where
    Blobs<S>: Sync,
{
    fn fetch(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.0.get(digest).ok()
    }

    fn attached(&self, _: &attest::Artifact) -> Vec<(String, Digest)> {
        Vec::new()
    }
}

/// Names and digests of submitted evidence.
#[must_use]
pub fn named(submitted: &[Submitted]) -> Vec<(String, Digest)> {
    submitted.iter().map(|s| (s.name.clone(), Digest::sha256(&s.bytes))).collect()
}
