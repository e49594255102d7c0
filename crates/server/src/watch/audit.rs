//! The API server's audit log beside the decision log: every write that can bring code to a node has a record of ours.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use attest::{Digest, Json, Object};
use chokepoint::Record;
use jiff::{SignedDuration, Timestamp};
use kubernetes::Mapping;
use kubernetes::audit_event::{AuditEvent, Claim, Named, ObjectReference, digest_of};

use super::config::WatchConfig;
use super::finding::{Finding, FindingKind};
use super::records::Records;

/// The API server's clock and ours may differ by this much.
const SKEW: SignedDuration = SignedDuration::from_secs(120);
/// So many of the newest records are remembered as named already.
const REMEMBERED: usize = 200_000;
/// Counts are kept by the hour, for so many.
const HOURS: usize = 24 * 400;

/// What was counted, in all or in an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Writes that can bring code to a node, and were stored.
    pub writes: u64,
    /// Those with records of ours.
    pub joined: u64,
    /// Those in which there was nothing to judge.
    pub nothing: u64,
    /// Those where nobody is to decide.
    pub excepted: u64,
    /// Those that went on because nobody of ours answered.
    pub failed_open: u64,
    /// Those that nobody of ours was asked about, or whose records are not theirs.
    pub wrong: u64,
    /// Lines that are no events.
    pub unreadable: u64,
}

/// A write that went on without a decision, to be evaluated now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reevaluation {
    /// The request's id in the audit log.
    pub id: String,
    /// What was written.
    pub object: ObjectReference,
    /// Its images, where the audit policy keeps the object.
    pub images: Option<Vec<String>>,
    /// Who wrote it.
    pub who: String,
    /// Which webhooks did not answer.
    pub webhooks: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// The join of one cluster.
#[derive(Debug)]
pub struct AuditJoin {
    mapping: Mapping,
    config: WatchConfig,
    /// Which request named a record, and in which order.
    named: BTreeMap<Digest, String>,
    order: VecDeque<Digest>,
    total: Counts,
    hours: BTreeMap<Timestamp, Counts>,
    open: Vec<Reevaluation>,
}

impl AuditJoin {
    /// A join for a cluster. A mapping without a cluster's name takes records of every cluster.
    #[must_use]
    pub fn new(mapping: Mapping, config: WatchConfig) -> Self {
        let (named, order, hours) = (BTreeMap::new(), VecDeque::new(), BTreeMap::new());
        Self { mapping, config, named, order, total: Counts::default(), hours, open: Vec::new() }
    }

    /// Joins one event.
    ///
    /// # Errors
    /// Why the records cannot be looked up: the event is to be brought again.
    pub fn take(&mut self, event: &AuditEvent, records: &mut dyn Records) -> Result<Option<Finding>, String> {
        let claim = event.claim(&self.mapping);
        let object = event.object.clone().unwrap_or_default();
        let is_write = claim != Claim::Irrelevant;
        let is_excepted = is_write && self.config.is_excepted(&object.namespace, &self.mapping);
        let mut counts = Counts { events: 1, writes: u64::from(is_write), ..Counts::default() };
        let found = match claim {
            Claim::Irrelevant => None,
            Claim::Silent if is_excepted => {
                counts.excepted = 1;
                None
            }
            Claim::Nothing(_) => {
                counts.nothing = 1;
                None
            }
            Claim::Silent => {
                Some((FindingKind::UndecidedWrite, "nobody of ours was asked about it".to_owned()))
            }
            Claim::Odd(why) => Some((FindingKind::RecordDiffers, why)),
            Claim::FailedOpen(webhooks) => {
                counts.failed_open = 1;
                let why = format!("{} did not answer, and it went on", webhooks.join(", "));
                // an event that is brought again is one task
                if self.open.iter().all(|one| one.id != event.id) {
                    self.open.push(reevaluation(event, &object, webhooks));
                }
                Some((FindingKind::FailedOpen, why))
            }
            Claim::Recorded(named) => {
                let found = self.recorded(event, &object, &named, records)?;
                counts.joined = u64::from(found.is_none());
                found
            }
        };
        counts.wrong = u64::from(found.is_some() && counts.failed_open == 0);
        self.count(event.at, counts);
        Ok(found.map(|(kind, why)| self.finding(kind, event, &object, &why)))
    }

    /// Joins what is no event: it may have been one that somebody hides.
    pub fn take_unreadable(&mut self, place: &str, why: &str, at: Timestamp) -> Finding {
        self.count(at, Counts { unreadable: 1, ..Counts::default() });
        let details = Object::new().with("place", place).with("why", why);
        Finding::new(FindingKind::Unreadable, place, at, &format!("{place} of the audit log: {why}"), details)
    }

    /// What is to be evaluated now. Whoever takes it has to see to it.
    pub fn drain(&mut self) -> Vec<Reevaluation> {
        std::mem::take(&mut self.open)
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.total
    }

    /// What was counted in each hour.
    pub fn hours(&self) -> impl Iterator<Item = (Timestamp, Counts)> {
        self.hours.iter().map(|(hour, counts)| (*hour, *counts))
    }

