//! The one thread that records: it makes durable together what it takes from the queue.
//!
//! Nothing is delayed on purpose: while one batch is being written, the next one gathers.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, mpsc};

use attest::json::MAX_INT;
use attest::{Digest, Json, Object};
use jiff::Timestamp;
use tlog::{AppendError, Batch, Fill, Mark, Promise, Purpose, Storage};

use crate::awaiter::Due;
use crate::committer::{Group, Shared};
use crate::entry::Position;
use crate::error::DecideError;
use crate::event::{EventKind, NewEvent};
use crate::prepared::Prepared;
use crate::record::leaf_digest;

/// How many digests of blobs that are stored already are remembered: some megabytes.
const REMEMBERED: usize = 32 * 1024;
/// What may lie where, from the ring to the end of the reserve.
const PURPOSES: [Purpose; 3] = [Purpose::Ordinary, Purpose::Outage, Purpose::Reserve];

pub(crate) struct Recorder<S> {
    shared: Arc<Shared<S>>,
    author: Author,
    remembered: Remembered,
    /// What was last put on record of the spool: whether its target is out of reach, and its mark.
    told: (bool, Mark),
    /// Since when it is so.
    since: Option<Timestamp>,
    /// Who answers where the own disk is not enough.
    awaiting: Option<mpsc::Sender<Due>>,
}

/// Who writes, and what it wrote last.
#[derive(Debug)]
pub(crate) struct Author {
    pub(crate) name: String,
    pub(crate) epoch: u64,
    pub(crate) previous: Option<Digest>,
    /// The version of the trust root when it opened, for its own events.
    pub(crate) trust_root_version: u64,
}

