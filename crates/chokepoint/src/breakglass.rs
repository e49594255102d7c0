//! What breakglass let in, and who has looked at it since: learnt from the log.
//!
//! A grant is told by the digest of its signed bytes, never by its id: its giver chose that. A review counts where its
//! signature does, again each time the log is read, and for the records that it names: what is let in later is open again.

mod budget;
mod check;

use std::collections::BTreeMap;

use attest::breakglass::ReviewVerdict;
use attest::json::{Limits, parse_with};
use attest::merkle::leaf_hash;
use attest::time::{Span, parse_time};
use attest::{Algorithm, Digest, Json, Object, TrustRoot};
use jiff::{SignedDuration, Timestamp};
use policy::{Book, Guardrails, SourceFile};

pub use budget::Budget;
pub use check::{Checked, ReviewRefused};

use crate::entry::Entry;
use crate::event::{Event, EventKind};
use crate::record::Record;

/// Reads a part that lies beside the log, by its digest.
pub type Parts<'a> = dyn Fn(&Digest) -> Option<Vec<u8>> + 'a;

/// Every grant that let something in.
#[derive(Clone, Debug, Default)]
pub struct Reviews {
    grants: BTreeMap<Digest, Used>,
    /// How long a policy gives its reviewers, by the digest of its text.
    within: BTreeMap<Digest, Option<Span>>,
}

/// A grant that let something in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// SHA-256 of the signed grant.
    pub digest: Digest,
    /// What its giver calls it.
    pub id: String,
    /// The environment in which it holds.
    pub environment: String,
    /// Who gave it.
    pub person: String,
    /// Why.
    pub reason: String,
    /// Where the emergency is written down.
    pub ticket: String,
    /// From when on it does not hold any more, where that could be read.
    pub expires: Option<Timestamp>,
    /// When it let something in first.
    pub first: Timestamp,
    /// What it let in, by the hash of the record's leaf.
    pub records: BTreeMap<Digest, LetIn>,
    /// Who has looked at it, in the order of the log.
    pub reviews: Vec<Reviewed>,
    /// Events that say they are reviews of it, and are none: their places, and why.
    pub refused: Vec<(u64, String)>,
}

/// A deployment that a grant let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetIn {
    /// Its record's place in the log.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// What, short.
    pub artifact: String,
    /// What runs it.
    pub workload: Option<String>,
    /// Who asked.
    pub requester: Option<String>,
    /// Until when somebody must have looked at it; at once, where nobody can say what its policy said.
    pub due: Timestamp,
    /// Whether somebody has.
    pub is_reviewed: bool,
}

/// A review that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// Its place in the log.
    pub index: u64,
    /// Who.
    pub person: String,
    /// When, as they say.
    pub at: Timestamp,
    /// What they found.
    pub verdict: ReviewVerdict,
    /// Why.
    pub comment: String,
    /// SHA-256 of the signed review.
    pub envelope: Digest,
    /// How many records it is about.
    pub records: usize,
}

impl Used {
    /// What nobody has looked at.
    pub fn unreviewed(&self) -> impl Iterator<Item = (&Digest, &LetIn)> {
        self.records.iter().filter(|(_, one)| !one.is_reviewed)
    }

    /// Until when somebody must look at it; nothing where all of it was looked at.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.unreviewed().map(|(_, one)| one.due).min()
    }

    /// Whether the time for a review has passed without one.
    #[must_use]
    pub fn is_overdue(&self, at: Timestamp) -> bool {
        self.due().is_some_and(|due| at >= due)
    }
}

impl Reviews {
    /// Learns a leaf of the log, in the log's order. Without a trust root no review counts: nobody knows whose it is.
    pub fn learn(&mut self, index: u64, leaf: &[u8], parts: &Parts<'_>, root: Option<&TrustRoot>) {
        match Entry::parse(leaf) {
            Ok(Entry::Decision(record)) if record.basis == "breakglass" => {
                let hash = Digest::from_bytes(Algorithm::Sha256, leaf_hash(leaf).to_vec());
                if let Ok(hash) = hash {
                    self.let_in(index, hash, &record, parts);
                }
            }
            Ok(Entry::Event(event)) if event.kind == EventKind::BreakglassReview => {
                self.reviewed(index, &event, parts, root);
            }
            _ => {}
        }
    }

