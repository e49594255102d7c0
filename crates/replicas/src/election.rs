//! Becoming the sequencer: three locks, and a look at whether folder, database and signer tell the same story.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use attest::merkle::Hash;
use attest::note::{Checkpoint, Note, NoteKey};
use sqlx::PgConnection;
use tlog::{AppendError, Files, Log, LogSigner, OpenLogError, Reader, Storage as _};

use crate::config::{Sequencing, Server};
use crate::connect::{Database, Fault, count, number};
use crate::proof::Prover;
use crate::signer::{Monotonic, Refused};
use crate::staged::Staged;

/// Another may take over once the sequencer was silent for so long.
const SILENCE: Duration = Duration::from_secs(10);

/// The checkpoint's file.
const CHECKPOINT: &str = "checkpoint";
const ELECT: &str = "SELECT pg_try_advisory_lock(hashtextextended('portcullis sequencer of ' || $1, 0))";
/// From here on nobody who was elected before moves the row. What is still on its way holds the row, and is waited for.
const FENCE: &str =
    "UPDATE portcullis.checkpoint SET epoch = epoch + 1 WHERE origin = $1 RETURNING size, root, epoch, note";
const PUBLISHED: &str =
    "UPDATE portcullis.checkpoint SET published = $2, note = $4 WHERE origin = $1 AND epoch = $3";

/// What a sequencer is made of.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) sequencing: Sequencing,
    pub(crate) tiles: Files,
    pub(crate) origin: String,
    pub(crate) key: Arc<LogSigner>,
}

/// Why nothing is sequenced here now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// Another one does.
    Another(String),
    /// Something is out of reach, and tried again.
    Unreachable(String),
    /// A person has to look.
    Refused(String),
}

impl From<Fault> for Hindrance {
    fn from(e: Fault) -> Self {
        Self::Unreachable(e.0)
    }
}

impl From<Refused> for Hindrance {
    fn from(e: Refused) -> Self {
        Self::Refused(e.to_string())
    }
}

/// The one sequencer, as far as it knows. Dropping it gives everything back.
pub(crate) struct Elected {
    pub(crate) origin: String,
    pub(crate) database: Database,
    pub(crate) log: Log<Files>,
    pub(crate) tiles: Files,
    pub(crate) signer: Monotonic,
    pub(crate) prover: Prover,
    pub(crate) epoch: i64,
    _locks: [File; 2],
}

impl fmt::Debug for Elected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Elected({}, epoch {})", self.origin, self.epoch)
    }
}

impl Elected {
    /// Takes the locks, the epoch, and what the one before left undone.
    pub(crate) fn begin(place: &Place) -> Result<Self, Hindrance> {
        let state = Files::new(&place.sequencing.state);
        let locks = [lock(&place.tiles, "the log's folder")?, lock(&state, "the signer's state")?];
        let idle = SILENCE.max(place.sequencing.interval * 5);
        let mut database = Database::new(&place.server, &place.sequencing.login, Some(idle))?;
        database.connect()?;
        crate::schema::check(&mut database)?;
        let (row, epoch, note) = elect(&mut database, &place.origin)?;
        heal(place, &row, &note)?;
        let signer = Monotonic::new(Arc::clone(&place.key), &place.origin, place.tiles.clone(), state);
        let log = Log::open(place.tiles.clone(), &place.origin, Box::new(signer.clone()));
        let log = log.map_err(|e| cannot_open(&e))?;
        let origin = place.origin.clone();
        let (tiles, prover) = (place.tiles.clone(), Prover::new(&origin, &place.key));
        let mut elected = Self { origin, database, log, tiles, signer, prover, epoch, _locks: locks };
        elected.recover(&row)?;
        elected.announce()?;
        Ok(elected)
    }

    /// The tree as it is in the folder.
    pub(crate) fn here(&self) -> Checkpoint {
        self.log.after(std::iter::empty())
    }

    /// The folder has the tree that the database says, or lacks exactly the batch that was staged. All else is a story
    /// that does not fit, and continuing either end of it would make a second log.
    fn recover(&mut self, row: &Checkpoint) -> Result<(), Hindrance> {
        let here = self.here();
        let staged = Staged::read(&self.tiles).map_err(|e| Hindrance::Refused(e.to_string()))?;
        let fitting = staged.into_iter().find(|staged| staged.old == here && staged.new == *row);
        match fitting {
            Some(staged) => self.finish_staged(staged)?,
            None if *row == here => Staged::remove(&self.tiles, self.epoch).map_err(disk)?,
            None => return Err(Hindrance::Refused(misfit(row, &here, &self.tiles))),
        }
        Ok(self.signer.check(&self.here())?)
    }

    fn finish_staged(&mut self, staged: Staged) -> Result<(), Hindrance> {
        if self.log.after(staged.leaves.iter().map(Vec::as_slice)) != staged.new {
            return Err(Hindrance::Refused(
                "what was staged does not lead to the tree that the database committed: it was changed"
                    .to_owned(),
            ));
        }
        let blobs = self.all_blobs_but_the_last()?;
        self.finish(staged.leaves, &blobs)
    }

