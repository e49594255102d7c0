//! The queue: a table in SQLite. A job that was acknowledged is on disk, and every change of its state is one
//! transaction, so that a service killed at any moment finds each job in exactly one state.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use attest::Json;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use crate::config::QueueLimits;
use crate::job::{Job, State, Wish};

const SCHEMA: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS service (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS jobs (
        id TEXT PRIMARY KEY, repository TEXT NOT NULL, reference TEXT NOT NULL, target TEXT NOT NULL,
        requester TEXT NOT NULL, idempotency TEXT, state TEXT NOT NULL, attempts BIGINT NOT NULL,
        unwanted BIGINT NOT NULL, submitted_at BIGINT NOT NULL, started_at BIGINT, finished_at BIGINT,
        reason TEXT, outputs TEXT, swept BIGINT NOT NULL, UNIQUE (requester, idempotency))",
    "CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, submitted_at, id)",
    "CREATE INDEX IF NOT EXISTS jobs_by_time ON jobs (submitted_at, id)",
];
/// A later service may write what this one cannot read.
const VERSION: &str = "1";

/// Why the queue did not do it.
#[derive(Debug)]
pub(crate) enum QueueError {
    /// The database failed.
    Database(sqlx::Error),
    /// The database was written by a service of another version.
    Version(String),
    /// As many builds wait as may.
    Full(u64),
    /// As many builds of this requester wait as may.
    FullForRequester(u64),
    /// The same idempotency key came with another wish; the field is the job that it made.
    KeyReused(String),
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(e) => write!(f, "the queue's database failed: {e}"),
            Self::Version(found) => {
                write!(f, "the queue's database has version {found}, and this service reads {VERSION}")
            }
            Self::Full(limit) => write!(f, "{limit} builds are waiting already"),
            Self::FullForRequester(limit) => {
                write!(f, "{limit} builds of this requester are waiting already")
            }
            Self::KeyReused(id) => {
                write!(f, "the idempotency key belongs to another request, which made {id}")
            }
        }
    }
}
impl std::error::Error for QueueError {}

impl From<sqlx::Error> for QueueError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// A submission.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) id: String,
    pub(crate) wish: Wish,
    pub(crate) requester: String,
    pub(crate) idempotency: Option<String>,
    pub(crate) now: i64,
}

/// Which jobs to list, newest first.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Only of these repositories.
    pub(crate) repositories: Vec<String>,
    pub(crate) state: Option<State>,
    /// Only those submitted before this job.
    pub(crate) before: Option<String>,
    pub(crate) limit: i64,
}

/// The queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pool: SqlitePool,
}

