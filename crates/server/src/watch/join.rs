//! What runs beside what was decided: each container of each Pod, until a decision is behind it or somebody is told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use attest::{Digest, Object};
use cluster::Cluster;
use inventory::Observation;
use jiff::{SignedDuration, Timestamp};
use kubernetes::Mapping;
use kubernetes::running::{Comparison, Container, ImageId, Role, State};

use super::config::WatchConfig;
use super::finding::{Finding, FindingKind, Told};
use super::fleet::{Asked, Fleet};
use super::owners::Owners;
use super::pods::{Kept, Pods};

/// Clocks of nodes and of ours may differ by this much.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// One round takes no longer than this: changes wait meanwhile. What is left is asked about in the next.
const ROUND: Duration = Duration::from_secs(2);

/// Everything that a round works with.
pub(crate) struct Joiner<'a, F> {
    pub(crate) config: &'a WatchConfig,
    pub(crate) mapping: &'a Mapping,
    pub(crate) cluster: &'a Cluster,
    pub(crate) fleet: &'a F,
    pub(crate) now: Timestamp,
}

/// What a round came to.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) told: Vec<Told>,
    /// Whether every Pod was joined, as it is now.
    pub(crate) is_complete: bool,
    /// Why nobody knows of decisions, where that is so.
    pub(crate) failure: Option<String>,
}

/// What one container comes to.
enum Outcome {
    Joined(u64, String),
    Undecided,
    /// It was admitted by this record, and something else runs.
    Differs(u64, Digest),
}

