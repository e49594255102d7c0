//! Containers in every state beside decisions that are there, late, of others, or cannot be asked about.

use std::path::Path;
use std::sync::Mutex;

use attest::time::{Span, parse_time};
use cluster::Seen;

use super::*;

const NOW: &str = "2026-11-23T01:00:00Z";

/// Decisions: digest, environment, workload, and when.
#[derive(Default)]
struct Decisions {
    all: Vec<(Digest, &'static str, &'static str, Timestamp)>,
    asked: Mutex<usize>,
    is_away: bool,
}

impl Fleet for Decisions {
    type Error = String;

    async fn admitted(&self, asked: &Asked) -> Result<Option<u64>, String> {
        *self.asked.lock().unwrap() += 1;
        if self.is_away {
            return Err("the index is away".to_owned());
        }
        let is_it = |(digest, environment, workload, at): &(Digest, &str, &str, Timestamp)| {
            (digest, *environment, *workload) == (&asked.digest, &asked.environment, &asked.workload)
                && *at <= asked.by
        };
        Ok(self.all.iter().position(is_it).and_then(|place| u64::try_from(place).ok()))
    }

    async fn observed(&self, _: &str, _: &[Observation], _: Timestamp) -> Result<(), String> {
        Ok(())
    }
}

fn digest(name: &str) -> Digest {
    Digest::sha256(name.as_bytes())
}

/// A Pod in `namespace` with one container of the image `wanted`, which its node says is `runs`.
fn pod(namespace: &str, name: &str, wanted: &str, runs: &str, annotations: &str) -> Seen {
    let image = format!("r.example/a@{}", digest(wanted));
    let runs = if runs.is_empty() { String::new() } else { format!("r.example/a@{}", digest(runs)) };
    let text = format!(
        r#"{{"metadata":{{"uid":"u-{name}","name":"{name}","namespace":"{namespace}","creationTimestamp":"{NOW}","annotations":{{{annotations}}}}},
"spec":{{"nodeName":"n","containers":[{{"name":"c","image":"{image}"}}]}},
"status":{{"containerStatuses":[{{"name":"c","imageID":"{runs}","state":{{"running":{{"startedAt":"{NOW}"}}}}}}]}}}}"#
    );
    Seen::Object(attest::json::parse(text.as_bytes()).unwrap())
}

struct World {
    config: WatchConfig,
    mapping: Mapping,
    pods: Pods,
    owners: Owners,
}

impl World {
    fn new() -> Self {
        let config = WatchConfig {
            every: Span::seconds(30),
            grace: Span::seconds(0),
            except: Vec::new(),
            audit_log: None,
        };
        let mut mapping = Mapping::new("eu");
        mapping.mirror_namespaces.push("nodes".to_owned());
        let mut pods = Pods::default();
        pods.take(Seen::Begin);
        Self { config, mapping, pods, owners: Owners::default() }
    }

    async fn round(&mut self, decisions: &Decisions) -> Round {
        self.pods.take(Seen::Complete);
        // nobody is asked about Pods that name no owner
        let kubeconfig = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/watch/join/nowhere.yaml");
        let cluster = Cluster::from_kubeconfig(&kubeconfig).await.unwrap();
        let joiner = Joiner {
            config: &self.config,
            mapping: &self.mapping,
            cluster: &cluster,
            fleet: decisions,
            now: parse_time(NOW).unwrap(),
        };
        joiner.round(&mut self.pods, &mut self.owners).await
    }
}

fn raised(round: &Round) -> Vec<String> {
    let shown = |told: &Told| match told {
        Told::Raised(finding) => format!("{} {}", finding.kind.name(), finding.title),
        Told::Over(identity) => format!("over {identity}"),
        Told::Whole(..) => "whole".to_owned(),
    };
    round.told.iter().map(shown).collect()
}

fn decided(name: &str, environment: &'static str, workload: &'static str, at: &str) -> Decisions {
    let all = vec![(digest(name), environment, workload, parse_time(at).unwrap())];
    Decisions { all, ..Decisions::default() }
}

