//! Why something was let in, and what else came from there.

use attest::{Digest, Json};
use chokepoint::EventKind;
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use crate::error::InventoryError;
use crate::facts::{Fact, FactKind};
use crate::follow::signed;
use crate::observe::{Instance, Observation, moment, sha256};
use crate::store::Inventory;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An artifact by its digest.
    Digest(Digest),
    /// A workload by its whole name.
    Workload(String),
    /// An artifact by its name alone: everything that was asked for under it.
    Name(String),
}

/// A decision, as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Its place in the log.
    pub index: u64,
    /// When; whole microseconds.
    pub at: Timestamp,
    /// `admit`, `reject` or `cannot-decide`.
    pub decision: String,
    /// Why.
    pub basis: String,
    /// The verdict behind it.
    pub outcome: String,
    /// The environment.
    pub environment: String,
    /// The workload.
    pub workload: Option<String>,
    /// The artifact's name.
    pub artifact: String,
    /// Its digest.
    pub digest: Option<Digest>,
    /// Who asked.
    pub requester: Option<String>,
    /// Which choke point.
    pub chokepoint: String,
    /// The breakglass grant.
    pub grant: Option<String>,
    /// The rules that refused.
    pub rules: Vec<String>,
    /// The case.
    pub case: Option<Digest>,
}

/// The newest decisions about something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// The newest first.
    pub newest: Vec<Decided>,
    /// How many there are, counted up to [`Decisions::COUNTED`].
    pub count: u64,
}

impl Decisions {
    /// Nobody waits for more to be counted.
    pub const COUNTED: u64 = 10_000;
}

const COLUMNS: &str = "
SELECT d.log_index, d.at, a.decision, a.basis, a.outcome, e.text AS environment, w.text AS workload,
  u.text AS artifact, g.bytes AS digest, r.text AS requester, a.chokepoint, h.text AS held, a.rules, d.case_digest
FROM picked k JOIN decisions d ON d.log_index = k.log_index JOIN answers a ON a.id = d.answer
  JOIN places p ON p.id = d.place
  JOIN texts e ON e.id = p.environment JOIN texts u ON u.id = p.uri LEFT JOIN texts w ON w.id = p.workload
  LEFT JOIN digests g ON g.id = d.digest LEFT JOIN texts r ON r.id = d.requester LEFT JOIN texts h ON h.id = d.held
ORDER BY d.log_index DESC LIMIT ?2";

/// Those admitted and those refused are each in the order of their times in the index: the newest of both are merged, and
/// nothing else is read, however many there are.
const BY_DIGEST: &str = "
WITH picked AS MATERIALIZED (
  SELECT * FROM (SELECT log_index FROM decisions WHERE digest = (SELECT id FROM digests WHERE bytes = ?1) AND admitted = 1
    ORDER BY at DESC LIMIT ?2)
  UNION ALL
  SELECT * FROM (SELECT log_index FROM decisions WHERE digest = (SELECT id FROM digests WHERE bytes = ?1) AND admitted = 0
    ORDER BY at DESC LIMIT ?2))";
const COUNT_DIGEST: &str = "SELECT count(*) FROM (SELECT 1 FROM decisions
  WHERE digest = (SELECT id FROM digests WHERE bytes = ?1) LIMIT ?2)";
const BY_PLACE: &str = "
WITH picked AS MATERIALIZED (
  SELECT * FROM (SELECT log_index FROM decisions WHERE place = ?1 AND admitted = 1 ORDER BY at DESC LIMIT ?2)
  UNION ALL
  SELECT * FROM (SELECT log_index FROM decisions WHERE place = ?1 AND admitted = 0 ORDER BY at DESC LIMIT ?2))";
const BY_INDEX: &str = "WITH picked AS (SELECT ?1 AS log_index)";

/// More places than this of one workload or name are not asked.
const PLACES: i64 = 500;

