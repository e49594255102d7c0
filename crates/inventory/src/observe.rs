//! What clusters report to run. Intervals: since when, until when.

use std::collections::BTreeMap;

use attest::{Algorithm, Digest};
use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection as _, FromRow, Row as _};

use crate::error::InventoryError;
use crate::store::Inventory;

/// One running container of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The cluster, by the name that its choke point uses in workloads.
    pub cluster: String,
    /// Which instance: whatever stays the same while it runs, as in `POD-UID/CONTAINER`.
    pub instance: String,
    /// The environment, by the mapping.
    pub environment: String,
    /// What a person wrote, and runs it: as in a record's `workload`.
    pub workload: String,
    /// The image, as the cluster calls it.
    pub image: String,
    /// The digest of what runs, where the cluster says it.
    pub digest: Option<Digest>,
    /// The node.
    pub node: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// An instance that ran for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What was observed.
    pub observation: Observation,
    /// Until when; nothing where it runs.
    pub until: Option<Timestamp>,
}

/// A cluster that reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedCluster {
    /// Its name.
    pub name: String,
    /// When it was heard first.
    pub since: Timestamp,
    /// When it was heard last.
    pub heard: Timestamp,
}

/// A row of the table, as SQLite gives it.
#[derive(Debug)]
struct Open {
    id: i64,
    digest: Option<Vec<u8>>,
    instance: String,
    image: String,
    workload: String,
    environment: String,
}

impl Inventory {
    /// A cluster reports that something runs. The same again changes nothing; the same instance with another digest or
    /// workload ends the one before.
    ///
    /// # Errors
    /// [`InventoryError`]; what was reported is not kept then.
    pub async fn observe(&self, seen: &Observation) -> Result<(), InventoryError> {
        let mut writer = self.writer().await?;
        let mut all = writer.begin_with("BEGIN IMMEDIATE").await?;
        heard(&mut all, &seen.cluster, seen.since).await?;
        let open: Option<Open> = sqlx::query_as(
            "SELECT id, digest, instance, image, workload, environment FROM seen.instances
             WHERE cluster = ?1 AND instance = ?2 AND until IS NULL",
        )
        .bind(&seen.cluster)
        .bind(&seen.instance)
        .fetch_optional(&mut *all)
        .await?;
        match open {
            Some(row) if row.is_same(seen) => {}
            Some(row) => {
                end(&mut all, row.id, seen.since).await?;
                begin(&mut all, seen).await?;
            }
            None => begin(&mut all, seen).await?,
        }
        Ok(all.commit().await?)
    }

    /// A cluster reports that an instance runs no more: all its containers where only the part before a slash is named.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn gone(&self, cluster: &str, instance: &str, at: Timestamp) -> Result<(), InventoryError> {
        let mut writer = self.writer().await?;
        let mut all = writer.begin_with("BEGIN IMMEDIATE").await?;
        heard(&mut all, cluster, at).await?;
        sqlx::query(
            "UPDATE seen.instances SET until = max(since, ?3) WHERE cluster = ?1 AND until IS NULL
             AND (instance = ?2 OR (instance > ?2 || '/' AND instance < ?2 || '0'))",
        )
        .bind(cluster)
        .bind(instance)
        .bind(at.as_microsecond())
        .execute(&mut *all)
        .await?;
        Ok(all.commit().await?)
    }

    /// A cluster reports everything that runs in it: what is not among it runs no more.
    ///
    /// # Errors
    /// [`InventoryError`]; nothing of the report is kept then.
    pub async fn observed_all(
        &self,
        cluster: &str,
        everything: &[Observation],
        at: Timestamp,
    ) -> Result<(), InventoryError> {
        let mut writer = self.writer().await?;
        let mut all = writer.begin_with("BEGIN IMMEDIATE").await?;
        heard(&mut all, cluster, at).await?;
        let open: Vec<Open> = sqlx::query_as(
            "SELECT id, digest, instance, image, workload, environment FROM seen.instances
             WHERE cluster = ?1 AND until IS NULL",
        )
        .bind(cluster)
        .fetch_all(&mut *all)
        .await?;
        let mut open: BTreeMap<String, Open> =
            open.into_iter().map(|row| (row.instance.clone(), row)).collect();
        for seen in everything.iter().filter(|seen| seen.cluster == cluster) {
            match open.remove(&seen.instance) {
                Some(row) if row.is_same(seen) => {}
                Some(row) => {
                    end(&mut all, row.id, at).await?;
                    begin(&mut all, seen).await?;
                }
                None => begin(&mut all, seen).await?,
            }
        }
        for row in open.into_values() {
            end(&mut all, row.id, at).await?;
        }
        Ok(all.commit().await?)
    }

    /// The clusters that report, by name.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn clusters(&self) -> Result<Vec<ObservedCluster>, InventoryError> {
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT name, since, heard FROM seen.clusters ORDER BY name")
                .fetch_all(self.readers())
                .await?;
        let cluster =
            |(name, since, heard)| ObservedCluster { name, since: moment(since), heard: moment(heard) };
        Ok(rows.into_iter().map(cluster).collect())
    }
}

impl FromRow<'_, SqliteRow> for Open {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            digest: row.try_get("digest")?,
            instance: row.try_get("instance")?,
            image: row.try_get("image")?,
            workload: row.try_get("workload")?,
            environment: row.try_get("environment")?,
        })
    }
}

impl Open {
    fn is_same(&self, seen: &Observation) -> bool {
        self.digest.as_deref() == seen.digest.as_ref().map(Digest::bytes)
            && self.image == seen.image
            && self.workload == seen.workload
            && self.environment == seen.environment
    }
}

async fn heard(connection: &mut SqliteConnection, cluster: &str, at: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO seen.clusters VALUES (?1, ?2, ?2)
         ON CONFLICT (name) DO UPDATE SET heard = max(heard, ?2), since = min(since, ?2)",
    )
    .bind(cluster)
    .bind(at.as_microsecond())
    .execute(connection)
    .await?;
    Ok(())
}

async fn begin(connection: &mut SqliteConnection, seen: &Observation) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO seen.instances (cluster, instance, environment, workload, image, digest, node, since)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(&seen.cluster)
    .bind(&seen.instance)
    .bind(&seen.environment)
    .bind(&seen.workload)
    .bind(&seen.image)
    .bind(seen.digest.as_ref().map(|digest| digest.bytes().to_vec()))
    .bind(&seen.node)
    .bind(seen.since.as_microsecond())
    .execute(connection)
    .await?;
    Ok(())
}

async fn end(connection: &mut SqliteConnection, id: i64, at: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE seen.instances SET until = max(since, ?2) WHERE id = ?1")
        .bind(id)
        .bind(at.as_microsecond())
        .execute(connection)
        .await?;
    Ok(())
}

/// Microseconds since 1970 as a time; what no time can be is the earliest.
pub(crate) fn moment(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::MIN)
}

/// The bytes of a SHA-256 as a digest.
pub(crate) fn sha256(bytes: Vec<u8>) -> Option<Digest> {
    Digest::from_bytes(Algorithm::Sha256, bytes).ok()
}