impl Queue {
    /// Opens the queue, made where there is none.
    pub(crate) async fn open(file: &Path) -> Result<Self, QueueError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // WAL with less than FULL may lose the last commits in a power cut: those were acknowledged
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        // one connection: every statement sees every earlier one, and nothing ever waits for a lock of ours
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        for statement in SCHEMA {
            sqlx::query(statement).execute(&pool).await?;
        }
        sqlx::query("INSERT INTO service (name, value) VALUES ('version', $1) ON CONFLICT (name) DO NOTHING")
            .bind(VERSION)
            .execute(&pool)
            .await?;
        let row = sqlx::query("SELECT value FROM service WHERE name = 'version'").fetch_one(&pool).await?;
        let found: String = row.try_get(0)?;
        if found == VERSION { Ok(Self { pool }) } else { Err(QueueError::Version(found)) }
    }

    /// Takes a submission, or finds the job that the same key made before. It is on disk when this returns.
    pub(crate) async fn submit(
        &self,
        submission: &Submission,
        limits: QueueLimits,
    ) -> Result<Job, QueueError> {
        let mut transaction = self.pool.begin().await?;
        let earlier = sqlx::query("SELECT * FROM jobs WHERE requester = $1 AND idempotency = $2")
            .bind(&submission.requester)
            .bind(&submission.idempotency)
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(row) = earlier {
            let job = read(&row)?;
            return if job.wish == submission.wish { Ok(job) } else { Err(QueueError::KeyReused(job.id)) };
        }
        let counts = sqlx::query(
            "SELECT COUNT(*), COALESCE(SUM(CASE WHEN requester = $1 THEN 1 ELSE 0 END), 0)
             FROM jobs WHERE state = 'queued'",
        )
        .bind(&submission.requester)
        .fetch_one(&mut *transaction)
        .await?;
        let (all, own): (i64, i64) = (counts.try_get(0)?, counts.try_get(1)?);
        if !is_below(all, limits.waiting) {
            return Err(QueueError::Full(limits.waiting));
        }
        if !is_below(own, limits.waiting_each) {
            return Err(QueueError::FullForRequester(limits.waiting_each));
        }
        let row = sqlx::query(
            "INSERT INTO jobs (id, repository, reference, target, requester, idempotency, state, attempts,
                unwanted, submitted_at, swept)
             VALUES ($1, $2, $3, $4, $5, $6, 'queued', 0, 0, $7, 0) RETURNING *",
        )
        .bind(&submission.id)
        .bind(&submission.wish.repository)
        .bind(&submission.wish.reference)
        .bind(&submission.wish.target)
        .bind(&submission.requester)
        .bind(&submission.idempotency)
        .bind(submission.now)
        .fetch_one(&mut *transaction)
        .await?;
        let job = read(&row)?;
        transaction.commit().await?;
        Ok(job)
    }

    pub(crate) async fn find(&self, id: &str) -> Result<Option<Job>, QueueError> {
        let row = sqlx::query("SELECT * FROM jobs WHERE id = $1").bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(read).transpose()
    }

    pub(crate) async fn list(&self, page: &Page) -> Result<Vec<Job>, QueueError> {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("SELECT * FROM jobs WHERE repository IN (");
        let mut names = query.separated(", ");
        for name in &page.repositories {
            names.push_bind(name.clone());
        }
        query.push(")");
        if let Some(state) = page.state {
            query.push(" AND state = ").push_bind(state.name());
        }
        if let Some(before) = &page.before {
            query.push(" AND (submitted_at, id) < (SELECT submitted_at, id FROM jobs WHERE id = ");
            query.push_bind(before.clone()).push(")");
        }
        query.push(" ORDER BY submitted_at DESC, id DESC LIMIT ").push_bind(page.limit);
        let rows = query.build().fetch_all(&self.pool).await?;
        rows.iter().map(read).collect()
    }

    /// How many jobs wait that come before one.
    pub(crate) async fn ahead(&self, id: &str) -> Result<i64, QueueError> {
        let row = sqlx::query(
            "SELECT COUNT(*) FROM jobs WHERE state = 'queued'
                AND (submitted_at, id) < (SELECT submitted_at, id FROM jobs WHERE id = $1)",
        )
        .bind(id)
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get(0)?)
    }

    /// The next job, which is running from now on.
    pub(crate) async fn claim(&self, now: i64) -> Result<Option<Job>, QueueError> {
        // all rows are read, so that the statement runs to its end and an error of its commit is seen
        let rows = sqlx::query(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, started_at = $1 WHERE id =
                (SELECT id FROM jobs WHERE state = 'queued' ORDER BY submitted_at, id LIMIT 1) RETURNING *",
        )
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        rows.first().map(read).transpose()
    }

    /// The jobs that run, or ran when the service was killed.
    pub(crate) async fn running(&self) -> Result<Vec<Job>, QueueError> {
        let rows = sqlx::query("SELECT * FROM jobs WHERE state = 'running' ORDER BY submitted_at, id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Ends a running job. One that is over stays as it is.
    pub(crate) async fn finish(
        &self,
        id: &str,
        state: State,
        details: (Option<&Json>, Option<&Json>),
        now: i64,
    ) -> Result<(), QueueError> {
        let (reason, outputs) = details;
        sqlx::query(
            "UPDATE jobs SET state = $1, reason = $2, outputs = $3, finished_at = $4
             WHERE id = $5 AND state = 'running'",
        )
        .bind(state.name())
        .bind(reason.map(Json::to_string))
        .bind(outputs.map(Json::to_string))
        .bind(now)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Puts a running job back to its old place. `attempts` is how many of its starts count.
    pub(crate) async fn requeue(&self, id: &str, attempts: i64) -> Result<(), QueueError> {
        sqlx::query(
            "UPDATE jobs SET state = 'queued', attempts = $1, started_at = NULL
             WHERE id = $2 AND state = 'running'",
        )
        .bind(attempts)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends a job that waits, and marks one that runs as unwanted. Gives it as it is then.
    pub(crate) async fn cancel(&self, id: &str, reason: &Json, now: i64) -> Result<Option<Job>, QueueError> {
        sqlx::query(
            "UPDATE jobs SET unwanted = 1,
                reason = $1,
                finished_at = CASE state WHEN 'queued' THEN $2 ELSE finished_at END,
                state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END
             WHERE id = $3 AND state IN ('queued', 'running')",
        )
        .bind(reason.to_string())
        .bind(now)
        .bind(id)
        .execute(&self.pool)
        .await?;
        self.find(id).await
    }

    /// Jobs that ended before `cutoff` and whose files are still there.
    pub(crate) async fn expired(&self, cutoff: i64) -> Result<Vec<String>, QueueError> {
        let rows = sqlx::query("SELECT id FROM jobs WHERE swept = 0 AND finished_at < $1 LIMIT 100")
            .bind(cutoff)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Notes that a job's files are gone.
    pub(crate) async fn swept(&self, id: &str) -> Result<(), QueueError> {
        sqlx::query("UPDATE jobs SET swept = 1 WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Writes, to see whether that is possible.
    pub(crate) async fn probe(&self, now: i64) -> Result<(), QueueError> {
        sqlx::query(
            "INSERT INTO service (name, value) VALUES ('probe', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(now.to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Closes the database in good order.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

fn is_below(count: i64, limit: u64) -> bool {
    u64::try_from(count).is_ok_and(|count| count < limit)
}

fn read(row: &SqliteRow) -> Result<Job, QueueError> {
    let text = |name: &str| row.try_get::<String, _>(name);
    let json = |name: &str| -> Result<Option<Json>, sqlx::Error> {
        let text = row.try_get::<Option<String>, _>(name)?;
        Ok(text.and_then(|t| attest::json::parse(t.as_bytes()).ok()))
    };
    let state = text("state")?;
    Ok(Job {
        id: text("id")?,
        wish: Wish {
            repository: text("repository")?,
            reference: text("reference")?,
            target: text("target")?,
        },
        requester: text("requester")?,
        state: State::parse(&state).ok_or_else(|| sqlx::Error::Decode(state.into()))?,
        attempts: row.try_get("attempts")?,
        is_unwanted: row.try_get::<i64, _>("unwanted")? != 0,
        submitted_at: row.try_get("submitted_at")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        reason: json("reason")?,
        outputs: json("outputs")?,
    })
}