impl<F: Fleet> Joiner<'_, F> {
    /// Asks about every Pod that is due.
    pub(crate) async fn round(&self, pods: &mut Pods, owners: &mut Owners) -> Round {
        let mut round = Round { is_complete: pods.is_whole, ..Round::default() };
        round.told.extend(pods.over.drain(..).map(Told::Over));
        let begin = Instant::now();
        for kept in pods.all.values_mut() {
            if self.is_excepted(kept) || !self.is_due(kept) {
                continue;
            }
            if begin.elapsed() > ROUND {
                round.is_complete = false;
                break;
            }
            match self.one(kept, owners).await {
                Ok(told) => round.told.extend(told),
                Err(why) => {
                    (round.is_complete, round.failure) = (false, Some(why.to_string()));
                    break;
                }
            }
        }
        round
    }

    pub(crate) fn is_excepted(&self, kept: &Kept) -> bool {
        self.config.is_excepted(&kept.pod.namespace, self.mapping)
    }

    /// What has a decision is not asked about again; what has none is, often while a record may be on its way.
    fn is_due(&self, kept: &Kept) -> bool {
        let Some(asked) = kept.asked else { return true };
        let is_open = kept.joined.iter().any(Option::is_none);
        let (grace, every) = (span(self.config.grace), span(self.config.every));
        let is_new = kept.since.elapsed() < grace + Duration::from_secs(2);
        is_open && (is_new || asked.elapsed() >= every)
    }

    async fn one(&self, kept: &mut Kept, owners: &mut Owners) -> Result<Vec<Told>, F::Error> {
        if kept.names.is_none() {
            let (names, is_whole) = owners.names(self.cluster, &kept.pod).await;
            kept.names = Some(names.clone());
            let found = self.containers(kept, &names).await?;
            // a name that is missing may be the right one: it is looked up again
            if !is_whole {
                kept.names = None;
            }
            return Ok(self.told(kept, found));
        }
        let names = kept.names.clone().unwrap_or_default();
        let found = self.containers(kept, &names).await?;
        Ok(self.told(kept, found))
    }

    /// What is found about the containers that have no decision.
    async fn containers(&self, kept: &mut Kept, names: &[String]) -> Result<Vec<Finding>, F::Error> {
        let mut found = Vec::new();
        for number in 0..kept.pod.containers.len() {
            let is_joined = kept.joined.get(number).is_some_and(Option::is_some);
            let Some(container) = kept.pod.containers.get(number).filter(|_| !is_joined) else { continue };
            match self.outcome(kept, container, names).await? {
                Outcome::Joined(index, name) => {
                    if let Some(joined) = kept.joined.get_mut(number) {
                        *joined = Some((index, name));
                    }
                }
                Outcome::Differs(index, runs) => {
                    found.push(self.differs(kept, container, index, &runs, names));
                }
                Outcome::Undecided => found.extend(self.undecided(kept, container, names)),
            }
        }
        kept.asked = Some(Instant::now());
        Ok(found)
    }

    async fn outcome(
        &self,
        kept: &Kept,
        container: &Container,
        names: &[String],
    ) -> Result<Outcome, F::Error> {
        let began = container.state.since().or(kept.pod.since).unwrap_or(self.now);
        let by = began.checked_add(SKEW).unwrap_or(Timestamp::MAX);
        let Some(digest) = container.decided_as() else { return Ok(Outcome::Undecided) };
        let Some((index, name)) = self.admitted(&digest, &kept.pod.namespace, names, by).await? else {
            return Ok(Outcome::Undecided);
        };
        let Comparison::Other(runs) = container.comparison() else { return Ok(Outcome::Joined(index, name)) };
        // an index was admitted, and its manifest for this platform runs: somebody decided about that, too
        match self.admitted(&runs, &kept.pod.namespace, names, by).await? {
            Some((index, name)) => Ok(Outcome::Joined(index, name)),
            None => Ok(Outcome::Differs(index, runs)),
        }
    }

    async fn admitted(
        &self,
        digest: &Digest,
        namespace: &str,
        names: &[String],
        by: Timestamp,
    ) -> Result<Option<(u64, String)>, F::Error> {
        for name in names {
            let asked = Asked {
                digest: digest.clone(),
                environment: self.environment(namespace, name),
                workload: format!("{}/{name}", self.mapping.cluster),
                by,
            };
            if let Some(index) = self.fleet.admitted(&asked).await? {
                return Ok(Some((index, name.clone())));
            }
        }
        Ok(None)
    }

    fn environment(&self, namespace: &str, name: &str) -> String {
        let mut parts = name.rsplitn(3, '/');
        let (name, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        self.mapping.environment(namespace, kind, name)
    }

    /// What is to be told: what is new, and what is so no more. A record may be on its way for a while.
    fn told(&self, kept: &mut Kept, found: Vec<Finding>) -> Vec<Told> {
        let is_late = kept.since.elapsed() >= span(self.config.grace);
        // what was told is not taken back because something else about the Pod is new
        let is_ripe = |finding: &Finding| is_late || kept.raised.contains(&finding.identity);
        let found: Vec<Finding> = found.into_iter().filter(is_ripe).collect();
        let now: Vec<String> = found.iter().map(|f| f.identity.clone()).collect();
        let before = std::mem::replace(&mut kept.raised, now.clone());
        let over = before.iter().filter(|identity| !now.contains(identity)).cloned().map(Told::Over);
        let new = found.into_iter().filter(|f| !before.contains(&f.identity)).map(Told::Raised);
        over.chain(new).collect()
    }

    fn undecided(&self, kept: &Kept, container: &Container, names: &[String]) -> Option<Finding> {
        let at = place(kept, container);
        if !kept.pod.is_mirror {
            let title = format!("{at} {}, and nobody decided it: {}", does(container), container.image);
            return Some(self.finding(FindingKind::Undecided, kept, container, names, &title));
        }
        // where the configuration lets nodes run what is on their own disks
        if self.mapping.mirror_namespaces.contains(&kept.pod.namespace) {
            return None;
        }
        let node = kept.pod.node.as_deref().unwrap_or("a node");
        let title = format!("{at} is from the disk of {node}, and nobody can decide it: {}", container.image);
        Some(self.finding(FindingKind::StaticPod, kept, container, names, &title))
    }

    fn differs(
        &self,
        kept: &Kept,
        container: &Container,
        index: u64,
        runs: &Digest,
        names: &[String],
    ) -> Finding {
        let title = format!(
            "{} runs {runs}, and record {index} admitted {}",
            place(kept, container),
            container.image
        );
        let mut finding = self.finding(FindingKind::DigestDiffers, kept, container, names, &title);
        finding.details.set("record", i64::try_from(index).unwrap_or(i64::MAX));
        finding
    }

    fn finding(
        &self,
        kind: FindingKind,
        kept: &Kept,
        container: &Container,
        names: &[String],
        title: &str,
    ) -> Finding {
        let (pod, cluster) = (&kept.pod, &self.mapping.cluster);
        let digest = container.decided_as().map_or_else(String::new, |digest| digest.to_string());
        let about = format!("{cluster}/{}/{}/{}/{digest}", pod.uid, word(container.role), container.name);
        let workload = names.first().map(|name| format!("{cluster}/{name}"));
        let since = container.state.since().or(pod.since);
        let runs = match &container.runs {
            ImageId::Manifest(runs) => Some(runs.to_string()),
            ImageId::Configuration(_) | ImageId::Unknown => None,
        };
        let mut details = Object::new().with("cluster", cluster.as_str());
        details.set_some("workload", workload);
        details.set("namespace", pod.namespace.as_str());
        details.set("pod", pod.name.as_str());
        details.set("uid", pod.uid.as_str());
        details.set("container", container.name.as_str());
        details.set("role", word(container.role));
        details.set("state", container.state.name());
        details.set("image", container.image.as_str());
        details.set_some("digest", Some(digest).filter(|digest| !digest.is_empty()));
        details.set_some("runs", runs);
        details.set_some("node", pod.node.as_deref());
        details.set_some("since", since.map(|since| since.to_string()));
        Finding::new(kind, &about, self.now, title, details)
    }

    /// What was raised and is so, once each Pod without a decision has had its time; nothing before.
    pub(crate) fn standing(&self, pods: &Pods) -> Option<BTreeSet<String>> {
        let had_time = |kept: &Kept| {
            let ripe = kept.since.checked_add(span(self.config.grace));
            kept.joined.iter().all(Option::is_some)
                || kept.asked.zip(ripe).is_some_and(|(asked, ripe)| asked >= ripe)
        };
        let all = || pods.all.values().filter(|kept| !self.is_excepted(kept));
        all().all(had_time).then(|| all().flat_map(|kept| kept.raised.iter().cloned()).collect())
    }

    /// Everything that runs, for the inventory.
    pub(crate) fn observations(&self, pods: &Pods) -> Vec<Observation> {
        pods.all.values().flat_map(|kept| self.observed(kept)).collect()
    }

    fn observed(&self, kept: &Kept) -> Vec<Observation> {
        let pod = &kept.pod;
        let runs = |container: &Container| match container.role {
            Role::Volume => pod.containers.iter().any(|c| matches!(c.state, State::Running { .. })),
            _ => matches!(container.state, State::Running { .. }),
        };
        let own = format!("{}/Pod/{}", pod.namespace, pod.name);
        let top = kept.names.as_ref().and_then(|names| names.first()).unwrap_or(&own);
        let observation = |(container, joined): (&Container, &Option<(u64, String)>)| {
            let name = joined.as_ref().map_or(top, |(_, name)| name);
            let digest = match &container.runs {
                ImageId::Manifest(digest) => Some(digest.clone()),
                ImageId::Configuration(_) | ImageId::Unknown => container.wanted(),
            };
            Observation {
                cluster: self.mapping.cluster.clone(),
                instance: format!("{}/{}/{}", pod.uid, word(container.role), container.name),
                environment: self.environment(&pod.namespace, name),
                workload: format!("{}/{name}", self.mapping.cluster),
                image: container.image.clone(),
                digest,
                node: pod.node.clone(),
                since: container.state.since().or(pod.since).unwrap_or(self.now),
            }
        };
        pod.containers.iter().zip(&kept.joined).filter(|(c, _)| runs(c)).map(observation).collect()
    }
}

fn does(container: &Container) -> &'static str {
    match container.state {
        State::Waiting => "is to run",
        State::Running { .. } => "runs",
        State::Terminated { .. } => "ran",
    }
}

fn place(kept: &Kept, container: &Container) -> String {
    format!("{} {} of Pod {}/{}", word(container.role), container.name, kept.pod.namespace, kept.pod.name)
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Init => "init-container",
        Role::Sidecar => "sidecar",
        Role::Main => "container",
        Role::Ephemeral => "ephemeral-container",
        Role::Volume => "volume",
    }
}

pub(crate) fn span(span: attest::time::Span) -> Duration {
    Duration::from_secs(u64::try_from(span.as_seconds()).unwrap_or(0))
}

#[cfg(test)]
mod tests;