#[tokio::test]
async fn a_decision_counts_for_its_digest_its_place_its_name_and_not_afterwards() {
    let own = ("unclaimed/shop", "eu/shop/Pod/web");
    for (decisions, is_joined) in [
        (decided("a", own.0, own.1, NOW), true),
        (decided("a", own.0, own.1, "2026-11-23T01:00:59Z"), true),
        (decided("a", own.0, own.1, "2026-11-23T01:01:01Z"), false),
        (decided("b", own.0, own.1, NOW), false),
        (decided("a", "prod/shop", own.1, NOW), false),
        (decided("a", own.0, "eu/shop/Pod/other", NOW), false),
        (decided("a", own.0, "us/shop/Pod/web", NOW), false),
    ] {
        let mut world = World::new();
        world.pods.take(pod("shop", "web", "a", "a", ""));
        let round = world.round(&decisions).await;
        assert!(round.is_complete);
        let found = raised(&round);
        assert_eq!(found.is_empty(), is_joined, "{:?}: {found:?}", decisions.all);
        if let Some(found) = found.first() {
            let wanted =
                "undecided container c of Pod shop/web runs, and nobody decided it: r.example/a@sha256:";
            assert!(found.starts_with(wanted), "{found}");
        }
        // it is told once
        assert!(raised(&world.round(&decisions).await).is_empty());
    }
}

#[tokio::test]
async fn another_digest_is_told_unless_it_was_admitted_too() {
    let mut decisions = decided("index", "unclaimed/shop", "eu/shop/Pod/web", NOW);
    let mut world = World::new();
    world.pods.take(pod("shop", "web", "index", "platform", ""));
    let found = raised(&world.round(&decisions).await);
    let wanted =
        format!("digest-differs container c of Pod shop/web runs {}, and record 0", digest("platform"));
    assert!(found.len() == 1 && found[0].starts_with(&wanted), "{found:?}");
    decisions.all.push((digest("platform"), "unclaimed/shop", "eu/shop/Pod/web", parse_time(NOW).unwrap()));
    let mut world = World::new();
    world.pods.take(pod("shop", "web", "index", "platform", ""));
    assert!(raised(&world.round(&decisions).await).is_empty());
}

#[tokio::test]
async fn what_a_node_runs_from_its_disk_is_expected_only_where_the_configuration_says_so() {
    let mirror = r#""kubernetes.io/config.mirror":"x""#;
    let mut world = World::new();
    for namespace in ["nodes", "shop", "kube-system"] {
        world.pods.take(pod(namespace, namespace, "a", "a", mirror));
    }
    let found = raised(&world.round(&Decisions::default()).await);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("static-pod container c of Pod shop/shop is from the disk of n"),
        "{found:?}"
    );
}

#[tokio::test]
async fn decisions_that_cannot_be_asked_about_are_no_absence_of_them() {
    let mut world = World::new();
    world.pods.take(pod("shop", "web", "a", "a", ""));
    let away = Decisions { is_away: true, ..Decisions::default() };
    let round = world.round(&away).await;
    assert!(!round.is_complete && raised(&round).is_empty());
    assert_eq!(round.failure.as_deref(), Some("the index is away"));
}

#[tokio::test]
async fn what_is_gone_is_over_and_what_is_joined_is_not_asked_about_again() {
    let decisions = decided("a", "unclaimed/shop", "eu/shop/Pod/web", NOW);
    let mut world = World::new();
    world.pods.take(pod("shop", "web", "a", "a", ""));
    world.pods.take(pod("shop", "evil", "b", "b", ""));
    assert_eq!(raised(&world.round(&decisions).await).len(), 1);
    let asked = *decisions.asked.lock().unwrap();
    // a list without it
    world.pods.take(Seen::Begin);
    world.pods.take(pod("shop", "web", "a", "a", ""));
    let found = raised(&world.round(&decisions).await);
    assert!(found.len() == 1 && found[0].starts_with("over undecided/eu/u-evil/container/c/"), "{found:?}");
    assert_eq!(*decisions.asked.lock().unwrap(), asked);
    // another image in the same Pod is another question
    world.pods.take(pod("shop", "web", "b", "b", ""));
    assert!(raised(&world.round(&decisions).await)[0].starts_with("undecided"));
}

#[tokio::test]
async fn what_stands_is_known_once_everything_had_its_time() {
    let kubeconfig = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/watch/join/nowhere.yaml");
    let cluster = Cluster::from_kubeconfig(&kubeconfig).await.unwrap();
    let decisions = Decisions::default();
    for (grace, wanted) in [(3600, None), (0, Some(1))] {
        let mut world = World::new();
        world.config.grace = Span::seconds(grace);
        world.pods.take(pod("shop", "web", "a", "a", ""));
        world.round(&decisions).await;
        let (config, mapping) = (&world.config, &world.mapping);
        let now = parse_time(NOW).unwrap();
        let joiner = Joiner { config, mapping, cluster: &cluster, fleet: &decisions, now };
        let standing = joiner.standing(&world.pods);
        // what has not been told yet would look as if it were over
        assert_eq!(standing.map(|all| all.len()), wanted, "after {grace} seconds of grace");
    }
}