    /// Learns a record whose basis is breakglass, by its place and the hash of its leaf.
    pub fn let_in(&mut self, index: u64, leaf: Digest, record: &Record, parts: &Parts<'_>) {
        let decision = parts(&record.decided).and_then(|bytes| parse(&bytes));
        let decision = decision.as_ref().and_then(|d| d.as_object().ok());
        let grant = decision.and_then(|d| d.optional_object("grant").ok()?);
        let digest = grant.and_then(|g| Digest::parse(g.string("digest").ok()?).ok());
        // a grant that cannot be read is one of its own, named by its record: it must not hide under another
        let digest = digest.unwrap_or_else(|| leaf.clone());
        let due = decision.and_then(|d| self.reviewed_within(d, record, parts));
        let due = due.and_then(|s| record.at.checked_add(SignedDuration::from_secs(s.as_seconds())).ok());
        let one = LetIn {
            index,
            at: record.at,
            artifact: record.artifact.clone(),
            workload: record.workload.clone(),
            requester: record.requester.clone(),
            due: due.unwrap_or(record.at),
            is_reviewed: false,
        };
        let used = self.grants.entry(digest.clone()).or_insert_with(|| begun(digest, grant, record));
        used.first = used.first.min(record.at);
        used.records.entry(leaf).or_insert(one);
    }

    /// What the policy that was in force says, and no later one: else a change of it would give more time.
    fn reviewed_within(&mut self, decision: &Object, record: &Record, parts: &Parts<'_>) -> Option<Span> {
        let policy = decision.object("verdict").ok()?.optional_object("policy").ok()??;
        let digest = Digest::parse(policy.string("digest").ok()?).ok()?;
        if let Some(known) = self.within.get(&digest) {
            return *known;
        }
        let files = parse(&parts(&record.book)?)?;
        let text = files.as_object().ok()?.array("files").ok()?.iter().find_map(|file| {
            let named = Digest::parse(file.as_object().ok()?.string("digest").ok()?).ok()?;
            if named == digest { String::from_utf8(parts(&named)?).ok() } else { None }
        })?;
        let file = SourceFile { name: "policy.yaml".to_owned(), text };
        let book = Book::load(vec![file], &Guardrails::none()).ok()?;
        let within = book.policies().first().and_then(|p| Some(p.breakglass()?.reviewed_within));
        self.within.insert(digest, within);
        within
    }

    fn reviewed(&mut self, index: u64, event: &Event, parts: &Parts<'_>, root: Option<&TrustRoot>) {
        let named = event.body.string("grant_digest").ok().and_then(|d| Digest::parse(d).ok());
        let result = match (event.parts.first().and_then(parts), root) {
            (None, _) => Err("its signed bytes are missing".to_owned()),
            (_, None) => Err("no trust root says whose it is".to_owned()),
            (Some(bytes), Some(root)) => self.check(root, &bytes, event.at).map_err(|e| e.to_string()),
        };
        match result {
            Ok(checked) => self.keep(index, checked),
            Err(why) => {
                let used = named.and_then(|digest| self.grants.get_mut(&digest));
                if let Some(used) = used {
                    used.refused.push((index, why));
                }
            }
        }
    }

    /// Takes a review that was checked, and is on record at this place.
    pub fn keep(&mut self, index: u64, checked: Checked) {
        let Some(used) = self.grants.get_mut(&checked.review.digest) else { return };
        for leaf in &checked.review.records {
            if let Some(one) = used.records.get_mut(leaf) {
                one.is_reviewed = true;
            }
        }
        used.reviews.push(Reviewed {
            index,
            person: checked.person,
            at: checked.review.reviewed,
            verdict: checked.review.verdict,
            comment: checked.review.comment,
            envelope: checked.envelope,
            records: checked.review.records.len(),
        });
    }

    /// The grants that let something in, in the order of their digests.
    pub fn grants(&self) -> impl Iterator<Item = &Used> {
        self.grants.values()
    }

    /// The grant of a digest.
    #[must_use]
    pub fn grant(&self, digest: &Digest) -> Option<&Used> {
        self.grants.get(digest)
    }

    /// How many grants let something in within a span before a time.
    #[must_use]
    pub fn used_within(&self, span: Span, at: Timestamp) -> usize {
        let is_recent = |one: &LetIn| Span::between(one.at, at) <= span;
        self.grants().filter(|used| used.records.values().any(is_recent)).count()
    }
}

fn begun(digest: Digest, grant: Option<&Object>, record: &Record) -> Used {
    let said = |key: &str| grant.and_then(|g| g.string(key).ok()).unwrap_or("not known").to_owned();
    Used {
        id: record.grant.clone().unwrap_or_else(|| said("id")),
        environment: record.environment.clone(),
        person: said("person"),
        reason: said("reason"),
        ticket: said("ticket"),
        expires: grant.and_then(|g| parse_time(g.string("expires").ok()?)),
        first: record.at,
        records: BTreeMap::new(),
        reviews: Vec::new(),
        refused: Vec::new(),
        digest,
    }
}

/// As large and as deep as what a decision may hold.
fn parse(bytes: &[u8]) -> Option<Json> {
    parse_with(bytes, Limits { bytes: 64 << 20, depth: 128, values: 4_000_000, exact_numbers: true }).ok()
}
