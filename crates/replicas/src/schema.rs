//! The tables, their versions, and who makes them.

use std::fmt;
use std::sync::Arc;

use attest::merkle::empty_root;
use sqlx::{Connection as _, PgConnection};
use tlog::{Files, Log, LogSigner, OpenLogError};

use crate::config::Config;
use crate::connect::{Database, Fault};
use crate::signer::Monotonic;

/// Every version's steps from the one before. One that was released is never changed.
const VERSIONS: [&str; 1] = [include_str!("schema/1.sql")];

/// Held while tables are made, whatever the log: two of these are not run at once.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('portcullis schema', 0))";
const BEGIN: &str = "CREATE SCHEMA IF NOT EXISTS portcullis;
CREATE TABLE IF NOT EXISTS portcullis.version (version bigint NOT NULL);
INSERT INTO portcullis.version SELECT 0 WHERE NOT EXISTS (SELECT FROM portcullis.version)";
const FOUND: &str = "SELECT version FROM portcullis.version";
const RAISE: &str = "UPDATE portcullis.version SET version = $1";
const FIRST: &str =
    "INSERT INTO portcullis.checkpoint (origin, size, root) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING";

/// Why the log could not be made.
#[derive(Debug)]
pub enum CreateError {
    /// The configuration has no folder for the tree, or no sequencer.
    NoFolder,
    /// The database failed, or refused.
    Database(String),
    /// The tables are of a later version of this program.
    Newer(u64),
    /// The folder.
    Log(OpenLogError),
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder => f.write_str(
                "the configuration has no `tiles` or no `sequence`: a log is made where it is sequenced",
            ),
            Self::Database(e) => f.write_str(e),
            Self::Newer(version) => write!(
                f,
                "the log's tables have version {version}, and this program knows {}: use the newer program",
                VERSIONS.len()
            ),
            Self::Log(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for CreateError {}

impl From<Fault> for CreateError {
    fn from(e: Fault) -> Self {
        Self::Database(e.0)
    }
}

/// Makes the tables, or brings them to this program's version, and makes the log's row and its empty tree. What is there
/// stays. The writer's login of this configuration is the database's owner here, and no replica's.
///
/// # Errors
/// [`CreateError`].
pub fn create(config: &Config, origin: &str, signer: Arc<LogSigner>) -> Result<(), CreateError> {
    let (Some(tiles), Some(sequence)) = (&config.tiles, &config.sequence) else {
        return Err(CreateError::NoFolder);
    };
    let (tiles, state) = (Files::new(tiles), Files::new(&sequence.state));
    let mut database = Database::new(&config.server, &config.writer, None)?;
    database.connect()?;
    let found = database.run(async |connection| migrate(connection).await)?;
    if found > VERSIONS.len() as u64 {
        return Err(CreateError::Newer(found));
    }
    let signer = Monotonic::new(signer, origin, tiles.clone(), state);
    match Log::create(tiles, origin, Box::new(signer)) {
        Ok(_) | Err(OpenLogError::Exists) => {}
        Err(e) => return Err(CreateError::Log(e)),
    }
    database.run(async |connection| {
        let insert = sqlx::query(FIRST).bind(origin).bind(empty_root().as_slice());
        insert.execute(connection).await.map(|_| ())
    })?;
    Ok(())
}

/// All steps that are missing, in one transaction; gives the version that was found.
async fn migrate(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query(LOCK).execute(&mut *transaction).await?;
    sqlx::raw_sql(BEGIN).execute(&mut *transaction).await?;
    let found: i64 = sqlx::query_scalar(FOUND).fetch_one(&mut *transaction).await?;
    let missing = VERSIONS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX));
    for steps in missing {
        sqlx::raw_sql(*steps).execute(&mut *transaction).await?;
    }
    if found < VERSIONS.len() as i64 {
        sqlx::query(RAISE).bind(VERSIONS.len() as i64).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(crate::connect::count(found))
}

/// Whether the tables are the ones that this program knows.
pub(crate) fn check(database: &mut Database) -> Result<(), Fault> {
    let query =
        async |connection: &mut PgConnection| sqlx::query_scalar::<_, i64>(FOUND).fetch_one(connection).await;
    let found = database.run(query)?;
    if found == VERSIONS.len() as i64 {
        return Ok(());
    }
    Err(Fault(format!(
        "the log's tables have version {found}, wanted {}: run `portcullis log create`, or the newer program",
        VERSIONS.len()
    )))
}