impl FromRow<'_, SqliteRow> for Decided {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let rules: String = row.try_get("rules")?;
        Ok(Self {
            index: u64::try_from(row.try_get::<i64, _>("log_index")?).unwrap_or_default(),
            at: moment(row.try_get("at")?),
            decision: row.try_get("decision")?,
            basis: row.try_get("basis")?,
            outcome: row.try_get("outcome")?,
            environment: row.try_get("environment")?,
            workload: row.try_get("workload")?,
            artifact: row.try_get("artifact")?,
            digest: row.try_get::<Option<Vec<u8>>, _>("digest")?.and_then(sha256),
            requester: row.try_get("requester")?,
            chokepoint: row.try_get("chokepoint")?,
            grant: row.try_get("held")?,
            rules: rules.split_whitespace().map(str::to_owned).collect(),
            case: sha256(row.try_get("case_digest")?),
        })
    }
}

impl Inventory {
    /// The newest decisions about something, at most so many.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn decisions(&self, about: &Subject, limit: u64) -> Result<Decisions, InventoryError> {
        match about {
            Subject::Digest(digest) => self.decisions_of_digest(digest, limit).await,
            Subject::Workload(name) => {
                let places =
                    "SELECT id FROM places WHERE workload = (SELECT id FROM texts WHERE text = ?1) LIMIT ?2";
                self.decisions_of_places(places, name, limit).await
            }
            Subject::Name(name) => {
                let places =
                    "SELECT id FROM places WHERE uri = (SELECT id FROM texts WHERE text = ?1) LIMIT ?2";
                self.decisions_of_places(places, name, limit).await
            }
        }
    }

    async fn decisions_of_digest(&self, digest: &Digest, limit: u64) -> Result<Decisions, InventoryError> {
        let newest = sqlx::query_as(constant(BY_DIGEST))
            .bind(digest.bytes().to_vec())
            .bind(signed(limit))
            .fetch_all(self.readers())
            .await?;
        let count: i64 = sqlx::query_scalar(COUNT_DIGEST)
            .bind(digest.bytes().to_vec())
            .bind(signed(Decisions::COUNTED))
            .fetch_one(self.readers())
            .await?;
        Ok(Decisions { newest, count: u64::try_from(count).unwrap_or_default() })
    }

    async fn decisions_of_places(
        &self,
        places: &'static str,
        name: &str,
        limit: u64,
    ) -> Result<Decisions, InventoryError> {
        let places: Vec<i64> =
            sqlx::query_scalar(places).bind(name).bind(PLACES).fetch_all(self.readers()).await?;
        let mut all = Decisions::default();
        for place in places {
            let newest: Vec<Decided> = sqlx::query_as(constant(BY_PLACE))
                .bind(place)
                .bind(signed(limit))
                .fetch_all(self.readers())
                .await?;
            all.newest.extend(newest);
            let count: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM (SELECT 1 FROM decisions WHERE place = ?1 LIMIT ?2)",
            )
            .bind(place)
            .bind(signed(Decisions::COUNTED.saturating_sub(all.count)))
            .fetch_one(self.readers())
            .await?;
            all.count += u64::try_from(count).unwrap_or_default();
        }
        all.newest.sort_by_key(|decided| std::cmp::Reverse(decided.index));
        all.newest.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(all)
    }

    /// One decision by its place in the log; nothing where that is no decision, or was not read.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn decision(&self, index: u64) -> Result<Option<Decided>, InventoryError> {
        let found = sqlx::query_as(constant(BY_INDEX)).bind(signed(index)).bind(1_i64);
        Ok(found.fetch_optional(self.readers()).await?)
    }

    /// What proven evidence says of an artifact, in the order of [`FactKind::ALL`].
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn facts(&self, digest: &Digest) -> Result<Vec<Fact>, InventoryError> {
        let rows: Vec<(i64, String, Option<String>)> = sqlx::query_as(
            "SELECT f.kind, v.text, d.text FROM facts f JOIN texts v ON v.id = f.value LEFT JOIN texts d ON d.id = f.detail
             WHERE f.digest = (SELECT id FROM digests WHERE bytes = ?1) ORDER BY f.kind, v.text, d.text",
        )
        .bind(digest.bytes().to_vec())
        .fetch_all(self.readers())
        .await?;
        let fact = |(kind, value, detail)| Some(Fact { kind: FactKind::of_number(kind)?, value, detail });
        Ok(rows.into_iter().filter_map(fact).collect())
    }

    /// Artifacts about which the same is proven, at most so many.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn sharing(
        &self,
        kind: FactKind,
        value: &str,
        limit: u64,
    ) -> Result<Vec<Digest>, InventoryError> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT g.bytes FROM (SELECT DISTINCT digest FROM facts WHERE kind = ?1
               AND value = (SELECT id FROM texts WHERE text = ?2) ORDER BY digest DESC LIMIT ?3) f
             JOIN digests g ON g.id = f.digest ORDER BY f.digest DESC",
        )
        .bind(kind.number())
        .bind(value)
        .bind(signed(limit))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.into_iter().filter_map(sha256).collect())
    }

    /// The digests that begin with these hex digits, at most two: one that is alone is meant.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn digests_from(&self, hex: &str) -> Result<Vec<Digest>, InventoryError> {
        let even = hex.get(..hex.len() / 2 * 2).and_then(attest::digest::parse_hex).unwrap_or_default();
        let mut beyond = even.clone();
        beyond.resize(33, 0xff);
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT bytes FROM digests WHERE bytes >= ?1 AND bytes <= ?2 AND substr(lower(hex(bytes)), 1, length(?3)) = ?3
             AND length(bytes) = 32 ORDER BY bytes LIMIT 2",
        )
        .bind(even)
        .bind(beyond)
        .bind(hex)
        .fetch_all(self.readers())
        .await?;
        Ok(rows.into_iter().filter_map(sha256).collect())
    }

    /// What was observed of an artifact or a workload, the newest first, at most so many.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn instances(&self, about: &Subject, limit: u64) -> Result<Vec<Instance>, InventoryError> {
        let (digest, workload, image) = match about {
            Subject::Digest(digest) => (Some(digest.bytes().to_vec()), None, None),
            Subject::Workload(name) => (None, Some(name.as_str()), None),
            Subject::Name(name) => (None, None, Some(name.as_str())),
        };
        Ok(sqlx::query_as(
            "SELECT * FROM seen.instances
             WHERE digest = ?1 OR workload = ?2 OR image = ?3 OR (image > ?3 || '@' AND image < ?3 || 'A')
             ORDER BY until IS NOT NULL, id DESC LIMIT ?4",
        )
        .bind(digest)
        .bind(workload)
        .bind(image)
        .bind(signed(limit))
        .fetch_all(self.readers())
        .await?)
    }
}

