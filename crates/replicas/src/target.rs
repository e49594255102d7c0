//! The target of one writer: its entries are inserted, and come into the tree in their time.

use std::fmt;
use std::io;
use std::sync::Arc;

use attest::Digest;
use attest::note::{Checkpoint, Note, NoteKey};
use sqlx::PgConnection;
use tlog::{
    AppendError, ApplyError, Batch, Files, Level, LogSigner, Newest, ReadError, Reader, Receipt,
    Storage as _, Target, beyond,
};

use crate::config::Config;
use crate::connect::{Database, Fault, count, number};
use crate::election::Place;
use crate::leaf;
use crate::sequencer::{Health, Sequencer};

/// Entries in a bundle of C2SP tlog-tiles.
const BUNDLE: u64 = 256;
/// How far a writer is without a gap: in the tree, and waiting.
const TAKEN: &str = "
WITH w AS (SELECT coalesce((SELECT sequenced FROM portcullis.writers WHERE origin = $1 AND writer = $2), 0) AS sequenced)
SELECT coalesce(max(e.sequence) + 1, (SELECT sequenced FROM w)) FROM (
  SELECT sequence, row_number() OVER (ORDER BY sequence) - 1 + (SELECT sequenced FROM w) AS expected
  FROM portcullis.entries_pending
  WHERE origin = $1 AND writer = $2 AND sequence >= (SELECT sequenced FROM w)) e
WHERE e.sequence = e.expected";
/// One statement, one transaction, no row that two writers share.
const INSERT: &str = "
WITH blobs AS (
  INSERT INTO portcullis.blobs_pending (origin, digest, bytes)
  SELECT $1, b.digest, b.bytes FROM unnest($3::bytea[], $4::bytea[]) b(digest, bytes) ON CONFLICT DO NOTHING)
INSERT INTO portcullis.entries_pending (origin, writer, sequence, leaf)
SELECT $1, $2, e.sequence, e.leaf FROM unnest($5::bigint[], $6::bytea[]) e(sequence, leaf)
WHERE e.sequence >= coalesce((SELECT sequenced FROM portcullis.writers WHERE origin = $1 AND writer = $2), 0)
ON CONFLICT DO NOTHING";
const OTHER: &str = "
SELECT min(n.sequence) FROM unnest($3::bigint[], $4::bytea[]) n(sequence, leaf)
JOIN portcullis.entries_pending e ON e.origin = $1 AND e.writer = $2 AND e.sequence = n.sequence
WHERE e.leaf <> n.leaf";
const LAST: &str = "SELECT sequenced, last FROM portcullis.writers WHERE origin = $1 AND writer = $2";
/// How many of a writer's entries are below an index of the tree; by default, below what is published.
const REACHED: &str = "
SELECT coalesce(max(p.sequence + least(p.count, upto.size - p.index)), 0)
FROM (SELECT coalesce($3, (SELECT published FROM portcullis.checkpoint WHERE origin = $1)) AS size) upto
CROSS JOIN LATERAL (SELECT sequence, count, index FROM portcullis.placed
  WHERE origin = $1 AND writer = $2 AND index < upto.size ORDER BY sequence DESC LIMIT 1) p";
const INDEX: &str = "
SELECT index + $3 - sequence FROM portcullis.placed
WHERE origin = $1 AND writer = $2 AND sequence <= $3 AND $3 < sequence + count";
const OWN: &str = "
SELECT leaf FROM portcullis.entries_pending WHERE origin = $1 AND writer = $2 AND sequence = $3
UNION ALL
SELECT newest FROM portcullis.writers WHERE origin = $1 AND writer = $2 AND sequenced = $3 + 1 LIMIT 1";
const NEWEST: &str = "SELECT newest FROM portcullis.writers WHERE origin = $1";
const WAITING: &str = "
SELECT leaf FROM portcullis.entries_pending WHERE origin = $1 ORDER BY sequence DESC LIMIT 256";

/// A log in PostgreSQL, for one writer.
pub struct PostgreSql {
    origin: String,
    writer: String,
    key: NoteKey,
    tiles: Option<Files>,
    database: Database,
    taken: u64,
    /// How far it can be at most: what was there at the start, and what was brought since.
    brought: u64,
    /// How many of its entries were seen in the tree.
    seen: u64,
    sequencer: Option<Sequencer>,
}

impl fmt::Debug for PostgreSql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSql({} of {}, next is {})", self.writer, self.origin, self.taken)
    }
}

/// Why the target cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// The database is out of reach, or refuses this user, or has other tables.
    Database(String),
    /// What the database says of this writer's entries does not fit together.
    Changed(String),
    /// No thread for the sequencer.
    Thread(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(e) | Self::Changed(e) => f.write_str(e),
            Self::Thread(e) => write!(f, "the sequencer's thread could not be started: {e}"),
        }
    }
}
impl std::error::Error for OpenError {}