    /// Tells readers of the database what is in the folder. Losing this on the way harms nobody.
    pub(crate) fn announce(&mut self) -> Result<(), Hindrance> {
        let (origin, size, epoch) = (self.origin.clone(), number(self.log.size()), self.epoch);
        let note = self.tiles.read(CHECKPOINT).map_err(disk)?.unwrap_or_default();
        let note = String::from_utf8_lossy(&note).into_owned();
        let announcing = async |connection: &mut PgConnection| {
            let update = sqlx::query(PUBLISHED).bind(origin).bind(size).bind(epoch).bind(note);
            update.execute(connection).await.map(|_| ())
        };
        Ok(self.database.run(announcing)?)
    }
}

fn lock(folder: &Files, what: &str) -> Result<File, Hindrance> {
    folder.lock().map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => {
            Hindrance::Another(format!("another process holds {what}, {}", folder.root().display()))
        }
        _ => disk(e),
    })
}

/// The advisory lock, then the fence; gives the row as it is behind it.
fn elect(database: &mut Database, origin: &str) -> Result<(Checkpoint, i64, String), Hindrance> {
    let is_elected: bool = database
        .run(async |connection| sqlx::query_scalar(ELECT).bind(origin).fetch_one(connection).await)?;
    if !is_elected {
        return Err(Hindrance::Another(
            "another replica holds the sequencer's lock in the database".to_owned(),
        ));
    }
    let row: Option<(i64, Vec<u8>, i64, String)> = database
        .run(async |connection| sqlx::query_as(FENCE).bind(origin).fetch_optional(connection).await)?;
    let Some((size, root, epoch, note)) = row else {
        return Err(Hindrance::Refused(format!(
            "the database has no log {origin}: it is not the one that this folder belongs to, or it was made anew; \
             `portcullis log create --postgres` makes its row, `portcullis log adopt` raises it to the folder's checkpoint"
        )));
    };
    let root = Hash::try_from(root)
        .map_err(|_| Hindrance::Refused("the checkpoint's root in the database is no hash".to_owned()))?;
    Ok((Checkpoint { origin: origin.to_owned(), size: count(size), root }, epoch, note))
}

/// Where the folder's locks do not hold, one who slept may have put its checkpoint over a newer one. The newer one is in the
/// database: where the key signed it, and all of its tiles are here, it is put back. An older folder has not its tiles.
fn heal(place: &Place, row: &Checkpoint, note: &str) -> Result<(), Hindrance> {
    let key = NoteKey { name: place.origin.clone(), key: place.key.public().clone() };
    let read = |text: &str| {
        let note = Note::parse(text).filter(|note| note.is_signed_by(&key))?;
        Checkpoint::parse(note.text())
    };
    let here = place.tiles.read(CHECKPOINT).map_err(disk)?.unwrap_or_default();
    let is_older = std::str::from_utf8(&here).ok().and_then(read).is_some_and(|here| here.size < row.size);
    if !is_older || read(note).as_ref() != Some(row) {
        return Ok(());
    }
    let reader = Reader::new(&place.tiles, row.size);
    let has_last = reader.entry(row.size.saturating_sub(1)).is_ok();
    if has_last && reader.root().is_ok_and(|root| root == row.root) {
        place.tiles.write(CHECKPOINT, note.as_bytes()).map_err(disk)?;
    }
    Ok(())
}

/// What was found where, and how it is mended.
fn misfit(row: &Checkpoint, here: &Checkpoint, tiles: &Files) -> String {
    let folder = tiles.root().display();
    let (database, here_size) = (row.size, here.size);
    let found =
        format!("the database has a log of {database} entries, and the folder {folder} one of {here_size}");
    match database.cmp(&here_size) {
        std::cmp::Ordering::Less => format!(
            "{found}: the database is older, as after a restored backup, or a failover that lost commits; \
             nothing is sequenced, so that there is one log; `portcullis log verify` the folder, then \
             `portcullis log adopt` raises the database to it"
        ),
        std::cmp::Ordering::Greater => format!(
            "{found}, without the batch between them: the folder is older, or another's; bring the newer folder back"
        ),
        std::cmp::Ordering::Equal => format!(
            "{found}, with other contents: one of the two was changed; `portcullis log verify` the folder, and find out which"
        ),
    }
}

fn cannot_open(e: &OpenLogError) -> Hindrance {
    match e {
        OpenLogError::Io(e) => Hindrance::Unreachable(format!("the log's folder cannot be read: {e}")),
        e => Hindrance::Refused(format!("the log's folder: {e}")),
    }
}

/// A disk that is full today may have room tomorrow: what was staged is finished then.
pub(crate) fn disk(e: io::Error) -> Hindrance {
    Hindrance::Unreachable(format!("the log's folder failed: {e}"))
}

pub(crate) fn cannot_append(e: AppendError, signer: &Monotonic) -> Hindrance {
    match (e, signer.refused()) {
        (AppendError::Sign, Some(refused)) => refused.into(),
        (AppendError::Io(e), _) => disk(e),
        (e, _) => Hindrance::Unreachable(e.to_string()),
    }
}
