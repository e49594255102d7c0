//! The folder: two files, one writer, some readers.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::{InventoryError, Notice};
use crate::schema;

const INDEX: &str = "index.sqlite";
const OBSERVED: &str = "observed.sqlite";
/// So many questions at once; each has a page cache of its own.
const READERS: u32 = 4;

/// What runs, and what was decided about it.
#[derive(Debug)]
pub struct Inventory {
    dir: PathBuf,
    readers: SqlitePool,
    writer: Option<Writer>,
    /// One reading of the log at a time.
    following: Mutex<()>,
}

/// The one connection that writes, and the folder's lock.
#[derive(Debug)]
struct Writer {
    connection: Mutex<SqliteConnection>,
    _lock: File,
}

impl Inventory {
    /// Opens the inventory in a folder, to keep it up to date. What is damaged is put right, and told: no observation is
    /// lost in silence.
    ///
    /// # Errors
    /// [`InventoryError::InUse`] where another process keeps it: then [`Inventory::open_to_read`].
    pub async fn open(dir: &Path) -> Result<(Self, Vec<Notice>), InventoryError> {
        let lock = tlog::Files::new(dir).lock().map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => InventoryError::InUse(dir.to_owned()),
            _ => InventoryError::Io(dir.to_owned(), e),
        })?;
        let mut notices = Vec::new();
        notices.extend(prepare_observed(dir).await?);
        notices.extend(prepare_index(dir).await?);
        let mut connection = options(dir).connect().await?;
        attach(&mut connection, dir).await?;
        let writer = Some(Writer { connection: Mutex::new(connection), _lock: lock });
        Ok((Self { dir: dir.to_owned(), readers: readers(dir), writer, following: Mutex::new(()) }, notices))
    }

    /// Opens an inventory that another process keeps up to date.
    ///
    /// # Errors
    /// [`InventoryError`] where there is none, or one of another version.
    pub async fn open_to_read(dir: &Path) -> Result<Self, InventoryError> {
        for name in [INDEX, OBSERVED] {
            fs::metadata(dir.join(name)).map_err(|e| InventoryError::Io(dir.join(name), e))?;
        }
        // the pool tries for half a minute what a damaged file will never allow
        let mut first = options(dir).create_if_missing(false).pragma("query_only", "1").connect().await?;
        attach(&mut first, dir).await?;
        first.close().await?;
        let readers = readers(dir);
        let version: i64 = sqlx::query_scalar("PRAGMA main.user_version").fetch_one(&readers).await?;
        if version != schema::VERSION {
            return Err(InventoryError::Damaged(wrong_version(version)));
        }
        Ok(Self { dir: dir.to_owned(), readers, writer: None, following: Mutex::new(()) })
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Closes it, and returns when both files are whole by themselves and the lock is free. Dropped alone, it closes some
    /// time later, and loses nothing either.
    pub async fn close(self) {
        self.readers.close().await;
        if let Some(writer) = self.writer {
            // what was taken is durable already
            writer.connection.into_inner().close().await.ok();
        }
    }

    /// Throws the index away, and keeps what clusters reported. Whoever opens the folder next reads the log anew.
    ///
    /// # Errors
    /// [`InventoryError::OnlyToRead`], or [`InventoryError::Io`].
    pub async fn discard_index(self) -> Result<(), InventoryError> {
        // the lock is held until the file is gone
        let Some(writer) = self.writer else { return Err(InventoryError::OnlyToRead) };
        self.readers.close().await;
        writer.connection.into_inner().close().await.ok();
        let path = self.dir.join(INDEX);
        fs::remove_file(&path).map_err(|e| InventoryError::Io(path.clone(), e))?;
        remove_journals(&path)
    }

    pub(crate) fn following(&self) -> &Mutex<()> {
        &self.following
    }

    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    pub(crate) async fn writer(&self) -> Result<MutexGuard<'_, SqliteConnection>, InventoryError> {
        match &self.writer {
            Some(writer) => {
                let mut connection = writer.connection.lock().await;
                // a full disk ends a transaction without a word to whoever began it, and nothing could begin again
                if connection.is_in_transaction() {
                    *connection = options(&self.dir).connect().await?;
                    attach(&mut connection, &self.dir).await?;
                }
                Ok(connection)
            }
            None => Err(InventoryError::OnlyToRead),
        }
    }
}

/// The index needs no sync: what a power cut takes of it is read again from the log. Each transaction is still whole.
fn options(dir: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(dir.join(INDEX))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(10))
        .pragma("cache_size", "-65536")
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging()
}

