//! What runs, or ran at a time, and which decision let it in.

use attest::Digest;
use chokepoint::OF_FILES;
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use crate::error::InventoryError;
use crate::observe::{moment, sha256};
use crate::store::Inventory;

/// So many at once: what a page holds is all that is held.
const PAGE: i64 = 1000;
/// Two machines' clocks may differ by so much: a container may seem to start so long before it was admitted.
const TOLERANCE: i64 = 60 * 1_000_000;

/// Something that runs, or ran at the time that was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// What a person wrote, and runs it; where no choke point named it, nothing.
    pub workload: Option<String>,
    /// The environment.
    pub environment: String,
    /// The artifact's name: the image as the cluster calls it, or the name in the decision.
    pub artifact: String,
    /// Its digest.
    pub digest: Option<Digest>,
    /// Since when: when it was observed first, or decided last.
    pub since: Timestamp,
    /// How we know.
    pub source: Source,
    /// The newest decision that admitted this digest there before it started; nothing where nobody decided.
    pub decided: Option<u64>,
    /// The case of that decision.
    pub case: Option<Digest>,
}

/// How we know that something runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A cluster reports it.
    Observed {
        /// The cluster.
        cluster: String,
        /// The instance.
        instance: String,
        /// The node.
        node: Option<String>,
    },
    /// Nothing watches there: it is what was admitted last under this name.
    Admitted,
}

/// Everything live, page by page.
#[derive(Debug)]
pub struct LivePages<'a> {
    inventory: &'a Inventory,
    at: Option<Timestamp>,
    environment: Option<String>,
    only_undecided: bool,
    stage: Stage,
}

/// How far the pages are: first what was observed, then what was admitted where nothing watches.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Observed(i64),
    Admitted(i64),
    Done,
}

#[derive(Debug)]
struct Row {
    id: i64,
    workload: Option<String>,
    environment: String,
    artifact: String,
    digest: Option<Vec<u8>>,
    since: i64,
    cluster: Option<String>,
    instance: Option<String>,
    node: Option<String>,
    decided: Option<i64>,
    case_digest: Option<Vec<u8>>,
}

/// ?1 the last id, ?2 the time, ?3 the environment, ?4 the tolerance, ?5 the limit, ?6 whether it is asked about now.
const OBSERVED: &str = "
WITH running AS MATERIALIZED (
  SELECT i.*, (
    SELECT d.log_index FROM decisions d JOIN places p ON p.id = d.place
    WHERE d.digest = (SELECT id FROM digests WHERE bytes = i.digest) AND d.admitted = 1 AND d.at <= i.since + ?4
      AND p.environment = (SELECT id FROM texts WHERE text = i.environment)
      AND (p.workload = 0 OR p.workload = (SELECT id FROM texts WHERE text = i.workload))
    ORDER BY d.at DESC LIMIT 1) AS decided
  FROM seen.instances i
  WHERE i.id > ?1 AND i.since <= ?2 AND (i.until IS NULL OR (?6 = 0 AND i.until > ?2))
    AND (?3 IS NULL OR i.environment = ?3)
  ORDER BY i.id LIMIT ?5)
SELECT r.id, r.workload, r.environment, r.image AS artifact, r.digest, r.since, r.cluster, r.instance, r.node, r.decided,
  d.case_digest FROM running r LEFT JOIN decisions d ON d.log_index = r.decided ORDER BY r.id";

/// As above, without the tolerance, ?5 the choke point of our own files, which run nowhere. A cluster that reports says itself
/// what runs in it, so what was admitted for it is left out from when it reported first.
const ADMITTED: &str = "
WITH newest AS MATERIALIZED (
  SELECT p.*, (
    SELECT d.log_index FROM decisions d WHERE d.place = p.id AND d.admitted = 1 AND d.at <= ?2
    ORDER BY d.at DESC, d.log_index DESC LIMIT 1) AS decided
  FROM places p LEFT JOIN texts w ON w.id = p.workload
  WHERE p.id > ?1 AND (?3 IS NULL OR p.environment = (SELECT id FROM texts WHERE text = ?3))
    AND NOT EXISTS (SELECT 1 FROM seen.clusters c WHERE c.since <= ?2
      AND substr(w.text, 1, length(c.name) + 1) = c.name || '/')
  ORDER BY p.id LIMIT ?4)
SELECT n.id, w.text AS workload, e.text AS environment, u.text AS artifact, g.bytes AS digest,
  coalesce(d.at, 0) AS since, NULL AS cluster, NULL AS instance, NULL AS node,
  CASE WHEN d.answer IN (SELECT id FROM answers WHERE chokepoint = ?5) THEN NULL ELSE n.decided END AS decided, d.case_digest
FROM newest n JOIN texts e ON e.id = n.environment JOIN texts u ON u.id = n.uri
  LEFT JOIN texts w ON w.id = n.workload LEFT JOIN decisions d ON d.log_index = n.decided
  LEFT JOIN digests g ON g.id = d.digest
ORDER BY n.id";

impl FromRow<'_, SqliteRow> for Row {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            workload: row.try_get("workload")?,
            environment: row.try_get("environment")?,
            artifact: row.try_get("artifact")?,
            digest: row.try_get("digest")?,
            since: row.try_get("since")?,
            cluster: row.try_get("cluster")?,
            instance: row.try_get("instance")?,
            node: row.try_get("node")?,
            decided: row.try_get("decided")?,
            case_digest: row.try_get("case_digest")?,
        })
    }
}

