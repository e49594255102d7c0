//! Everything that was deployed from somewhere, between two times.

use attest::Digest;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use crate::error::InventoryError;
use crate::facts::FactKind;
use crate::observe::{moment, sha256};
use crate::store::Inventory;

/// What the deployed things have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Built from a commit: its id in hex, or the beginning of it.
    Commit(String),
    /// Built from a repository.
    Repository(String),
    /// Built by a builder: its name in the trust root, or its `builder.id`.
    Builder(String),
    /// With evidence signed by a key: its id in hex or the beginning of it, or the name whose it is.
    Key(String),
    /// Built with an input: a base image, a dependency, a tool, by digest.
    Base(Digest),
    /// Asked for by somebody.
    Requester(String),
    /// Let in by a breakglass grant.
    Grant(String),
}

/// An artifact that was admitted to a place, once or more often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The environment.
    pub environment: String,
    /// The workload.
    pub workload: Option<String>,
    /// The artifact's name.
    pub artifact: String,
    /// Its digest.
    pub digest: Option<Digest>,
    /// When it was admitted first, of the times that were asked about.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How often.
    pub times: u64,
    /// The newest of these decisions.
    pub newest: u64,
}

const SELECT: &str = "
SELECT e.text AS environment, w.text AS workload, u.text AS artifact, g.bytes AS digest, k.first, k.last, k.times,
  k.newest
FROM picked k JOIN places p ON p.id = k.place JOIN texts e ON e.id = p.environment JOIN texts u ON u.id = p.uri
  LEFT JOIN texts w ON w.id = p.workload LEFT JOIN digests g ON g.id = k.digest
ORDER BY k.newest DESC";
const GROUPED: &str = "d.place, d.digest, min(d.at) AS first, max(d.at) AS last, count(*) AS times,
  max(d.log_index) AS newest";
/// ?3 and ?4 are two kinds, ?5 and ?6 the ends of a range of texts.
const OF_FACTS: &str = "FROM (SELECT DISTINCT digest FROM facts
    WHERE kind IN (?3, ?4) AND value IN (SELECT id FROM texts WHERE text BETWEEN ?5 AND ?6)) f
  JOIN decisions d ON d.digest = f.digest AND d.admitted = 1 AND d.at BETWEEN ?1 AND ?2";
const OF_REQUESTER: &str =
    "FROM decisions d WHERE d.requester = (SELECT id FROM texts WHERE text = ?3) AND d.admitted = 1
  AND d.at BETWEEN ?1 AND ?2";
const OF_GRANT: &str =
    "FROM decisions d WHERE d.held != 0 AND d.held = (SELECT id FROM texts WHERE text = ?3)
  AND d.admitted = 1 AND d.at BETWEEN ?1 AND ?2";

impl FromRow<'_, SqliteRow> for Deployment {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let number =
            |name: &str| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(name)?).unwrap_or(0));
        Ok(Self {
            environment: row.try_get("environment")?,
            workload: row.try_get("workload")?,
            artifact: row.try_get("artifact")?,
            digest: row.try_get::<Option<Vec<u8>>, _>("digest")?.and_then(sha256),
            first: moment(row.try_get("first")?),
            last: moment(row.try_get("last")?),
            times: number("times")?,
            newest: number("newest")?,
        })
    }
}

impl From {
    /// The two kinds of facts that say so, and the range of texts that is meant; nothing where no fact does.
    fn facts(&self) -> Option<(FactKind, FactKind, String, String)> {
        let exactly = |a, b, text: &str| Some((a, b, text.to_owned(), text.to_owned()));
        match self {
            Self::Commit(id) => range(FactKind::Commit, FactKind::Commit, id),
            Self::Repository(uri) => exactly(FactKind::Repository, FactKind::Repository, uri),
            Self::Builder(name) => exactly(FactKind::Builder, FactKind::BuilderId, name),
            Self::Key(id) if is_hex(id) => range(FactKind::Key, FactKind::Signer, id),
            Self::Key(name) => exactly(FactKind::Signer, FactKind::Signer, name),
            Self::Base(digest) => exactly(FactKind::Dependency, FactKind::Tool, &digest.to_string()),
            Self::Requester(_) | Self::Grant(_) => None,
        }
    }
}

/// Everything that begins with this: no hex digit comes after the last of them.
fn range(a: FactKind, b: FactKind, beginning: &str) -> Option<(FactKind, FactKind, String, String)> {
    Some((a, b, beginning.to_owned(), format!("{beginning}g")))
}

fn is_hex(text: &str) -> bool {
    text.len() >= 7 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Inventory {
    /// Everything that was admitted and came from there, at `between` or from the first to the last of it; the newest first.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn deployed(
        &self,
        from: &From,
        between: Option<(Timestamp, Timestamp)>,
        visit: &mut (dyn FnMut(Deployment) + Send),
    ) -> Result<(), InventoryError> {
        let (first, last) =
            between.map_or((i64::MIN, i64::MAX), |(a, b)| (a.as_microsecond(), b.as_microsecond()));
        let picked = |rest: &str| {
            // constants of this file: what was asked is bound
            let text = format!("WITH picked AS (SELECT {GROUPED} {rest} GROUP BY d.place, d.digest){SELECT}");
            sqlx::query_as::<_, Deployment>(sqlx::AssertSqlSafe(text)).bind(first).bind(last)
        };
        let query = match (from, from.facts()) {
            (_, Some((a, b, lowest, highest))) => {
                picked(OF_FACTS).bind(a.number()).bind(b.number()).bind(lowest).bind(highest)
            }
            (From::Grant(id), None) => picked(OF_GRANT).bind(id.clone()),
            (From::Requester(name), None) => picked(OF_REQUESTER).bind(name.clone()),
            (_, None) => return Ok(()),
        };
        let mut rows = query.fetch(self.readers());
        while let Some(deployment) = rows.try_next().await? {
            visit(deployment);
        }
        Ok(())
    }
}
