//! How often registries were asked.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// `portcullis_registry_fetches_total{result}`.
#[derive(Clone, Debug, Default)]
pub struct RegistryMetrics(Family<[(&'static str, String); 1], Counter>);

impl RegistryMetrics {
    const RESULTS: [&str; 3] = ["found", "none", "unknown"];

    /// Puts them among others; each series is there from the start.
    pub fn register(&self, registry: &mut Registry) {
        let what = "Questions to registries for evidence, by what came of them";
        registry.register("registry_fetches", what, self.0.clone());
        Self::RESULTS.iter().for_each(|result| drop(self.of(result)));
    }

    pub(crate) fn count(&self, result: &str) {
        self.of(result).inc();
    }

    fn of(&self, result: &str) -> Counter {
        self.0.get_or_create(&[("result", result.to_owned())]).clone()
    }
}