/// Opens the log for one writer, and lets this replica sequence where the configuration says so. Two processes never
/// have the same writer's name.
///
/// # Errors
/// [`OpenError`]; how the sequencer is, is in [`PostgreSql::health`].
pub fn open(
    config: &Config,
    origin: &str,
    signer: &Arc<LogSigner>,
    writer: &str,
) -> Result<PostgreSql, OpenError> {
    let tiles = config.tiles.as_deref().map(Files::new);
    let failed = |e: Fault| OpenError::Database(e.0);
    let mut database = Database::new(&config.server, &config.writer, None).map_err(failed)?;
    database.connect().map_err(failed)?;
    crate::schema::check(&mut database).map_err(failed)?;
    let sequencer = match (&config.sequence, &tiles) {
        (Some(sequencing), Some(tiles)) => Some(Place {
            server: config.server.clone(),
            sequencing: sequencing.clone(),
            tiles: tiles.clone(),
            origin: origin.to_owned(),
            key: Arc::clone(signer),
        }),
        _ => None,
    };
    let key = NoteKey { name: origin.to_owned(), key: signer.public().clone() };
    let (origin, writer) = (origin.to_owned(), writer.to_owned());
    let mut target =
        PostgreSql { origin, writer, key, tiles, database, taken: 0, brought: 0, seen: 0, sequencer: None };
    target.look().map_err(failed)?;
    target.brought = target.taken;
    target.check_last().map_err(failed)??;
    target.sequencer = sequencer.map(Sequencer::start).transpose().map_err(OpenError::Thread)?;
    Ok(target)
}

