//! Raising a database to the folder, after a person has looked: the folder is the truth.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use attest::merkle::{Hash, is_consistent};
use attest::note::{Checkpoint, NoteKey};
use sqlx::{Connection as _, PgConnection};
use tlog::{Files, Flaw, LogSigner, Reader, verify};

use crate::batch::{place, raise};
use crate::config::Config;
use crate::connect::{Database, Fault, count, number};
use crate::leaf::{self, Position};
use crate::pending::{Run, Waiting};
use crate::proof::Prover;
use crate::signer::Monotonic;

const LOCK: &str = "SELECT pg_try_advisory_xact_lock(hashtextextended('portcullis sequencer of ' || $1, 0))";
const ROW: &str = "SELECT size, root FROM portcullis.checkpoint WHERE origin = $1 FOR UPDATE";
const SET: &str = "UPDATE portcullis.checkpoint SET size = $2, root = $3, published = $2, epoch = epoch + 1 WHERE origin = $1";
const FORGET: &str = "DELETE FROM portcullis.placed WHERE origin = $1";

/// What the database was raised from, and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Its size before.
    pub from: u64,
    /// Its size now: the folder's.
    pub to: u64,
}

/// Why a database was not raised.
#[derive(Debug)]
pub enum AdoptError {
    /// The configuration has no folder for the tree, or no sequencer.
    NoFolder,
    /// The database failed, or refused.
    Database(String),
    /// The folder is not whole.
    Flaw(Flaw),
    /// The signer signed another tree, or a larger one.
    Signed(String),
    /// A process sequences now, or holds the folder.
    Busy,
    /// The database has no row for this log.
    NoLog,
    /// What the database has is no beginning of the folder's tree.
    NoPrefix {
        /// The database's size.
        database: u64,
        /// The folder's.
        folder: u64,
    },
}

impl fmt::Display for AdoptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder => f.write_str("the configuration has no `tiles` or no `sequence`"),
            Self::Database(e) | Self::Signed(e) => f.write_str(e),
            Self::Flaw(e) => write!(f, "the folder is not adopted: {e}"),
            Self::Busy => {
                f.write_str("a process sequences this log now: stop the replicas that may, then adopt")
            }
            Self::NoLog => f.write_str("the database has no such log: `portcullis log create` makes its row"),
            Self::NoPrefix { database, folder } => write!(
                f,
                "the database's log of {database} entries is no beginning of the folder's of {folder}: these are two logs, \
                 and none of them is adopted"
            ),
        }
    }
}
impl std::error::Error for AdoptError {}

impl From<Fault> for AdoptError {
    fn from(e: Fault) -> Self {
        Self::Database(e.0)
    }
}

/// Verifies the whole folder, and raises a database that is older to it: size and root, where every writer is, and where
/// its entries are. Entries that wait in the database and are in the tree already are dropped by the next sequencer, each
/// compared with the one in the tree. A database that is not older is left alone.
///
/// # Errors
/// [`AdoptError`]; nothing is changed then.
pub fn adopt(config: &Config, origin: &str, signer: Arc<LogSigner>) -> Result<Adopted, AdoptError> {
    let (Some(tiles), Some(sequence)) = (&config.tiles, &config.sequence) else {
        return Err(AdoptError::NoFolder);
    };
    let (tiles, state) = (Files::new(tiles), Files::new(&sequence.state));
    let _locks = (tiles.lock().map_err(|_| AdoptError::Busy)?, state.lock().map_err(|_| AdoptError::Busy)?);
    let key = NoteKey { name: origin.to_owned(), key: signer.public().clone() };
    let mut tree = Tree::default();
    let verified =
        verify(&tiles, &key, None, |index, leaf| tree.add(index, leaf)).map_err(AdoptError::Flaw)?;
    let prover = Prover::new(origin, &signer);
    let newest = tree.newest.iter().map(|(writer, (first, leaf))| {
        let proof = prover.prove(writer, *first, leaf).map_err(|e| AdoptError::Signed(e.to_string()))?;
        Ok(Run::of(writer, *first, Waiting { leaf: leaf.clone(), proof, aside: Vec::new() }))
    });
    let newest = newest.collect::<Result<Vec<_>, AdoptError>>()?;
    let signer = Monotonic::new(signer, origin, tiles.clone(), state);
    signer.check(&verified.checkpoint).map_err(|e| AdoptError::Signed(e.to_string()))?;
    let mut database = Database::new(&config.server, &sequence.login, None)?;
    database.connect()?;
    let raising = Raising { tiles, here: verified.checkpoint, runs: tree.runs, newest };
    database.run(async |connection| raising.commit(connection, origin).await)?
}

/// What the database must know of the tree.
#[derive(Default)]
struct Tree {
    /// Runs of consecutive entries of one writer, each with its index.
    runs: Vec<(u64, Run)>,
    /// Each writer's newest entry.
    newest: BTreeMap<String, (u64, Vec<u8>)>,
}

impl Tree {
    fn add(&mut self, index: u64, leaf: &[u8]) {
        // another entry than a decision log's has no writer that could bring it again
        let Some(position) = leaf::position(leaf) else { return };
        let Position { writer, sequence: first, .. } = position;
        self.newest.insert(writer.clone(), (first, leaf.to_vec()));
        match self.runs.last_mut().filter(|(at, run)| {
            run.writer == writer && run.past() == first && at + run.entries.len() as u64 == index
        }) {
            // only how many there are counts here
            Some((_, run)) => run.entries.push(Waiting::default()),
            None => self.runs.push((index, Run::of(&writer, first, Waiting::default()))),
        }
    }
}

struct Raising {
    tiles: Files,
    here: Checkpoint,
    /// Runs of consecutive entries of one writer, each with its index.
    runs: Vec<(u64, Run)>,
    /// Each writer's newest entry.
    newest: Vec<Run>,
}

impl Raising {
    async fn commit(
        &self,
        connection: &mut PgConnection,
        origin: &str,
    ) -> Result<Result<Adopted, AdoptError>, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        let is_free: bool = sqlx::query_scalar(LOCK).bind(origin).fetch_one(&mut *transaction).await?;
        if !is_free {
            return Ok(Err(AdoptError::Busy));
        }
        let row: Option<(i64, Vec<u8>)> =
            sqlx::query_as(ROW).bind(origin).fetch_optional(&mut *transaction).await?;
        let Some((size, root)) = row else { return Ok(Err(AdoptError::NoLog)) };
        let from = count(size);
        if !self.continues(from, &root) {
            return Ok(Err(AdoptError::NoPrefix { database: from, folder: self.here.size }));
        }
        // what is there may be a run that was cut, or none: all are written anew
        sqlx::query(FORGET).bind(origin).execute(&mut *transaction).await?;
        for (index, run) in &self.runs {
            place(&mut transaction, origin, *index, std::slice::from_ref(run)).await?;
        }
        raise(&mut transaction, origin, &self.newest).await?;
        let set = sqlx::query(SET).bind(origin).bind(number(self.here.size)).bind(self.here.root.as_slice());
        set.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Ok(Adopted { from, to: self.here.size }))
    }

    fn continues(&self, size: u64, root: &[u8]) -> bool {
        let Ok(root) = Hash::try_from(root) else { return false };
        let here = &self.here;
        let proof = if size == 0 || size >= here.size {
            Ok(Vec::new())
        } else {
            Reader::new(&self.tiles, here.size).consistency(size)
        };
        proof.is_ok_and(|proof| is_consistent(size, &root, here.size, &here.root, &proof))
    }
}
