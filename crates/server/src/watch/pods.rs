//! What is kept of every Pod: the few fields that the join needs.

use std::collections::BTreeMap;
use std::time::Instant;

use attest::Json;
use cluster::{ClusterError, Seen};
use kubernetes::running::Pod;

/// One Pod.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) pod: Pod,
    /// When it was seen like this first, by our own clock.
    pub(crate) since: Instant,
    /// The decision behind each container, in their order, as far as there is one: its place, and the workload.
    pub(crate) joined: Vec<Option<(u64, String)>>,
    /// What was raised about it.
    pub(crate) raised: Vec<String>,
    /// Under which names it may be on record; nothing before its owners were looked up.
    pub(crate) names: Option<Vec<String>>,
    /// When it was joined last as it is now; nothing where it was not.
    pub(crate) asked: Option<Instant>,
    list: u64,
}

/// All Pods.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    pub(crate) all: BTreeMap<String, Kept>,
    /// What was raised about Pods that are gone.
    pub(crate) over: Vec<String>,
    /// Pods that could not be read: by namespace and name, why.
    pub(crate) unreadable: BTreeMap<String, String>,
    /// Why nobody sees what runs now, and since when; nothing where somebody does.
    pub(crate) broken: Option<(ClusterError, Instant)>,
    /// Whether a list was complete once.
    pub(crate) is_whole: bool,
    /// The number of the list that is under way.
    list: u64,
}

/// A Pod that cannot be read is named once; so many at most.
const MAX_UNREADABLE: usize = 1000;

impl Pods {
    /// Takes in what a watch tells.
    pub(crate) fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Begin => self.list += 1,
            Seen::Object(object) => self.keep(&object),
            Seen::Gone(object) => self.forget(&object),
            Seen::Complete => {
                self.sweep();
                (self.is_whole, self.broken) = (true, None);
            }
            // a list that is under way is not what runs
            Seen::Current => self.broken = None,
            Seen::Broken(error, _) => {
                let since = self.broken.as_ref().map_or_else(Instant::now, |(_, since)| *since);
                self.broken = Some((error, since));
            }
        }
    }

    fn keep(&mut self, object: &Json) {
        let read = object.as_object().and_then(Pod::read);
        let pod = match read {
            Ok(pod) => pod,
            Err(e) => {
                if self.unreadable.len() < MAX_UNREADABLE {
                    self.unreadable.insert(name(object), e.to_string());
                }
                return;
            }
        };
        let list = self.list;
        match self.all.get_mut(&pod.uid) {
            Some(kept) => {
                kept.list = list;
                if kept.pod != pod {
                    kept.change(pod);
                }
            }
            None => {
                let joined = vec![None; pod.containers.len()];
                let kept = Kept {
                    since: Instant::now(),
                    joined,
                    raised: Vec::new(),
                    names: None,
                    asked: None,
                    list,
                    pod,
                };
                self.all.insert(kept.pod.uid.clone(), kept);
            }
        }
    }

    fn forget(&mut self, object: &Json) {
        let metadata = object.as_object().and_then(|o| o.object("metadata"));
        let uid = metadata.and_then(|m| m.string("uid")).unwrap_or_default();
        if let Some(kept) = self.all.remove(uid) {
            self.over.extend(kept.raised);
        }
        self.unreadable.remove(&name(object));
    }

    /// What was not in the list that is complete now is gone.
    fn sweep(&mut self) {
        let list = self.list;
        for (_, kept) in self.all.extract_if(.., |_, kept| kept.list != list) {
            self.over.extend(kept.raised);
        }
    }
}

impl Kept {
    /// The same Pod, as it is now: what is the same in it keeps its decision.
    fn change(&mut self, pod: Pod) {
        let same = |old: &kubernetes::running::Container, new: &kubernetes::running::Container| {
            old.name == new.name && old.role == new.role && old.image == new.image && old.runs == new.runs
        };
        let before = std::mem::replace(&mut self.pod, pod);
        if before.controller != self.pod.controller {
            self.names = None;
        }
        // what ended or began may have to be asked about again
        self.asked = None;
        let joined = std::mem::take(&mut self.joined);
        let decided: Vec<_> = before.containers.into_iter().zip(joined).collect();
        let is_known = |new: &kubernetes::running::Container| decided.iter().any(|(old, _)| same(old, new));
        if !self.pod.containers.iter().all(is_known) {
            self.since = Instant::now();
        }
        let found =
            |new| decided.iter().find(|(old, _)| same(old, new)).and_then(|(_, joined)| joined.clone());
        self.joined = self.pod.containers.iter().map(found).collect();
    }
}

fn name(object: &Json) -> String {
    let metadata = object.as_object().and_then(|o| o.object("metadata")).ok();
    let text = |key: &str| metadata.and_then(|m| m.string(key).ok()).unwrap_or("?").to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}