impl PostgreSql {
    /// How the sequencer of this replica is; nothing where it has none.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.sequencer.as_ref().map(Sequencer::health)
    }

    /// Makes a connection where there is none. How far this writer is, is looked at anew then: a server that took over may
    /// not have everything that the one before acknowledged.
    fn ready(&mut self) -> Result<(), ApplyError> {
        if self.database.is_connected() {
            return Ok(());
        }
        self.database.connect().and_then(|()| self.look()).map_err(unreachable)?;
        if self.taken <= self.brought {
            return Ok(());
        }
        // else what is brought next would be taken for what is there, and be nowhere
        let (writer, taken, brought) = (&self.writer, self.taken, self.brought);
        Err(stop(format!(
            "the database says that it has {taken} entries of {writer}, which brought {brought}: two processes write \
             under this name, or the database was changed"
        )))
    }

    /// The last entry that the database says it has must be there, and say the same.
    fn check_last(&mut self) -> Result<Result<(), OpenError>, Fault> {
        let Some(last) = self.taken.checked_sub(1) else { return Ok(Ok(())) };
        let own = self.ask(async |connection, origin, writer| {
            let own = sqlx::query_scalar::<_, Vec<u8>>(OWN).bind(origin).bind(writer).bind(number(last));
            own.fetch_optional(connection).await
        })?;
        let position = own.and_then(|leaf| leaf::position(&leaf));
        let fits = position.is_some_and(|p| p.writer == self.writer && p.sequence == last);
        let (writer, taken) = (&self.writer, self.taken);
        Ok(fits.then_some(()).ok_or_else(|| {
            OpenError::Changed(format!(
                "the database says that it has {taken} entries of {writer}, and has no entry {last} of it: it was changed"
            ))
        }))
    }

    fn look(&mut self) -> Result<(), Fault> {
        let taken = self.ask(async |connection, origin, writer| {
            sqlx::query_scalar::<_, i64>(TAKEN).bind(origin).bind(writer).fetch_one(connection).await
        })?;
        self.taken = count(taken);
        Ok(())
    }

    fn ask<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection, &str, &str) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        let (origin, writer) = (&self.origin, &self.writer);
        self.database.run(async |connection| work(connection, origin, writer).await)
    }

    fn insert(&mut self, leaves: &[&[u8]], blobs: &[&[u8]]) -> Result<(), ApplyError> {
        self.brought = self.brought.max(self.taken + leaves.len() as u64);
        let sequences: Vec<i64> = (self.taken..).take(leaves.len()).map(number).collect();
        let mut named: Vec<(Digest, &[u8])> =
            blobs.iter().map(|blob| (Digest::sha256(blob), *blob)).collect();
        // always in one order: two writers with the same blobs wait for each other, and never in a circle
        named.sort();
        named.dedup();
        let digests: Vec<&[u8]> = named.iter().map(|(digest, _)| digest.bytes()).collect();
        let bytes: Vec<&[u8]> = named.iter().map(|(_, bytes)| *bytes).collect();
        let inserting = async |connection: &mut PgConnection, origin: &str, writer: &str| {
            let insert = sqlx::query(INSERT).bind(origin).bind(writer).bind(digests).bind(bytes);
            insert.bind(&sequences).bind(leaves).execute(connection).await
        };
        let inserted = self.ask(inserting).map_err(unreachable)?.rows_affected();
        if inserted < leaves.len() as u64 {
            self.check_same(&sequences, leaves)?;
        }
        self.taken += leaves.len() as u64;
        Ok(())
    }

    /// Some were there already: brought twice, which is what happens after a lost answer. Or somebody else wrote them.
    fn check_same(&mut self, sequences: &[i64], leaves: &[&[u8]]) -> Result<(), ApplyError> {
        let comparing = async |connection: &mut PgConnection, origin: &str, writer: &str| {
            let compare =
                sqlx::query_scalar::<_, Option<i64>>(OTHER).bind(origin).bind(writer).bind(sequences);
            let other = compare.bind(leaves).fetch_one(&mut *connection).await?;
            let last = sqlx::query_as::<_, (i64, Vec<u8>)>(LAST).bind(origin).bind(writer);
            Ok((other, last.fetch_optional(connection).await?))
        };
        let (other, last) = self.ask(comparing).map_err(unreachable)?;
        let in_tree = last.and_then(|(sequenced, hash)| {
            let first = sequences.first().copied()?;
            let at = usize::try_from(sequenced - 1 - first).ok()?;
            // further in the tree than what was ever brought, or not by this one
            let is_own = leaves.get(at).is_some_and(|own| leaf::hash(own).as_slice() == hash);
            (!is_own).then_some(first)
        });
        match other.or(in_tree) {
            None => Ok(()),
            Some(sequence) => Err(stop(format!(
                "the database has another entry {sequence} of {}: two processes write under this name, or an entry was \
                 forged; nothing more is recorded until a person has looked",
                self.writer
            ))),
        }
    }

    fn folder(&self, what: &str) -> Result<Files, ApplyError> {
        let none = || {
            let why = format!("{what} is only known where `tiles` names the folder with the tree");
            ApplyError::Unreachable(why)
        };
        self.tiles.clone().ok_or_else(none)
    }

    /// The size of a checkpoint in the folder.
    fn size_of(&self, folder: &Files, path: &str) -> Result<u64, ApplyError> {
        let failed = |e: io::Error| ApplyError::Unreachable(format!("{path} in the log's folder: {e}"));
        let Some(bytes) = folder.read(path).map_err(failed)? else { return Ok(0) };
        let note = std::str::from_utf8(&bytes).ok().and_then(Note::parse);
        let signed = note.filter(|note| note.is_signed_by(&self.key));
        let checkpoint = signed.and_then(|note| Checkpoint::parse(note.text()));
        let own = checkpoint.filter(|checkpoint| checkpoint.origin == self.origin);
        own.map(|checkpoint| checkpoint.size)
            .ok_or_else(|| stop(format!("{path} in the log's folder is not one of this log under this key")))
    }

    /// Reads the tree at the size of the checkpoint. Another process goes on with it, and removes the partial tiles of the
    /// checkpoint before: what is missing is looked for again under the newer one.
    fn read_tree<T>(
        &self,
        folder: &Files,
        read: impl Fn(&Reader<'_, Files>) -> Result<T, ReadError>,
    ) -> Result<T, ApplyError> {
        let mut size = self.size_of(folder, "checkpoint")?;
        loop {
            let found = read(&Reader::new(folder, size));
            let newer = self.size_of(folder, "checkpoint")?;
            match found {
                Err(_) if newer != size => size = newer,
                found => return Ok(found?),
            }
        }
    }

    /// Where an entry is in the tree. The database is asked where to look, and not believed.
    fn look_in_tree(&mut self, folder: &Files, sequence: u64) -> Result<Option<u64>, ApplyError> {
        let index = self.ask(async |connection, origin, writer| {
            let query = sqlx::query_scalar::<_, i64>(INDEX).bind(origin).bind(writer).bind(number(sequence));
            query.fetch_optional(connection).await
        });
        let Some(index) = index.map_err(unreachable)?.map(count) else { return Ok(None) };
        let entry = |reader: &Reader<'_, Files>| {
            if index < reader.size() { reader.entry(index).map(Some) } else { Ok(None) }
        };
        let Some(entry) = self.read_tree(folder, entry)? else { return Ok(None) };
        if leaf::position(&entry).is_some_and(|p| p.writer == self.writer && p.sequence == sequence) {
            return Ok(Some(index));
        }
        let writer = &self.writer;
        Err(stop(format!(
            "the database says that entry {sequence} of {writer} is record {index}, and it is not"
        )))
    }

    /// How many of this writer's entries are below `size`, or published.
    fn below(&mut self, size: Option<u64>) -> Result<u64, ApplyError> {
        let size = size.map(number);
        let reached = self.ask(async |connection, origin, writer| {
            let query = sqlx::query_scalar::<_, i64>(REACHED).bind(origin).bind(writer).bind(size);
            query.fetch_one(connection).await
        });
        reached.map(count).map_err(unreachable)
    }
}

