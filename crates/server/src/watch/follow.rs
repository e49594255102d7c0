//! The story of the thread: listen to the cluster, ask about what changed, write down what runs, and tell what is found.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use attest::Object;
use cluster::{Cluster, Seen};
use jiff::Timestamp;
use kubernetes::Mapping;
use tokio::sync::oneshot;

use super::config::WatchConfig;
use super::finding::{Finding, FindingKind, Told};
use super::fleet::Fleet;
use super::join::{Joiner, Round, span};
use super::owners::Owners;
use super::pods::Pods;
use crate::service::Clock;
use crate::webhook::Api;

/// How often it is asked about what changed.
const RHYTHM: Duration = Duration::from_secs(1);
/// After this the connection is tried anew, where it could not even be set up.
const AGAIN: Duration = Duration::from_secs(30);

/// Hears what is found, on the watch's thread. What it does not take it is told again, in the same order.
pub type Sink = Arc<dyn Fn(Told) -> Result<(), String> + Send + Sync>;

/// How the watch is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// When everything was joined last: how fresh all the rest is.
    pub complete: Option<Timestamp>,
    /// How long the oldest Pod has waited that has a container without a decision.
    pub oldest_unjoined: Option<Duration>,
    /// Pods.
    pub pods: usize,
    /// Containers and volumes of them, where somebody is to decide.
    pub containers: usize,
    /// Those behind which a decision stands.
    pub joined: usize,
    /// Pods where nobody is to decide.
    pub excepted: usize,
    /// Pods that cannot be read.
    pub unreadable: usize,
    /// Why it does not work, where it does not.
    pub failure: Option<String>,
}

/// A watch that runs until it is dropped.
pub struct Watch {
    status: Arc<Mutex<Status>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Watch {
    /// How it is now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Watches a cluster on a thread of its own.
///
/// # Errors
/// [`io::Error`] where there is no thread to have.
pub fn start<F: Fleet + 'static>(
    config: WatchConfig,
    api: Api,
    mapping: Mapping,
    fleet: F,
    sink: Sink,
    clock: Clock,
) -> io::Result<Watch> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = Arc::new(Mutex::new(Status::default()));
    let (stop, stopped) = oneshot::channel::<()>();
    let follower = Follower {
        config,
        mapping,
        fleet,
        sink,
        clock,
        status: Arc::clone(&status),
        pods: Mutex::default(),
        raised: Mutex::default(),
        broken: Mutex::default(),
        untold: Mutex::default(),
    };
    let follow = move || {
        runtime.block_on(async {
            tokio::select! { () = follower.run(&api) => {}, _ = stopped => {} }
        });
    };
    let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(follow)?;
    Ok(Watch { status, stop: Some(stop), thread: Some(thread) })
}

struct Follower<F> {
    config: WatchConfig,
    mapping: Mapping,
    fleet: F,
    sink: Sink,
    clock: Clock,
    status: Arc<Mutex<Status>>,
    pods: Mutex<Pods>,
    /// What was raised beside what is found about Pods.
    raised: Mutex<BTreeSet<String>>,
    /// Since when decisions cannot be asked about.
    broken: Mutex<Option<Instant>>,
    /// What nobody took so far.
    untold: Mutex<VecDeque<Told>>,
}