impl<S: Storage + Clone + Send + Sync + 'static> Recorder<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, author: Author, awaiting: Option<mpsc::Sender<Due>>) -> Self {
        let (remembered, told) = (Remembered::default(), (false, Mark::Low));
        Self { shared, author, remembered, told, since: None, awaiting }
    }

    pub(crate) fn run(mut self) {
        while let Some(groups) = self.shared.take() {
            if let Err((e, groups)) = self.record(groups) {
                let e = DecideError::Append(Arc::new(e));
                groups.into_iter().for_each(|group| group.answer(Err(e.clone())));
                return self.shared.refuse_all();
            }
        }
    }

    /// Records what there is room for, and tells the others that there is none. Each turn of the loop has less to record,
    /// and may put it where the one before may not.
    fn record(&mut self, groups: Vec<Group>) -> Result<(), (AppendError, Vec<Group>)> {
        let (mut groups, empty): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|group| !group.prepared.is_empty());
        empty.into_iter().for_each(|group| group.answer(Ok(Vec::new())));
        let awaited = groups.iter().find(|group| group.reply.is_some());
        let Some(at) = awaited.and_then(|group| group.prepared.first()).map(|prepared| prepared.at) else {
            self.shared.put_back(groups);
            return Ok(());
        };
        for purpose in PURPOSES {
            self.tell(&mut groups, at);
            let (new, bytes) = self.measure(&groups);
            match self.shared.log.await_room(bytes, purpose) {
                Ok(()) => return self.commit(groups, new, purpose, at),
                Err(AppendError::Full) => {}
                Err(e) => return Err((e, groups)),
            }
            let may_stay = |group: &Group| group.reply.is_none() || group.purpose() > purpose;
            let (left, refused): (Vec<_>, Vec<_>) = groups.into_iter().partition(may_stay);
            refused.into_iter().for_each(|group| group.answer(Err(DecideError::Full)));
            groups = left;
            self.tell(&mut groups, at);
            if groups.iter().all(|group| group.reply.is_none() && group.purpose() < Purpose::Reserve) {
                break;
            }
        }
        // everybody who waited is told; what travels along waits for the next one
        self.shared.put_back(groups);
        Ok(())
    }

    /// The blobs that are not durable yet, and how long the batch is.
    fn measure(&self, groups: &[Group]) -> (BTreeSet<Digest>, usize) {
        let (mut new, mut bytes) = (BTreeSet::new(), 0);
        for prepared in groups.iter().flat_map(|group| &group.prepared) {
            bytes += prepared.leaf_length + 4;
            for (digest, part) in &prepared.parts {
                if !self.remembered.has(digest) && !new.contains(digest) {
                    new.insert(digest.clone());
                    bytes += part.len() + 4;
                }
            }
        }
        (new, bytes)
    }

    /// One write and one sync for all of them.
    fn commit(
        &mut self,
        mut groups: Vec<Group>,
        new: BTreeSet<Digest>,
        purpose: Purpose,
        at: Timestamp,
    ) -> Result<(), (AppendError, Vec<Group>)> {
        let (mut blobs, mut left) = (Vec::new(), new.clone());
        for group in &mut groups {
            for prepared in &mut group.prepared {
                if group.reply.is_none() {
                    prepared.move_to(at);
                }
                let parts = std::mem::take(&mut prepared.parts);
                blobs.extend(
                    parts.into_iter().filter(|(digest, _)| left.remove(digest)).map(|(_, part)| part),
                );
            }
        }
        let author = &mut self.author;
        let make =
            |first| Batch { leaves: author.write(first, groups.iter().flat_map(|g| &g.prepared)), blobs };
        let promises = match self.shared.log.commit_for(purpose, make) {
            Ok(promises) => promises,
            Err(e) => return Err((e, groups)),
        };
        // only now: a digest is remembered because its bytes are durable
        new.into_iter().for_each(|digest| self.remembered.add(digest));
        for prepared in groups.iter().flat_map(|group| &group.prepared) {
            self.shared.last_seen.raise(prepared.at);
            self.shared.last_own.raise(prepared.at);
        }
        self.answer(groups, promises);
        Ok(())
    }

    /// Tells everybody, each group its own.
    fn answer(&self, groups: Vec<Group>, promises: Vec<Promise>) {
        let mut promises = promises.into_iter();
        for group in groups {
            let own: Vec<Promise> = promises.by_ref().take(group.prepared.len()).collect();
            match (&self.awaiting, group.is_admission, group.reply) {
                (Some(awaiting), true, Some(reply)) => {
                    // where that thread is gone, the answer is dropped, and who waits is told by the channel
                    awaiting.send(Due::new(reply, own)).ok();
                }
                (_, _, Some(reply)) => reply(Ok(own)),
                (_, _, None) => {}
            }
        }
    }

    /// Puts on record that the spool took over, passed a mark, or was drained; once each.
    fn tell(&mut self, groups: &mut Vec<Group>, at: Timestamp) {
        let fill = self.shared.log.fill();
        let now = (fill.is_cut_off, fill.mark);
        let is_worse = now.1 > self.told.1 || (now.0 && !self.told.0);
        let is_over = now == (false, Mark::Low) && self.told != now;
        if !is_worse && !is_over {
            return;
        }
        let since = self.since.unwrap_or(at);
        let event =
            NewEvent { at, kind: EventKind::Degraded, body: degraded(&fill, since), parts: Vec::new() };
        let Ok(event) = Prepared::event(event, self.author.trust_root_version) else { return };
        self.told = (now.0, if is_over { Mark::Low } else { now.1.max(self.told.1) });
        self.since = (!is_over).then_some(since);
        // an epoch begins with its own event, whatever else there is to tell
        let first = groups.iter().take_while(|group| group.reply.is_none()).count();
        groups.insert(first, Group::along(event));
    }
}

/// What is on record of a spool that is not just passed through.
fn degraded(fill: &Fill, since: Timestamp) -> Object {
    let number = |n: u64| Json::Int(i64::try_from(n).unwrap_or(MAX_INT).min(MAX_INT));
    let state = match fill {
        Fill { is_cut_off: true, .. } => "cut-off",
        Fill { mark: Mark::Low, .. } => "drained",
        _ => "behind",
    };
    Object::new()
        .with("state", state)
        .with("mark", i64::from(fill.mark.percent()))
        .with("used", number(fill.used))
        .with("capacity", number(fill.capacity))
        .with("since", since.to_string())
}

impl Author {
    /// The leaves of these entries, each of which names the one before it.
    fn write<'p>(&mut self, first: u64, entries: impl Iterator<Item = &'p Prepared>) -> Vec<Vec<u8>> {
        let mut leaf = |(sequence, prepared): (u64, &Prepared)| {
            let (writer, previous) = (self.name.clone(), self.previous.take());
            let leaf = prepared.leaf(&Position { writer, epoch: self.epoch, sequence, previous });
            self.previous = leaf_digest(&leaf);
            leaf
        };
        (first..).zip(entries).map(&mut leaf).collect()
    }
}

/// Digests of blobs that are durable, the newest ones.
#[derive(Default)]
struct Remembered {
    digests: BTreeSet<Digest>,
    order: VecDeque<Digest>,
}

impl Remembered {
    fn has(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    fn add(&mut self, digest: Digest) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
        self.order.push_back(digest.clone());
        self.digests.insert(digest);
    }
}