impl Target for PostgreSql {
    fn taken(&self) -> u64 {
        self.taken
    }

    fn apply(&mut self, first: u64, batches: &[Batch]) -> Result<(), ApplyError> {
        self.ready()?;
        if first > self.taken {
            // not a reason to stop: the spool has them until they are in the tree, and begins again at `taken`
            return Err(ApplyError::Unreachable(format!(
                "the database has entries of {} up to {}, and was brought {first}: it lost some, as in a failover to a \
                 server that had not received them; they are brought again",
                self.writer, self.taken
            )));
        }
        let new = beyond(self.taken, first, batches)?;
        let leaves: Vec<&[u8]> = new.iter().flat_map(|batch| &batch.leaves).map(Vec::as_slice).collect();
        let blobs: Vec<&[u8]> = new.iter().flat_map(|batch| &batch.blobs).map(Vec::as_slice).collect();
        if leaves.is_empty() { Ok(()) } else { self.insert(&leaves, &blobs) }
    }

    fn reached(&mut self, level: Level) -> Result<u64, ApplyError> {
        self.ready()?;
        let size = match level {
            Level::Local | Level::Quorum => return Ok(self.taken),
            Level::Sequenced => {
                self.tiles.clone().map(|folder| self.size_of(&folder, "checkpoint")).transpose()?
            }
            Level::Witnessed => {
                let folder = self.folder("what witnesses have signed")?;
                Some(self.size_of(&folder, "witnessed")?)
            }
        };
        let reached = self.below(size)?;
        let last = reached.checked_sub(1).filter(|last| *last >= self.seen);
        if let (Some(folder), Some(last)) = (self.tiles.clone(), last) {
            self.look_in_tree(&folder, last)?;
            self.seen = reached;
        }
        if let Some(sequencer) = self.sequencer.as_ref().filter(|_| reached < self.taken) {
            sequencer.hurry();
        }
        Ok(reached)
    }

    fn prove(&mut self, sequence: u64) -> Result<Option<Receipt>, ApplyError> {
        let folder = self.folder("the place of an entry in the tree")?;
        self.ready()?;
        let Some(index) = self.look_in_tree(&folder, sequence)? else { return Ok(None) };
        self.read_tree(&folder, |_| Receipt::prove(&folder, &self.key, index)).map(Some)
    }

    fn newest(&mut self) -> Result<Newest, ApplyError> {
        self.ready()?;
        let last = self.taken.checked_sub(1).map(number);
        let reading = async |connection: &mut PgConnection, origin: &str, writer: &str| {
            let own = sqlx::query_scalar::<_, Vec<u8>>(OWN).bind(origin).bind(writer).bind(last);
            let own = own.fetch_optional(&mut *connection).await?;
            let all = sqlx::query_scalar::<_, Vec<u8>>(NEWEST).bind(origin);
            let mut all = all.fetch_all(&mut *connection).await?;
            let waiting =
                sqlx::query_scalar::<_, Vec<u8>>(WAITING).bind(origin).fetch_all(connection).await?;
            all.extend(waiting.into_iter().rev());
            Ok((own, all))
        };
        let (own, known) = self.ask(reading).map_err(unreachable)?;
        let mut all = Vec::new();
        if let Some(folder) = self.tiles.clone() {
            all = self.read_tree(&folder, last_bundles)?;
        }
        all.extend(known);
        Ok(Newest { own, all })
    }
}

/// The last 256 entries of a tree, or up to twice as many.
fn last_bundles(reader: &Reader<'_, Files>) -> Result<Vec<Vec<u8>>, ReadError> {
    let Some(last) = reader.size().checked_sub(1) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for number in (last / BUNDLE).saturating_sub(1)..=last / BUNDLE {
        all.extend(reader.entries(number)?);
    }
    Ok(all)
}

fn unreachable(e: Fault) -> ApplyError {
    ApplyError::Unreachable(e.0)
}

fn stop(why: String) -> ApplyError {
    ApplyError::Stop(AppendError::Io(io::Error::new(io::ErrorKind::InvalidData, why)))
}