    fn recorded(
        &mut self,
        event: &AuditEvent,
        object: &ObjectReference,
        named: &[Named],
        records: &mut dyn Records,
    ) -> Result<Option<(FindingKind, String)>, String> {
        let mut found = Vec::new();
        for one in named {
            let Some(record) = records.find(one)? else {
                let why = format!("no log of ours has the record {} that it names: {}", one.index, one.leaf);
                return Ok(Some((FindingKind::RecordUnknown, why)));
            };
            if let Some(why) = self.misfit(&record, event, object) {
                return Ok(Some((FindingKind::RecordDiffers, format!("record {} {why}", one.index))));
            }
            found.push(record);
        }
        if let Some(image) = uncovered(event, &found) {
            let why = format!("no record that it names is about {image}");
            return Ok(Some((FindingKind::RecordDiffers, why)));
        }
        for one in named {
            if let Some(other) = self.remember(&one.leaf, &event.id) {
                let why = format!("record {} was named by the request {other} before", one.index);
                return Ok(Some((FindingKind::RecordReused, why)));
            }
        }
        Ok(None)
    }

    /// Why a record is not about this write, where it is not.
    fn misfit(&self, record: &Record, event: &AuditEvent, object: &ObjectReference) -> Option<String> {
        if record.decision != "admit" {
            return Some(format!("says {}, and it was stored", record.decision));
        }
        let cluster = &self.mapping.cluster;
        if !cluster.is_empty() && record.chokepoint != format!("kubernetes/{cluster}") {
            return Some(format!("is of {}", record.chokepoint));
        }
        let name = record.chokepoint.strip_prefix("kubernetes/").unwrap_or_default();
        let place = record.workload.as_deref().and_then(|w| w.strip_prefix(name)?.strip_prefix('/'));
        let namespace = place.filter(|p| p.split('/').count() == 3).and_then(|p| p.split('/').next());
        if namespace.unwrap_or_default() != object.namespace {
            let workload = record.workload.as_deref().unwrap_or("no workload");
            return Some(format!("is about {workload}"));
        }
        let from = event.received.checked_sub(SKEW).unwrap_or(Timestamp::MIN);
        let to = event.at.checked_add(SKEW).unwrap_or(Timestamp::MAX);
        let is_then = from <= record.at && record.at <= to;
        (!is_then).then(|| format!("is of {}, and the write of {}", record.at, event.at))
    }

    /// Remembers who named a record; gives who else did before.
    fn remember(&mut self, leaf: &Digest, id: &str) -> Option<String> {
        if let Some(before) = self.named.get(leaf) {
            return Some(before.clone()).filter(|before| before != id);
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.named.remove(&oldest);
        }
        self.named.insert(leaf.clone(), id.to_owned());
        self.order.push_back(leaf.clone());
        None
    }

    fn count(&mut self, at: Timestamp, more: Counts) {
        self.total.add(more);
        let hour = Timestamp::from_second(at.as_second().div_euclid(3600) * 3600).unwrap_or(at);
        self.hours.entry(hour).or_default().add(more);
        if self.hours.len() > HOURS {
            self.hours.pop_first();
        }
    }

    fn finding(&self, kind: FindingKind, event: &AuditEvent, object: &ObjectReference, why: &str) -> Finding {
        let title = format!("{} {} {object}: {why}", event.who(), past(&event.verb));
        let images = event.images.clone().map(|all| all.into_iter().map(Json::from).collect::<Vec<_>>());
        let mut details = Object::new().with("audit-id", event.id.as_str()).with("user", event.user.as_str());
        details.set_some("acting-as", event.acting_as.as_deref());
        details.set("addresses", event.addresses.clone());
        details.set("verb", event.verb.as_str());
        details.set("object", object);
        details.set_some("images", images);
        details.set("why", why);
        let about = format!("{}/{}", self.mapping.cluster, event.id);
        Finding::new(kind, &about, event.at, &title, details)
    }
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.events += more.events;
        self.writes += more.writes;
        self.joined += more.joined;
        self.nothing += more.nothing;
        self.excepted += more.excepted;
        self.failed_open += more.failed_open;
        self.wrong += more.wrong;
        self.unreadable += more.unreadable;
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Object::new()
            .with("events", number(self.events))
            .with("writes", number(self.writes))
            .with("joined", number(self.joined))
            .with("nothing", number(self.nothing))
            .with("excepted", number(self.excepted))
            .with("failed-open", number(self.failed_open))
            .with("wrong", number(self.wrong))
            .with("unreadable", number(self.unreadable))
            .into()
    }
}

/// The first image with a digest that was stored, and that no record is about.
fn uncovered(event: &AuditEvent, records: &[Record]) -> Option<String> {
    let known: BTreeSet<&Digest> = records.iter().filter_map(|record| record.digest.as_ref()).collect();
    let is_known = |image: &String| digest_of(image).is_none_or(|digest| known.contains(&digest));
    event.images.iter().flatten().find(|image| !is_known(image)).cloned()
}

fn reevaluation(event: &AuditEvent, object: &ObjectReference, webhooks: Vec<String>) -> Reevaluation {
    Reevaluation {
        id: event.id.clone(),
        object: object.clone(),
        images: event.images.clone(),
        who: event.who(),
        webhooks,
        at: event.at,
    }
}

fn past(verb: &str) -> &'static str {
    match verb {
        "create" => "created",
        "patch" => "patched",
        _ => "updated",
    }
}

#[cfg(test)]
mod tests;