/// An event, as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// Its place in the log.
    pub index: u64,
    /// When; whole microseconds.
    pub at: Timestamp,
    /// What is known of it.
    pub body: Json,
}

impl Inventory {
    /// The events of a kind from an index on, the oldest first, at most so many.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn events(
        &self,
        kind: EventKind,
        from: u64,
        limit: u64,
    ) -> Result<Vec<Happened>, InventoryError> {
        let rows: Vec<(i64, i64, String)> = sqlx::query_as(
            "SELECT log_index, at, body FROM events WHERE kind = ?1 AND log_index >= ?2 ORDER BY log_index LIMIT ?3",
        )
        .bind(kind.name())
        .bind(signed(from))
        .bind(signed(limit))
        .fetch_all(self.readers())
        .await?;
        let event = |(index, at, body): (i64, i64, String)| {
            let body = attest::json::parse(body.as_bytes()).unwrap_or(Json::Null);
            Happened { index: u64::try_from(index).unwrap_or_default(), at: moment(at), body }
        };
        Ok(rows.into_iter().map(event).collect())
    }
}

/// The statement that begins with what is picked.
fn constant(picked: &'static str) -> sqlx::AssertSqlSafe<String> {
    // two constants of this file: nothing that anybody wrote is in them
    sqlx::AssertSqlSafe(format!("{picked}{COLUMNS}"))
}

impl FromRow<'_, SqliteRow> for Instance {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let observation = Observation {
            cluster: row.try_get("cluster")?,
            instance: row.try_get("instance")?,
            environment: row.try_get("environment")?,
            workload: row.try_get("workload")?,
            image: row.try_get("image")?,
            digest: row.try_get::<Option<Vec<u8>>, _>("digest")?.and_then(sha256),
            node: row.try_get("node")?,
            since: moment(row.try_get("since")?),
        };
        Ok(Self { observation, until: row.try_get::<Option<i64>, _>("until")?.map(moment) })
    }
}
