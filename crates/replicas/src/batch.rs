//! One batch, from the database into the tree. After a crash anywhere in it, the next sequencer ends it or begins it anew.
//!
//! 1. What waits is read.
//! 2. It is staged with what the tree becomes, durably.
//! 3. One transaction moves the checkpoint's row, and with it exactly these entries: from here on the batch is in.
//! 4. Blobs, tiles, then the signed checkpoint.
//! 5. What was staged is removed.
//!
//! Before step 3 the folder's tree is untouched, so who lost in step 3 has nothing to take back.

use attest::note::Checkpoint;
use sqlx::{Connection as _, PgConnection};
use tlog::{Batch, Reader};

use crate::blobs::{self, Piece};
use crate::connect::{count, number};
use crate::election::{Elected, Hindrance, cannot_append, disk};
use crate::leaf;
use crate::pending::{self, Found, Run};
use crate::staged::Staged;

const MOVE: &str = "UPDATE portcullis.checkpoint SET size = $5, root = $6
WHERE origin = $1 AND size = $2 AND root = $3 AND epoch = $4";
const PLACE: &str = "INSERT INTO portcullis.placed (origin, writer, sequence, count, index)
SELECT $1, r.writer, r.sequence, r.count, r.index
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) r(writer, sequence, count, index)";
const RAISE: &str = "INSERT INTO portcullis.writers (origin, writer, sequenced, last, newest, proof)
SELECT $1, r.writer, r.sequenced, r.last, r.newest, r.proof
FROM unnest($2::text[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[]) r(writer, sequenced, last, newest, proof)
ON CONFLICT (origin, writer) DO UPDATE
SET sequenced = excluded.sequenced, last = excluded.last, newest = excluded.newest, proof = excluded.proof";
const WHERE: &str = "SELECT r.n, p.index + r.sequence - p.sequence
FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY r(writer, sequence, n)
CROSS JOIN LATERAL (SELECT sequence, count, index FROM portcullis.placed p
  WHERE p.origin = $1 AND p.writer = r.writer AND p.sequence <= r.sequence ORDER BY p.sequence DESC LIMIT 1) p
WHERE r.sequence < p.sequence + p.count ORDER BY r.n";

/// What one look at the database came to.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// More of them may wait than were taken.
    pub(crate) is_full: bool,
    /// Entries that wait until a person has looked.
    pub(crate) held: Vec<String>,
    /// What was taken out because the log's key did not sign it.
    pub(crate) forged: Option<String>,
}

impl Elected {
    /// Brings what waits into the tree.
    pub(crate) fn publish(&mut self) -> Result<Published, Hindrance> {
        let origin = self.origin.clone();
        let rows = self.database.run(async |connection| pending::read(connection, &origin).await)?;
        let Found { runs, late, forged, mut held, is_full } = pending::sort(rows, &self.prover);
        let removed = self.remove(&forged)?;
        let (late, different) = self.drop_late(late)?;
        held.extend(different);
        // read after the entries: whatever these name is here, or in the folder
        let blobs = self.all_blobs_but_the_last()?;
        let leaves: Vec<Vec<u8>> =
            runs.iter().flat_map(|run| run.entries.iter().map(|entry| entry.leaf.clone())).collect();
        let has_some = !leaves.is_empty();
        if has_some {
            self.stage_and_commit(&runs, &leaves)?;
        }
        if has_some || !blobs.blobs.is_empty() {
            self.finish(leaves, &blobs)?;
        }
        if has_some {
            self.announce()?;
        }
        // what only waits for a person is no reason to look again at once
        let is_full = is_full && (has_some || removed + late > 0);
        Ok(Published { is_full, held, forged: pending::told(&forged) })
    }

    fn remove(&mut self, runs: &[Run]) -> Result<u64, Hindrance> {
        let origin = self.origin.clone();
        Ok(self.database.run(async |connection| pending::remove(connection, &origin, runs).await)?)
    }

    fn stage_and_commit(&mut self, runs: &[Run], leaves: &[Vec<u8>]) -> Result<(), Hindrance> {
        let (old, new) = (self.here(), self.log.after(leaves.iter().map(Vec::as_slice)));
        let staged =
            Staged { epoch: self.epoch, old: old.clone(), new: new.clone(), leaves: leaves.to_vec() };
        staged.write(&self.tiles).map_err(disk)?;
        let step = Step { origin: &self.origin, epoch: self.epoch, old, new };
        let is_moved = self.database.run(async |connection| step.commit(connection, runs).await)?;
        let lost = "the checkpoint's row in the database was moved by another, or entries were taken away: begins anew";
        is_moved.then_some(()).ok_or_else(|| Hindrance::Another(lost.to_owned()))
    }

    /// The same for a batch that was committed just now, and for one that a crash left.
    pub(crate) fn finish(&mut self, leaves: Vec<Vec<u8>>, last: &Piece) -> Result<(), Hindrance> {
        let batch = Batch { leaves, blobs: last.blobs.clone() };
        self.log.apply(&[batch]).map_err(|e| cannot_append(e, &self.signer))?;
        Staged::remove(&self.tiles, self.epoch).map_err(disk)?;
        let origin = self.origin.clone();
        Ok(self.database.run(async |connection| blobs::remove(connection, &origin, last).await)?)
    }