fn readers(dir: &Path) -> SqlitePool {
    let owned = dir.to_owned();
    let options = options(dir).create_if_missing(false).pragma("query_only", "1");
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .after_connect(move |connection, _| {
            let dir = owned.clone();
            Box::pin(async move { attach(connection, &dir).await })
        })
        .connect_lazy_with(options)
}

/// Observations are durable once they were taken: nothing else remembers them.
async fn attach(connection: &mut SqliteConnection, dir: &Path) -> Result<(), sqlx::Error> {
    let path = dir.join(OBSERVED).to_string_lossy().into_owned();
    sqlx::query("ATTACH DATABASE ?1 AS seen").bind(path).execute(&mut *connection).await?;
    sqlx::raw_sql("PRAGMA seen.synchronous = FULL").execute(&mut *connection).await?;
    Ok(())
}

/// Makes the file of observations, or puts a damaged one aside.
async fn prepare_observed(dir: &Path) -> Result<Option<Notice>, InventoryError> {
    let path = dir.join(OBSERVED);
    let Err(why) = try_observed(&path).await else { return Ok(None) };
    let InventoryError::Damaged(why) = why else { return Err(why) };
    let kept = aside(&path);
    fs::rename(&path, &kept).map_err(|e| InventoryError::Io(path.clone(), e))?;
    remove_journals(&path)?;
    try_observed(&path).await?;
    Ok(Some(Notice::ObservationsDamaged { why, kept }))
}

async fn try_observed(path: &Path) -> Result<(), InventoryError> {
    let was_there = is_there(path);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await?;
    if found != "ok" {
        return Err(InventoryError::Damaged(found));
    }
    // SQLite takes a file that was cut to nothing, or to zeros, for an empty database
    let tables: i64 = sqlx::query_scalar(TABLES).fetch_one(&mut connection).await?;
    if was_there && tables == 0 {
        return Err(InventoryError::Damaged(EMPTY.to_owned()));
    }
    sqlx::raw_sql(schema::OBSERVED).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// A name beside it that nothing has yet.
fn aside(path: &Path) -> PathBuf {
    let name = |n: u32| path.with_extension(format!("damaged-{n}"));
    (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

/// Makes the index, or throws away one that is damaged or of another version.
async fn prepare_index(dir: &Path) -> Result<Option<Notice>, InventoryError> {
    let path = dir.join(INDEX);
    let was_there = is_there(&path);
    match try_index(dir).await {
        Ok(Found::Index) => Ok(None),
        Ok(Found::Nothing) => Ok(was_there.then(|| Notice::IndexDiscarded { why: EMPTY.to_owned() })),
        Err(InventoryError::Damaged(why)) => {
            fs::remove_file(&path).map_err(|e| InventoryError::Io(path.clone(), e))?;
            remove_journals(&path)?;
            try_index(dir).await?;
            Ok(Some(Notice::IndexDiscarded { why }))
        }
        Err(e) => Err(e),
    }
}

/// What an index was before it was prepared.
enum Found {
    Index,
    Nothing,
}

const TABLES: &str = "SELECT count(*) FROM sqlite_schema";
const EMPTY: &str = "the file was there, and nothing was in it";

fn is_there(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| there.len() > 0)
}

async fn try_index(dir: &Path) -> Result<Found, InventoryError> {
    let mut connection = options(dir).connect().await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await?;
    let tables: i64 = sqlx::query_scalar(TABLES).fetch_one(&mut connection).await?;
    let found = match (version, tables) {
        (schema::VERSION, _) => {
            // one page of each: a file that was cut or overwritten shows here, and the rest when it is read
            sqlx::query_scalar::<_, i64>("SELECT size FROM progress").fetch_one(&mut connection).await?;
            Found::Index
        }
        (0, 0) => {
            let mut all = connection.begin().await?;
            sqlx::raw_sql(schema::INDEX).execute(&mut *all).await?;
            sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut *all).await?;
            all.commit().await?;
            Found::Nothing
        }
        (other, _) => return Err(InventoryError::Damaged(wrong_version(other))),
    };
    connection.close().await?;
    Ok(found)
}

fn wrong_version(found: i64) -> String {
    format!("wanted an index of version {}, found version {found}", schema::VERSION)
}

fn remove_journals(path: &Path) -> Result<(), InventoryError> {
    for ending in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match fs::remove_file(&name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(InventoryError::Io(name.into(), e)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_that_the_disk_ended_does_not_end_the_writing() {
        let dir = tempfile::tempdir().unwrap();
        let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
        let mut writer = inventory.writer().await.unwrap();
        let mut all = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
        // what SQLite does by itself where there is no room
        sqlx::raw_sql("ROLLBACK").execute(&mut *all).await.unwrap();
        drop(all);
        drop(writer);
        let mut writer = inventory.writer().await.unwrap();
        let all = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
        all.commit().await.unwrap();
    }
}
