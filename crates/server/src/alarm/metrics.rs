//! Numbers of alarms and of their delivery, for Prometheus.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use chokepoint::alarm::Alarms;

type Labels<const N: usize> = [(&'static str, String); N];

/// Alarms that are open, and what came of telling them. Every label's values are a closed list.
#[derive(Clone, Debug, Default)]
pub struct AlarmMetrics {
    open: Family<Labels<2>, Gauge>,
    told: Family<Labels<2>, Counter>,
    waiting: Family<Labels<1>, Gauge>,
}

impl AlarmMetrics {
    /// Puts them among others.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("alarms", "Alarms that are open and not acknowledged", self.open.clone());
        registry.register("alarm_deliveries", "Alarms told, by sink and what came of it", self.told.clone());
        registry.register("alarms_undelivered", "Alarms that a sink was not told yet", self.waiting.clone());
    }

    pub(crate) fn see(&self, alarms: &Alarms) {
        for ((kind, severity), count) in alarms.counts() {
            let labels = [("kind", kind.name().to_owned()), ("severity", severity.name().to_owned())];
            self.open.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn told(&self, sink: &str, is_told: bool) {
        let result = if is_told { "told" } else { "failed" };
        self.told.get_or_create(&[("sink", sink.to_owned()), ("result", result.to_owned())]).inc();
    }

    pub(crate) fn waiting(&self, sink: &str, count: usize) {
        let labels = [("sink", sink.to_owned())];
        self.waiting.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
