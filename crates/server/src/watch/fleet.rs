//! What the watch asks of decisions, and where it writes down what runs.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use attest::Digest;
use inventory::{Inventory, InventoryError, Observation};
use jiff::Timestamp;

/// A question about decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What runs.
    pub digest: Digest,
    /// In which environment.
    pub environment: String,
    /// Under which name a decision would be on record: `CLUSTER/NAMESPACE/KIND/NAME`.
    pub workload: String,
    /// A decision after this does not count.
    pub by: Timestamp,
}

/// Decisions on record, and the place for observations.
pub trait Fleet: Send + Sync {
    /// Why nobody knows.
    type Error: fmt::Display + Send;

    /// The place in the log of a decision that admitted it; nothing where there is none.
    fn admitted(&self, asked: &Asked) -> impl Future<Output = Result<Option<u64>, Self::Error>> + Send;

    /// Writes down everything that runs in a cluster.
    fn observed(
        &self,
        cluster: &str,
        everything: &[Observation],
        at: Timestamp,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

impl Fleet for Arc<Inventory> {
    type Error = InventoryError;

    async fn admitted(&self, asked: &Asked) -> Result<Option<u64>, InventoryError> {
        Inventory::admitted(self, &asked.digest, &asked.environment, &asked.workload, asked.by).await
    }

    async fn observed(
        &self,
        cluster: &str,
        everything: &[Observation],
        at: Timestamp,
    ) -> Result<(), InventoryError> {
        self.observed_all(cluster, everything, at).await
    }
}
