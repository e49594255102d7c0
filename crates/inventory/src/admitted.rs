//! One question of whoever joins what runs with what was decided.

use attest::Digest;
use jiff::Timestamp;

use crate::error::InventoryError;
use crate::store::Inventory;

impl Inventory {
    /// The newest decision that admitted a digest in an environment, for a workload of this name, until `by`: its place
    /// in the log. What was admitted because it stood already justifies nothing by itself: somebody decided before.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn admitted(
        &self,
        digest: &Digest,
        environment: &str,
        workload: &str,
        by: Timestamp,
    ) -> Result<Option<u64>, InventoryError> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT d.log_index FROM decisions d JOIN places p ON p.id = d.place JOIN answers a ON a.id = d.answer
             WHERE d.digest = (SELECT id FROM digests WHERE bytes = ?1) AND d.admitted = 1 AND d.at <= ?2
               AND p.environment = (SELECT id FROM texts WHERE text = ?3)
               AND p.workload = (SELECT id FROM texts WHERE text = ?4) AND a.basis != 'standing'
             ORDER BY d.at DESC LIMIT 1",
        )
        .bind(digest.bytes())
        .bind(by.as_microsecond())
        .bind(environment)
        .bind(workload)
        .fetch_optional(self.readers())
        .await?;
        Ok(found.and_then(|index| u64::try_from(index).ok()))
    }
}