impl<F: Fleet> Follower<F> {
    async fn run(&self, api: &Api) {
        loop {
            let cluster = match api {
                Api::InCluster => Cluster::in_cluster(),
                Api::Kubeconfig(file) => Cluster::from_kubeconfig(file).await,
            };
            match cluster {
                Ok(cluster) => self.follow(&cluster).await,
                Err(error) => {
                    self.take(Seen::Broken(error, AGAIN));
                    self.tell_standing(None);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn take(&self, seen: Seen) {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).take(seen);
    }

    /// Listens, and asks: one after the other, so that whatever is told waits where we are slow.
    async fn follow(&self, cluster: &Cluster) {
        let mut hear = |seen: Seen| self.take(seen);
        let mut watching = std::pin::pin!(cluster.watch("v1", "Pod", &mut hear));
        let mut owners = Owners::default();
        let (mut written, mut is_whole) = (None, false);
        let mut rhythm = tokio::time::interval(RHYTHM);
        rhythm.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = &mut watching => {
                    // Pods are a kind that is looked up, so this does not end
                    if let Err(error) = ended { self.take(Seen::Broken(error, AGAIN)); }
                    return;
                }
                _ = rhythm.tick() => is_whole = self.look(cluster, &mut owners, &mut written, is_whole).await,
            }
        }
    }

    /// Gives whether it was told, now or before, what of an earlier process is over.
    async fn look(
        &self,
        cluster: &Cluster,
        owners: &mut Owners,
        written: &mut Option<Instant>,
        is_whole: bool,
    ) -> bool {
        // nobody else takes it while this runs: what is heard waits
        let mut pods = std::mem::take(&mut *self.pods.lock().unwrap_or_else(PoisonError::into_inner));
        let now = (self.clock)();
        let joiner =
            Joiner { config: &self.config, mapping: &self.mapping, cluster, fleet: &self.fleet, now };
        let mut round = joiner.round(&mut pods, owners).await;
        let is_due = written.is_none_or(|at| at.elapsed() >= span(self.config.every));
        if is_due && pods.is_whole && pods.broken.is_none() && round.is_complete {
            let everything = joiner.observations(&pods);
            match self.fleet.observed(&self.mapping.cluster, &everything, now).await {
                Ok(()) => *written = Some(Instant::now()),
                Err(e) => round.failure = Some(e.to_string()),
            }
        }
        let untold = self.untold();
        self.note(&joiner, &pods, &round, untold);
        let standing = (!is_whole && written.is_some() && round.is_complete && round.failure.is_none())
            .then(|| joiner.standing(&pods))
            .flatten();
        let failure = round.failure;
        round.told.into_iter().for_each(|told| self.tell(told));
        *self.pods.lock().unwrap_or_else(PoisonError::into_inner) = pods;
        self.tell_standing(failure);
        let Some(mut standing) = standing else { return is_whole };
        standing.extend(self.raised.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        self.tell(Told::Whole(self.mapping.cluster.clone(), standing));
        true
    }

    /// In order: what is over must not be told before it was so.
    fn tell(&self, told: Told) {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner).push_back(told);
        self.untold();
    }

    /// Tells what nobody took so far; gives why nobody takes it, where that is so.
    fn untold(&self) -> Option<String> {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(first) = untold.front() {
            if let Err(why) = (self.sink)(first.clone()) {
                return Some(format!("what was found is not on record: {why}"));
            }
            untold.pop_front();
        }
        None
    }

    fn note(&self, joiner: &Joiner<'_, F>, pods: &Pods, round: &Round, untold: Option<String>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let complete = status.complete;
        *status = Status { pods: pods.all.len(), unreadable: pods.unreadable.len(), ..Status::default() };
        for kept in pods.all.values() {
            if joiner.is_excepted(kept) {
                status.excepted += 1;
                continue;
            }
            let joined = kept.joined.iter().filter(|joined| joined.is_some()).count();
            status.containers += kept.joined.len();
            status.joined += joined;
            if joined < kept.joined.len() {
                status.oldest_unjoined = status.oldest_unjoined.max(Some(kept.since.elapsed()));
            }
        }
        let broken = pods.broken.as_ref().map(|(error, _)| error.to_string());
        status.failure = broken.or_else(|| round.failure.clone()).or(untold);
        let is_complete = round.is_complete && status.failure.is_none();
        status.complete = if is_complete { Some(joiner.now) } else { complete };
    }

    /// A watch that sees nothing finds nothing: that is told like everything else, and so is what cannot be read.
    fn tell_standing(&self, failure: Option<String>) {
        let mut found = self.blindness(failure);
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = &self.mapping.cluster;
        for (name, why) in &pods.unreadable {
            let title = format!("what Pod {name} runs cannot be read: {why}");
            let details = Object::new().with("cluster", cluster.as_str()).with("pod", name.as_str());
            let details = details.with("why", why.as_str());
            let about = format!("{cluster}/{name}");
            found.push(Finding::new(FindingKind::Unreadable, &about, (self.clock)(), &title, details));
        }
        drop(pods);
        let now: BTreeSet<String> = found.iter().map(|finding| finding.identity.clone()).collect();
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        raised.difference(&now).cloned().map(Told::Over).for_each(|told| self.tell(told));
        let new = found.into_iter().filter(|finding| !raised.contains(&finding.identity));
        new.map(Told::Raised).for_each(|told| self.tell(told));
        *raised = now;
    }

    fn blindness(&self, failure: Option<String>) -> Vec<Finding> {
        let patience = span(self.config.every).max(span(self.config.grace));
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let of_cluster = pods.broken.as_ref().map(|(error, since)| (error.to_string(), since.elapsed()));
        drop(pods);
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        *broken = failure.as_ref().and(broken.or_else(|| Some(Instant::now())));
        let of_fleet = failure.zip(*broken).map(|(why, since)| (why, since.elapsed()));
        let cluster = &self.mapping.cluster;
        let found = [("what runs", of_cluster), ("what was decided", of_fleet)].into_iter();
        let finding = |(what, found): (&str, Option<(String, Duration)>)| {
            let (why, _) = found.filter(|(_, since)| *since >= patience)?;
            let title = format!("nobody sees {what} in {cluster}: {why}");
            let details = Object::new().with("cluster", cluster.as_str()).with("what", what).with("why", why);
            let about = format!("{cluster}/{}", what.replace(' ', "-"));
            Some(Finding::new(FindingKind::Blind, &about, (self.clock)(), &title, details))
        };
        found.filter_map(finding).collect()
    }
}