impl Inventory {
    /// Everything that runs now, or ran at a time. Where no cluster reports, what was admitted last under each name counts as
    /// running.
    #[must_use]
    pub fn live(&self, at: Option<Timestamp>) -> LivePages<'_> {
        let stage = Stage::Observed(0);
        LivePages { inventory: self, at, environment: None, only_undecided: false, stage }
    }

    /// What runs now, and nobody decided: no decision admitted this digest there before it started. Every one is worth an
    /// alarm.
    #[must_use]
    pub fn undecided(&self) -> LivePages<'_> {
        LivePages { only_undecided: true, ..self.live(None) }
    }
}

/// Where an artifact was admitted lately: a place that runs it now is among these.
const PLACES_OF_DIGEST: &str = "p.id IN (SELECT place FROM (SELECT place FROM decisions
    WHERE digest = (SELECT id FROM digests WHERE bytes = ?1) AND admitted = 1 ORDER BY at DESC LIMIT 1000))";

impl Inventory {
    /// Where an artifact runs now, at most so many.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn running(&self, digest: &Digest, limit: u32) -> Result<Vec<Live>, InventoryError> {
        let pages = self.live(None);
        // the statements of the pages, about one artifact: constants of this file
        let observed = sqlx::AssertSqlSafe(OBSERVED.replace("i.id > ?1", "i.digest = ?1"));
        let admitted = sqlx::AssertSqlSafe(ADMITTED.replace("p.id > ?1", PLACES_OF_DIGEST));
        let (bytes, none) = (digest.bytes().to_vec(), None::<String>);
        let observed: Vec<Row> = sqlx::query_as(observed)
            .bind(bytes.clone())
            .bind(i64::MAX)
            .bind(&none)
            .bind(TOLERANCE)
            .bind(i64::from(limit))
            .bind(1_i64)
            .fetch_all(self.readers())
            .await?;
        let admitted: Vec<Row> = sqlx::query_as(admitted)
            .bind(bytes)
            .bind(i64::MAX)
            .bind(&none)
            .bind(PAGE)
            .bind(OF_FILES)
            .fetch_all(self.readers())
            .await?;
        let all = observed.into_iter().chain(admitted).filter_map(|row| pages.read(row));
        let here = all.filter(|live| live.digest.as_ref() == Some(digest));
        Ok(here.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }
}

impl LivePages<'_> {
    /// Only one environment.
    #[must_use]
    pub fn of_environment(mut self, environment: &str) -> Self {
        self.environment = Some(environment.to_owned());
        self
    }

    /// The next page, and nothing after the last.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn next(&mut self) -> Result<Option<Vec<Live>>, InventoryError> {
        loop {
            let (rows, last) = match self.stage {
                Stage::Observed(last) => (self.observed(last).await?, last),
                Stage::Admitted(last) => (self.admitted(last).await?, last),
                Stage::Done => return Ok(None),
            };
            let is_last = rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            let last = rows.last().map_or(last, |row| row.id);
            self.stage = match self.stage {
                Stage::Observed(_) if is_last && self.only_undecided => Stage::Done,
                Stage::Observed(_) if is_last => Stage::Admitted(0),
                Stage::Observed(_) => Stage::Observed(last),
                Stage::Admitted(_) if !is_last => Stage::Admitted(last),
                Stage::Admitted(_) | Stage::Done => Stage::Done,
            };
            let page: Vec<Live> = rows.into_iter().filter_map(|row| self.read(row)).collect();
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
    }

    async fn observed(&self, last: i64) -> Result<Vec<Row>, InventoryError> {
        Ok(sqlx::query_as(OBSERVED)
            .bind(last)
            .bind(self.moment())
            .bind(&self.environment)
            .bind(TOLERANCE)
            .bind(PAGE)
            .bind(i64::from(self.at.is_none()))
            .fetch_all(self.inventory.readers())
            .await?)
    }

    async fn admitted(&self, last: i64) -> Result<Vec<Row>, InventoryError> {
        Ok(sqlx::query_as(ADMITTED)
            .bind(last)
            .bind(self.moment())
            .bind(&self.environment)
            .bind(PAGE)
            .bind(OF_FILES)
            .fetch_all(self.inventory.readers())
            .await?)
    }

    fn moment(&self) -> i64 {
        self.at.map_or(i64::MAX, Timestamp::as_microsecond)
    }

    fn read(&self, row: Row) -> Option<Live> {
        let source = match (row.cluster, row.instance) {
            (Some(cluster), Some(instance)) => Source::Observed { cluster, instance, node: row.node },
            // a place where everything was refused has nothing that runs, and a book runs nowhere
            _ if row.decided.is_none() => return None,
            _ => Source::Admitted,
        };
        if self.only_undecided && row.decided.is_some() {
            return None;
        }
        Some(Live {
            workload: row.workload,
            environment: row.environment,
            artifact: row.artifact,
            digest: row.digest.and_then(sha256),
            since: moment(row.since),
            source,
            decided: row.decided.and_then(|index| u64::try_from(index).ok()),
            case: row.case_digest.and_then(sha256),
        })
    }
}
