//! Numbers for Prometheus. Every label's values are a closed list: what is not on it is counted as `other`, so that
//! nobody who deploys can make series.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{PoisonError, RwLock};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::alarm::AlarmMetrics;
use crate::proxy::ProxyMetrics;
use crate::webhook::judge::{AfterLook, Look, Stages, Told};
use crate::webhook::registries::RegistryMetrics;
use crate::webhook::summaries::SummaryMetrics;

type Labels<const N: usize> = [(&'static str, String); N];
type Count<const N: usize> = Family<Labels<N>, Counter>;
type Seconds = Gauge<f64, AtomicU64>;

const DECISIONS: [&str; 3] = ["admit", "reject", "cannot-decide"];
const BASES: [&str; 6] = ["policy", "dry-run", "cannot-decide", "standing", "breakglass", "outage"];
/// From a tenth of a millisecond to the longest deadline.
const BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
/// How a request can end.
pub(crate) const ENDS: [&str; 9] = [
    "answered",
    "refused",
    "undecided",
    "unauthenticated",
    "shed",
    "late",
    "malformed",
    "failed",
    "panicked",
];

/// All numbers.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    decisions: Count<3>,
    refusals: Count<2>,
    requests: Count<1>,
    stages: Family<Labels<1>, Histogram, fn() -> Histogram>,
    connections: Count<1>,
    kept: Count<2>,
    reloads: Count<2>,
    gauges: Gauges,
    cache: [Counter; 2],
    cached: std::sync::Mutex<(u64, u64)>,
    lost: [Counter; 2],
    /// What proxies count.
    pub(crate) proxies: ProxyMetrics,
    names: RwLock<Names>,
}

#[derive(Debug, Default)]
struct Gauges {
    in_flight: Gauge,
    waiting: Gauge,
    certificate: Gauge,
    stale: Seconds,
    log: Gauge,
    journal: Gauge,
    cache: Gauge,
    ready: Gauge,
    loaded: Family<Labels<2>, Gauge>,
    after: AfterGauges,
}

/// What happens after the answers.
#[derive(Debug, Default)]
struct AfterGauges {
    verified: Gauge,
    joined: Gauge,
    running: Family<Labels<1>, Gauge>,
    followed: Gauge,
    spool: Gauge,
    cut_off: Gauge,
    witnessed: Gauge,
}

impl AfterGauges {
    fn register(&self, registry: &mut Registry) {
        let verified = "Seconds since everything that runs was judged again; -1 where it never was";
        registry.register("verified_age_seconds", verified, self.verified.clone());
        let joined = "Seconds since what runs was joined with what was decided; -1 where it never was";
        registry.register("joined_age_seconds", joined, self.joined.clone());
        let running = "Running deployments when they were judged again, by what came of it";
        registry.register("running", running, self.running.clone());
        registry.register(
            "inventory_size",
            "Entries of the log that the inventory has",
            self.followed.clone(),
        );
        registry.register("spool_percent", "Percent of the spool that is used", self.spool.clone());
        registry.register(
            "log_cut_off",
            "Whether the log's store is out of reach: 1 or 0",
            self.cut_off.clone(),
        );
        let witnessed = "Entries under the newest checkpoint that enough witnesses cosigned";
        registry.register("witnessed_size", witnessed, self.witnessed.clone());
    }

    fn see(&self, look: &AfterLook) {
        self.verified.set(look.verified.unwrap_or(-1));
        self.joined.set(look.joined.unwrap_or(-1));
        for (turn, count) in &look.running {
            self.running.get_or_create(&[("turn", (*turn).to_owned())]).set(int(*count));
        }
        self.followed.set(int(look.followed));
        self.spool.set(int(look.spool));
        self.cut_off.set(i64::from(look.is_cut_off));
        self.witnessed.set(int(look.witnessed.unwrap_or(0)));
    }
}

#[derive(Debug, Default)]
struct Names {
    environments: BTreeSet<String>,
    rules: BTreeSet<String>,
    digests: Vec<(&'static str, String)>,
}

/// What is measured when somebody asks.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) crowd: (usize, usize),
    pub(crate) certificate_left: i64,
    pub(crate) is_ready: bool,
    pub(crate) lost: [u64; 2],
}

fn int(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

impl Metrics {
    pub(crate) fn new(
        alarms: Option<&AlarmMetrics>,
        summaries: Option<&SummaryMetrics>,
        registries: Option<&RegistryMetrics>,
    ) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let mut metrics = Self {
            registry: Registry::with_prefix("portcullis"),
            decisions: Family::default(),
            refusals: Family::default(),
            requests: Family::default(),
            stages: Family::new_with_constructor(histogram),
            connections: Family::default(),
            kept: Family::default(),
            reloads: Family::default(),
            gauges: Gauges::default(),
            cache: [Counter::default(), Counter::default()],
            cached: std::sync::Mutex::default(),
            lost: [Counter::default(), Counter::default()],
            proxies: ProxyMetrics::default(),
            names: RwLock::default(),
        };
        metrics.proxies.register(&mut metrics.registry);
        metrics.register_counts();
        metrics.register_gauges();
        if let Some(alarms) = alarms {
            alarms.register(&mut metrics.registry);
        }
        if let Some(summaries) = summaries {
            summaries.register(&mut metrics.registry);
        }
        if let Some(registries) = registries {
            registries.register(&mut metrics.registry);
        }
        // a series that is there from the start can be alarmed on when it moves
        for end in ENDS {
            drop(metrics.requests.get_or_create(&[("end", end.to_owned())]));
        }
        metrics
    }

    fn register_counts(&mut self) {
        let registry = &mut self.registry;
        registry.register("decisions", "Decisions", self.decisions.clone());
        registry.register("refusals", "Findings of decisions that were no admission", self.refusals.clone());
        registry.register("requests", "Requests, by how they ended", self.requests.clone());
        registry.register("stage_seconds", "How long each step of an answer took", self.stages.clone());
        registry.register("connections_failed", "Connections that came to nothing", self.connections.clone());
        registry.register("kept", "Evidence and grants that were brought", self.kept.clone());
        registry.register("reloads", "Changed files, by whether they are in force now", self.reloads.clone());
        let [hits, misses] = self.cache.clone();
        registry.register("cache_hits", "Verifications that the cache had", hits);
        registry.register("cache_misses", "Verifications that it had not", misses);
        let [events, spans] = self.lost.clone();
        registry.register("events_lost", "Events that nobody read in time", events);
        registry.register("spans_lost", "Spans that were not exported", spans);
    }

    fn register_gauges(&mut self) {
        let (registry, gauges) = (&mut self.registry, &self.gauges);
        registry.register("in_flight", "Requests that are judged or wait", gauges.in_flight.clone());
        registry.register("waiting", "Requests that wait for a thread", gauges.waiting.clone());
        let left = "Seconds until the webhook's certificate ends; below 0 once it has";
        registry.register("certificate_expiry_seconds", left, gauges.certificate.clone());
        let stale = "For how long the book on disk has not been the one in force, because it does not load";
        registry.register("book_stale_seconds", stale, gauges.stale.clone());
        registry.register("log_size", "Records in the decision log", gauges.log.clone());
        let pending = "Records that are durable and not yet in the log's tree";
        registry.register("journal_pending", pending, gauges.journal.clone());
        registry.register("cache_bytes", "Bytes that the cache of verifications holds", gauges.cache.clone());
        registry.register("ready", "Whether it can decide: 1 or 0", gauges.ready.clone());
        registry.register("loaded", "The digest of each file in force; always 1", gauges.loaded.clone());
        gauges.after.register(registry);
        let build: Family<Labels<1>, Gauge> = Family::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("build", "The version; always 1", build);
    }

    /// Every request ends once, in one of these ways.
    pub(crate) fn ended(&self, end: &'static str) {
        self.requests.get_or_create(&[("end", end.to_owned())]).inc();
    }

    pub(crate) fn decided(&self, told: &Told) {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let environment = known(&told.environment, |name| names.environments.contains(name));
        let decision = known(&told.decision, |name| DECISIONS.contains(&name));
        let basis = known(&told.basis, |name| BASES.contains(&name));
        let labels = [("environment", environment.clone()), ("basis", basis), ("decision", decision)];
        self.decisions.get_or_create(&labels).inc();
        for rule in &told.rules {
            let rule = known(rule, |name| names.rules.contains(name));
            self.refusals.get_or_create(&[("environment", environment.clone()), ("rule", rule)]).inc();
        }
    }

    pub(crate) fn took(&self, stages: &Stages) {
        for (stage, _, span) in stages.iter() {
            self.stages.get_or_create(&[("stage", stage.name().to_owned())]).observe(span.as_secs_f64());
        }
    }

    pub(crate) fn connection_failed(&self, why: &'static str) {
        self.connections.get_or_create(&[("why", why.to_owned())]).inc();
    }

    pub(crate) fn kept(&self, what: &'static str, result: &'static str) {
        self.kept.get_or_create(&[("what", what.to_owned()), ("result", result.to_owned())]).inc();
    }

    pub(crate) fn reloaded(&self, what: &'static str, is_in_force: bool) {
        let result = if is_in_force { "in force" } else { "refused" };
        self.reloads.get_or_create(&[("what", what.to_owned()), ("result", result.to_owned())]).inc();
    }

    /// What a judge says of itself.
    pub(crate) fn look(&self, look: &Look) {
        let gauges = &self.gauges;
        gauges.stale.set(look.book_stale.as_secs_f64());
        gauges.log.set(int(look.log_size));
        gauges.journal.set(int(look.journal_pending));
        gauges.after.see(&look.after);
        let (hits, misses, bytes) = look.cache;
        gauges.cache.set(int(bytes));
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let [hit, missed] = &self.cache;
        hit.inc_by(hits.saturating_sub(cached.0));
        missed.inc_by(misses.saturating_sub(cached.1));
        *cached = (hits, misses);
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        for (what, digest) in names.digests.iter().filter(|old| !look.digests.contains(old)) {
            gauges.loaded.remove(&[("what", (*what).to_owned()), ("digest", digest.clone())]);
        }
        for (what, digest) in &look.digests {
            gauges.loaded.get_or_create(&[("what", (*what).to_owned()), ("digest", digest.clone())]).set(1);
        }
        names.digests.clone_from(&look.digests);
        names.environments.clone_from(&look.environments);
        names.rules.clone_from(&look.rules);
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self, moment: &Moment) -> String {
        let gauges = &self.gauges;
        gauges.in_flight.set(int(moment.crowd.0));
        gauges.waiting.set(int(moment.crowd.1));
        gauges.certificate.set(moment.certificate_left);
        gauges.ready.set(i64::from(moment.is_ready));
        for (counter, total) in self.lost.iter().zip(moment.lost) {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        let mut text = String::new();
        // writing to a string does not fail
        encode(&mut text, &self.registry).ok();
        text
    }
}

/// The name, where it is one of those that are known.
fn known(name: &str, is_known: impl Fn(&str) -> bool) -> String {
    if is_known(name) { name } else { "other" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_who_deploys_can_make_series() {
        let metrics = Metrics::new(None, None, None);
        metrics.look(&Look {
            environments: ["prod/shop".to_owned()].into(),
            rules: ["built-by".to_owned()].into(),
            ..Look::default()
        });
        for number in 0..1000 {
            let told = Told {
                environment: format!("unclaimed/tenant-{number}"),
                decision: "reject".to_owned(),
                basis: format!("basis {number}"),
                rules: vec![format!("rule {number}"), "built-by".to_owned()],
                ..Told::default()
            };
            metrics.decided(&told);
        }
        let moment = Moment { crowd: (0, 0), certificate_left: -5, is_ready: false, lost: [0, 0] };
        let text = metrics.text(&moment);
        let wanted =
            r#"portcullis_decisions_total{environment="other",basis="other",decision="reject"} 1000"#;
        assert!(text.contains(wanted), "{text}");
        assert!(
            text.contains(r#"portcullis_refusals_total{environment="other",rule="built-by"} 1000"#),
            "{text}"
        );
        assert!(text.contains("portcullis_certificate_expiry_seconds -5"), "{text}");
        assert!(!text.contains("tenant-7"), "{text}");
        assert!(text.lines().count() < 100, "{text}");
    }

    #[test]
    fn a_digest_that_is_no_more_in_force_is_gone() {
        let metrics = Metrics::new(None, None, None);
        let look = |digest: &str| Look { digests: vec![("book", digest.to_owned())], ..Look::default() };
        metrics.look(&look("sha256:aa"));
        metrics.look(&look("sha256:bb"));
        let text = metrics.text(&Moment { crowd: (2, 1), certificate_left: 9, is_ready: true, lost: [3, 0] });
        assert!(text.contains("sha256:bb") && !text.contains("sha256:aa"), "{text}");
        assert!(text.contains("portcullis_events_lost_total 3"), "{text}");
    }
}
