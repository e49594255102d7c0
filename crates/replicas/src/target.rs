//! The target of one writer: its entries are inserted, and come into the tree in their time.

use std::fmt;
use std::io;
use std::sync::Arc;

use attest::Digest;
use attest::merkle::Hash;
use attest::note::{Checkpoint, NoteKey};
use sqlx::PgConnection;
use tlog::{
    AppendError, ApplyError, Batch, Files, Level, LogSigner, Newest, ReadError, Reader, Receipt,
    Storage as _, Target, beyond, read_checkpoint,
};

use crate::config::Config;
use crate::connect::{Database, Fault, count, number};
use crate::election::Place;
use crate::leaf;
use crate::proof::Prover;
use crate::sequencer::{Health, Sequencer};

mod sql;

/// Entries in a bundle of C2SP tlog-tiles.
const BUNDLE: u64 = 256;
/// So many entries are looked at together, when it is counted what waits.
const PAGE: i64 = 4096;

/// An entry of some writer, with its proof.
type Known = (String, i64, Vec<u8>, Vec<u8>);
/// How far a writer is in the tree; then an entry that waits: its place, leaf hash, proof, and where it stands aside.
type Waits = (i64, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

/// A log in PostgreSQL, for one writer.
pub struct PostgreSql {
    origin: String,
    writer: String,
    key: NoteKey,
    prover: Prover,
    tiles: Option<Files>,
    database: Database,
    taken: u64,
    /// Leaf hash and proof of the newest entry, where it waits.
    last: Option<(Vec<u8>, Vec<u8>)>,
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
    let mut target = PostgreSql {
        origin: origin.to_owned(),
        writer: writer.to_owned(),
        key: NoteKey { name: origin.to_owned(), key: signer.public().clone() },
        prover: Prover::new(origin, signer),
        tiles,
        database,
        taken: 0,
        last: None,
        brought: 0,
        seen: 0,
        sequencer: None,
    };
    target.look().map_err(failed)?;
    target.brought = target.taken;
    target.check_last().map_err(failed)??;
    target.sequencer = sequencer.map(Sequencer::start).transpose().map_err(OpenError::Thread)?;
    Ok(target)
}

/// Places and proofs of what is inserted.
struct New {
    sequences: Vec<i64>,
    proofs: Vec<Vec<u8>>,
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
        let position = self.own()?.and_then(|leaf| leaf::position(&leaf));
        let fits = position.is_some_and(|p| p.writer == self.writer && p.sequence == last);
        let (writer, taken) = (&self.writer, self.taken);
        Ok(fits.then_some(()).ok_or_else(|| {
            OpenError::Changed(format!(
                "the database says that it has {taken} entries of {writer}, and has no entry {last} of it: it was changed"
            ))
        }))
    }

    /// This writer's newest entry, as the database has it, where the log's key signed it.
    fn own(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let Some(last) = self.taken.checked_sub(1) else { return Ok(None) };
        let (hash, proof) = self.last.clone().unwrap_or_default();
        let own = self.ask(async |connection, origin, writer| {
            let own = sqlx::query_as::<_, (Vec<u8>, Vec<u8>)>(sql::OWN).bind(origin).bind(writer);
            own.bind(number(last)).bind(hash).bind(proof).fetch_optional(connection).await
        })?;
        let own = own.filter(|(leaf, proof)| self.prover.holds(&self.writer, last, leaf, proof));
        Ok(own.map(|(leaf, _)| leaf))
    }

    /// How far this writer is without a gap: in the tree, and waiting. What the log's key did not sign is not there.
    fn look(&mut self) -> Result<(), Fault> {
        let (mut taken, mut last, mut from) = (0, None, (-1, Vec::new()));
        let mut is_more = true;
        while is_more {
            let page = self.ask(async |connection, origin, writer| {
                let page = sqlx::query_as::<_, Waits>(sql::WAITS).bind(origin).bind(writer);
                page.bind(from.0).bind(&from.1).bind(PAGE).fetch_all(connection).await
            })?;
            is_more = page.len() as i64 >= PAGE;
            for (sequenced, place, hash, proof, aside) in page {
                if count(sequenced) > taken {
                    (taken, last) = (count(sequenced), None);
                }
                let here = place.map(count).zip(hash).zip(proof);
                let Some(((sequence, hash), proof)) = here.filter(|((at, _), _)| *at <= taken) else {
                    is_more = false;
                    break;
                };
                from = (number(sequence), aside.unwrap_or_default());
                let signed = Hash::try_from(hash.as_slice()).ok();
                let signed =
                    signed.filter(|hash| self.prover.holds_for(&self.writer, sequence, hash, &proof));
                if sequence == taken && signed.is_some() {
                    (taken, last) = (taken + 1, Some((hash, proof)));
                }
            }
        }
        (self.taken, self.last) = (taken, last);
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
        let mut named: Vec<(Digest, &[u8])> =
            blobs.iter().map(|blob| (Digest::sha256(blob), *blob)).collect();
        // always in one order: two writers with the same blobs wait for each other, and never in a circle
        named.sort();
        named.dedup();
        let digests: Vec<&[u8]> = named.iter().map(|(digest, _)| digest.bytes()).collect();
        let bytes: Vec<&[u8]> = named.iter().map(|(_, bytes)| *bytes).collect();
        let new = self.signed(leaves)?;
        let inserting = async |connection: &mut PgConnection, origin: &str, writer: &str| {
            let insert = sqlx::query(sql::INSERT).bind(origin).bind(writer).bind(&new.sequences);
            let insert = insert.bind(leaves).bind(&new.proofs).bind(digests).bind(bytes);
            insert.execute(connection).await
        };
        let inserted = self.ask(inserting).map_err(unreachable)?.rows_affected();
        if inserted < leaves.len() as u64 {
            self.check_same(&new, leaves)?;
        }
        self.taken += leaves.len() as u64;
        self.last = leaves.last().map(|leaf| leaf::hash(leaf).to_vec()).zip(new.proofs.last().cloned());
        Ok(())
    }

    fn signed(&self, leaves: &[&[u8]]) -> Result<New, ApplyError> {
        let prove = |(sequence, leaf): (u64, &&[u8])| self.prover.prove(&self.writer, sequence, leaf);
        let proofs = (self.taken..).zip(leaves).map(prove).collect::<Result<_, _>>();
        let proofs = proofs.map_err(|_| ApplyError::Stop(AppendError::Sign))?;
        Ok(New { sequences: (self.taken..).take(leaves.len()).map(number).collect(), proofs })
    }

    /// Some places were taken already. By the same: brought twice, which is what happens after a lost answer. By another
    /// process with this name. Or by somebody who has not the log's key: then the true ones stand beside these.
    fn check_same(&mut self, new: &New, leaves: &[&[u8]]) -> Result<(), ApplyError> {
        let comparing = async |connection: &mut PgConnection, origin: &str, writer: &str| {
            let others = sqlx::query_as::<_, (i64, Vec<u8>, Vec<u8>)>(sql::OTHERS).bind(origin).bind(writer);
            let others = others.bind(&new.sequences).bind(leaves).fetch_all(&mut *connection).await?;
            let last = sqlx::query_as::<_, (i64, Vec<u8>)>(sql::LAST).bind(origin).bind(writer);
            Ok((others, last.fetch_optional(connection).await?))
        };
        let (others, last) = self.ask(comparing).map_err(unreachable)?;
        let is_signed = |(sequence, leaf, proof): &(i64, Vec<u8>, Vec<u8>)| {
            self.prover.holds(&self.writer, count(*sequence), leaf, proof)
        };
        let twin = others.into_iter().find(is_signed).map(|(sequence, ..)| sequence);
        let in_tree = last.and_then(|(sequenced, hash)| {
            let first = new.sequences.first().copied()?;
            let at = usize::try_from(sequenced - 1 - first).ok()?;
            // further in the tree than what was ever brought, or not by this one
            let is_own = leaves.get(at).is_some_and(|own| leaf::hash(own).as_slice() == hash);
            (!is_own).then_some(first)
        });
        if let Some(sequence) = twin.or(in_tree) {
            return Err(stop(format!(
                "the database has another entry {sequence} of {}: two processes write under this name; nothing more is \
                 recorded until a person has looked",
                self.writer
            )));
        }
        let inserting = async |connection: &mut PgConnection, origin: &str, writer: &str| {
            let insert = sqlx::query(sql::INSERT_ASIDE).bind(origin).bind(writer).bind(&new.sequences);
            insert.bind(leaves).bind(&new.proofs).execute(connection).await
        };
        self.ask(inserting).map(drop).map_err(unreachable)
    }

    fn folder(&self, what: &str) -> Result<Files, ApplyError> {
        let none = || {
            let why = format!("{what} is only known where `tiles` names the folder with the tree");
            ApplyError::Unreachable(why)
        };
        self.tiles.clone().ok_or_else(none)
    }

    /// A checkpoint in the folder; nothing where there is none yet.
    fn checkpoint(&self, folder: &Files, path: &str) -> Result<Option<Checkpoint>, ApplyError> {
        let failed = |e: io::Error| ApplyError::Unreachable(format!("{path} in the log's folder: {e}"));
        let Some(bytes) = folder.read(path).map_err(failed)? else { return Ok(None) };
        read_checkpoint(&bytes, &self.key)
            .map(Some)
            .ok_or_else(|| stop(format!("{path} in the log's folder is not one of this log under this key")))
    }

    fn size_of(&self, folder: &Files, path: &str) -> Result<u64, ApplyError> {
        Ok(self.checkpoint(folder, path)?.map_or(0, |checkpoint| checkpoint.size))
    }

    /// Reads the tree at the checkpoint. Another process goes on with it, and removes the partial tiles of the checkpoint
    /// before: what is missing is looked for again under the newer one.
    fn read_tree<T: Default>(
        &self,
        folder: &Files,
        read: impl Fn(&Reader<'_, Files>, &Hash) -> Result<T, ReadError>,
    ) -> Result<T, ApplyError> {
        let mut seen = None;
        while let Some(checkpoint) = self.checkpoint(folder, "checkpoint")? {
            let found = read(&Reader::new(folder, checkpoint.size), &checkpoint.root);
            if found.is_ok() || seen.as_ref() == Some(&checkpoint) {
                return Ok(found?);
            }
            seen = Some(checkpoint);
        }
        Ok(T::default())
    }

    /// Where an entry is in the tree. The database is asked where to look, and not believed.
    fn look_in_tree(&mut self, folder: &Files, sequence: u64) -> Result<Option<u64>, ApplyError> {
        let index = self.ask(async |connection, origin, writer| {
            let query =
                sqlx::query_scalar::<_, i64>(sql::INDEX).bind(origin).bind(writer).bind(number(sequence));
            query.fetch_optional(connection).await
        });
        let Some(index) = index.map_err(unreachable)?.map(count) else { return Ok(None) };
        let entry = |reader: &Reader<'_, Files>, _: &Hash| {
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
            let query = sqlx::query_scalar::<_, i64>(sql::REACHED).bind(origin).bind(writer).bind(size);
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
        self.read_tree(&folder, |_, _| Receipt::prove(&folder, &self.key, index).map(Some))
    }

    /// Of all that others wrote, only what the signed tree has and what the log's key signed counts: else whoever can
    /// insert a row says what time it is, and which trust root was in force, and no replica starts. The sequencer tells of
    /// the other rows, and removes them.
    fn newest(&mut self) -> Result<Newest, ApplyError> {
        self.ready()?;
        let own = self.own().map_err(unreachable)?;
        let reading = async |connection: &mut PgConnection, origin: &str, _: &str| {
            let known = sqlx::query_as::<_, Known>(sql::NEWEST).bind(origin);
            let mut known = known.fetch_all(&mut *connection).await?;
            let waiting = sqlx::query_as::<_, Known>(sql::WAITING).bind(origin).fetch_all(connection).await?;
            known.extend(waiting.into_iter().rev());
            Ok(known)
        };
        let known = self.ask(reading).map_err(unreachable)?;
        let mut all = match self.tiles.clone() {
            Some(folder) => self.read_tree(&folder, last_bundles)?,
            None => Vec::new(),
        };
        let signed = known.into_iter().filter(|(writer, sequence, leaf, proof)| {
            self.prover.holds(writer, count(*sequence), leaf, proof)
        });
        all.extend(signed.map(|(_, _, leaf, _)| leaf));
        Ok(Newest { own, all })
    }
}

/// The last 256 entries of a tree, or up to twice as many, each led to the signed root.
fn last_bundles(reader: &Reader<'_, Files>, root: &Hash) -> Result<Vec<Vec<u8>>, ReadError> {
    let Some(last) = reader.size().checked_sub(1) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for number in (last / BUNDLE).saturating_sub(1)..=last / BUNDLE {
        all.extend(reader.proven_entries(number, root)?);
    }
    Ok(all)
}

fn unreachable(e: Fault) -> ApplyError {
    ApplyError::Unreachable(e.0)
}

fn stop(why: String) -> ApplyError {
    ApplyError::Stop(AppendError::Io(io::Error::new(io::ErrorKind::InvalidData, why)))
}
