//! Numbers about proxies. A proxy's name and kind are the operator's, a result is one of a closed list: nobody who
//! uploads can make series.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Labels<const N: usize> = [(&'static str, String); N];

/// From a millisecond to an hour.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];

/// All numbers of all proxies.
#[derive(Clone, Debug)]
pub(crate) struct ProxyMetrics {
    requests: Family<Labels<3>, Counter>,
    held: Family<Labels<1>, Gauge>,
    upstream: Family<Labels<1>, Histogram, fn() -> Histogram>,
}

impl Default for ProxyMetrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        Self {
            requests: Family::default(),
            held: Family::default(),
            upstream: Family::new_with_constructor(histogram),
        }
    }
}

impl ProxyMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let requests = "Requests of proxies, by how they ended";
        registry.register("proxy_requests", requests, self.requests.clone());
        let held = "Bytes of bodies that wait to be decided about, or to be sent on";
        registry.register("proxy_held_bytes", held, self.held.clone());
        let upstream = "How long what a proxy stands in front of took until its answer began";
        registry.register("proxy_upstream_seconds", upstream, self.upstream.clone());
    }

    /// A request ended.
    pub(crate) fn ended(&self, proxy: &str, kind: &str, end: End) {
        let labels =
            [("proxy", proxy.to_owned()), ("kind", kind.to_owned()), ("result", end.word().to_owned())];
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn held(&self, proxy: &str, bytes: u64) {
        let gauge = self.held.get_or_create(&[("proxy", proxy.to_owned())]);
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn upstream_took(&self, proxy: &str, span: Duration) {
        self.upstream.get_or_create(&[("proxy", proxy.to_owned())]).observe(span.as_secs_f64());
    }
}

/// How a request can end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// The client went away before there was an answer.
    #[default]
    Gone,
    /// It was sent on, and nothing of it had to be decided.
    Passed,
    /// It was admitted, and sent on.
    Admitted,
    /// It was decided about, and not admitted.
    Rejected,
    /// Nobody could decide.
    Undecided,
    /// The proxy or its adapter does not take it.
    Refused,
    /// Nobody knows who asks, or who asks may not.
    Stranger,
    /// Too much at once.
    Busy,
    /// The body did not come whole, or could not be held.
    NotHeld,
    /// What stands behind gave no answer that goes on.
    Upstream,
}

impl End {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Passed => "passed",
            Self::Admitted => "admitted",
            Self::Rejected => "rejected",
            Self::Undecided => "cannot-decide",
            Self::Refused => "refused",
            Self::Stranger => "unauthenticated",
            Self::Busy => "busy",
            Self::NotHeld => "not-held",
            Self::Upstream => "upstream",
        }
    }
}

/// What came of one request until now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course(Arc<Mutex<(End, Vec<String>)>>);

impl Course {
    pub(crate) fn set(&self, end: End) {
        self.lock().0 = end;
    }

    pub(crate) fn end(&self) -> End {
        self.lock().0
    }

    /// It was admitted, by the record of this name.
    pub(crate) fn admitted(&self, record: &str) {
        self.lock().1.push(record.to_owned());
    }

    /// The names of the records by which it was admitted.
    pub(crate) fn records(&self) -> Vec<String> {
        self.lock().1.clone()
    }

    fn lock(&self) -> MutexGuard<'_, (End, Vec<String>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was sent on; what was admitted stays so.
    pub(crate) fn passed(&self) {
        if self.end() != End::Admitted {
            self.set(End::Passed);
        }
    }
}