    /// All blobs but the last piece go into packs before anything is committed; that piece goes with the batch.
    pub(crate) fn all_blobs_but_the_last(&mut self) -> Result<Piece, Hindrance> {
        let origin = self.origin.clone();
        loop {
            let piece = self.database.run(async |connection| blobs::read(connection, &origin).await)?;
            piece.check().map_err(|e| Hindrance::Refused(e.0))?;
            if !piece.is_full {
                return Ok(piece);
            }
            let batch = Batch { leaves: Vec::new(), blobs: piece.blobs.clone() };
            self.log.apply(&[batch]).map_err(|e| cannot_append(e, &self.signer))?;
            self.database.run(async |connection| blobs::remove(connection, &origin, &piece).await)?;
        }
    }

    /// Entries that are in the tree already were brought twice, and are removed: so many. One that is there with other bytes
    /// stays, and is told.
    fn drop_late(&mut self, late: Vec<Run>) -> Result<(u64, Vec<String>), Hindrance> {
        if late.is_empty() {
            return Ok((0, Vec::new()));
        }
        let origin = self.origin.clone();
        let writers: Vec<String> = late.iter().map(|run| run.writer.clone()).collect();
        let sequences: Vec<i64> = late.iter().map(|run| number(run.first)).collect();
        let looking = async |connection: &mut PgConnection| {
            sqlx::query_as(WHERE).bind(&origin).bind(writers).bind(sequences).fetch_all(connection).await
        };
        let places: Vec<(i64, i64)> = self.database.run(looking)?;
        let reader = Reader::new(&self.tiles, self.log.size());
        let (mut same, mut held) = (Vec::new(), Vec::new());
        for (at, run) in (1_i64..).zip(late) {
            let index = places.iter().find(|(n, _)| *n == at).map(|(_, index)| count(*index));
            let there = index.and_then(|index| reader.entry(index).ok());
            if there.is_some() && there.as_ref() == run.entries.first().map(|entry| &entry.leaf) {
                same.push(run);
            } else {
                held.push(format!(
                    "entry {} of {} is in the log with other bytes than the ones that wait: two processes write as {}, \
                     or one of the two entries is forged",
                    run.first, run.writer, run.writer
                ));
            }
        }
        Ok((self.remove(&same)?, held))
    }
}

/// From one state of the log to the next.
struct Step<'a> {
    origin: &'a str,
    epoch: i64,
    old: Checkpoint,
    new: Checkpoint,
}

impl Step<'_> {
    /// All of it, or nothing: whether it was this one who moved the row.
    async fn commit(&self, connection: &mut PgConnection, runs: &[Run]) -> Result<bool, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        let moving = sqlx::query(MOVE)
            .bind(self.origin)
            .bind(number(self.old.size))
            .bind(self.old.root.as_slice())
            .bind(self.epoch)
            .bind(number(self.new.size))
            .bind(self.new.root.as_slice());
        let is_moved = moving.execute(&mut *transaction).await?.rows_affected() == 1;
        let entries = self.new.size - self.old.size;
        if !is_moved || pending::remove(&mut transaction, self.origin, runs).await? != entries {
            transaction.rollback().await?;
            return Ok(false);
        }
        place(&mut transaction, self.origin, self.old.size, runs).await?;
        raise(&mut transaction, self.origin, runs).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Writes down where runs are that begin at an index, one after the other.
pub(crate) async fn place(
    connection: &mut PgConnection,
    origin: &str,
    first: u64,
    runs: &[Run],
) -> Result<(), sqlx::Error> {
    let mut index = first;
    let (mut writers, mut sequences, mut counts, mut indexes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in runs {
        writers.push(run.writer.as_str());
        sequences.push(number(run.first));
        counts.push(number(run.entries.len() as u64));
        indexes.push(number(index));
        index += run.entries.len() as u64;
    }
    let insert = sqlx::query(PLACE).bind(origin).bind(writers).bind(sequences).bind(counts).bind(indexes);
    insert.execute(connection).await.map(|_| ())
}

/// Writes down how far these writers are in the tree. Each writer has one run here.
pub(crate) async fn raise(
    connection: &mut PgConnection,
    origin: &str,
    runs: &[Run],
) -> Result<(), sqlx::Error> {
    let (mut writers, mut sequenced, mut last) = (Vec::new(), Vec::new(), Vec::new());
    let (mut newest, mut proofs) = (Vec::new(), Vec::new());
    for run in runs {
        let Some(entry) = run.entries.last() else { continue };
        writers.push(run.writer.as_str());
        sequenced.push(number(run.past()));
        last.push(leaf::hash(&entry.leaf).to_vec());
        newest.push(entry.leaf.as_slice());
        proofs.push(entry.proof.as_slice());
    }
    let upsert = sqlx::query(RAISE).bind(origin).bind(writers).bind(sequenced).bind(last);
    upsert.bind(newest).bind(proofs).execute(connection).await.map(|_| ())
}
