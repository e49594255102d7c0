//! What waits in the database: read, and sorted into what is next and what is not.

use attest::merkle::Hash;
use sqlx::PgConnection;

use crate::connect::{count, number};
use crate::leaf;
use crate::proof::Prover;

/// So many entries of one writer go into one batch at most: no writer keeps the others out.
const EACH: i64 = 1024;
/// So many writers' entries are read at once.
const NAMES: i64 = 256;
/// So many bytes are read at once, each entry counted as a KiB more than it has: whoever fills the table fills no memory.
const BYTES: i64 = 64 << 20;
const OVERHEAD: i64 = 1024;

/// Each writer's oldest entries, and how far each writer is in the tree. The writers are found by hopping over the index;
/// where there is more than fits, the first entries of all come before the second ones of any.
const NEXT: &str = "
WITH RECURSIVE known AS (
  (SELECT writer FROM portcullis.entries_pending WHERE origin = $1 ORDER BY writer LIMIT 1)
  UNION ALL
  SELECT (SELECT e.writer FROM portcullis.entries_pending e
          WHERE e.origin = $1 AND e.writer > known.writer ORDER BY e.writer LIMIT 1)
  FROM known WHERE known.writer IS NOT NULL),
oldest AS (
  SELECT k.writer, e.sequence, e.aside, e.size, e.rank
  FROM (SELECT writer FROM known WHERE writer IS NOT NULL LIMIT $3) k
  CROSS JOIN LATERAL (
    SELECT sequence, aside, octet_length(leaf) + $5 AS size, row_number() OVER (ORDER BY sequence, aside) AS rank
    FROM portcullis.entries_pending WHERE origin = $1 AND writer = k.writer ORDER BY sequence, aside LIMIT $2) e),
summed AS (SELECT *, sum(size) OVER (ORDER BY rank, writer) - size AS before FROM oldest)
SELECT s.writer, coalesce(w.sequenced, 0), w.last, s.sequence, e.leaf, e.proof, s.aside
FROM summed s LEFT JOIN portcullis.writers w ON w.origin = $1 AND w.writer = s.writer
CROSS JOIN LATERAL (SELECT leaf, proof FROM portcullis.entries_pending
  WHERE origin = $1 AND writer = s.writer AND sequence = s.sequence AND aside = s.aside LIMIT 1) e
WHERE s.before < $4 ORDER BY s.writer, s.sequence, s.aside";

/// One row of it: a writer, how far it is in the tree, its last leaf's hash there; then one entry.
pub(crate) type Row = (String, i64, Option<Vec<u8>>, i64, Vec<u8>, Vec<u8>, Vec<u8>);

/// One entry as it waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) leaf: Vec<u8>,
    pub(crate) proof: Vec<u8>,
    /// Where it stands, if somebody else had its place.
    pub(crate) aside: Vec<u8>,
}

/// Consecutive entries of one writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) writer: String,
    /// The sequence of the first one.
    pub(crate) first: u64,
    pub(crate) entries: Vec<Waiting>,
}

/// Everything that waits, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// What comes into the tree next.
    pub(crate) runs: Vec<Run>,
    /// What is in the tree already, if it is the same.
    pub(crate) late: Vec<Run>,
    /// What the log's key did not sign: nobody's.
    pub(crate) forged: Vec<Run>,
    /// What is wrong with a writer's entries; they wait until a person has looked.
    pub(crate) held: Vec<String>,
    /// There may be more than was read.
    pub(crate) is_full: bool,
}

impl Run {
    /// One entry alone.
    pub(crate) fn of(writer: &str, sequence: u64, entry: Waiting) -> Self {
        Self { writer: writer.to_owned(), first: sequence, entries: vec![entry] }
    }

    /// The sequence after the last one.
    pub(crate) fn past(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

pub(crate) async fn read(connection: &mut PgConnection, origin: &str) -> Result<Vec<Row>, sqlx::Error> {
    let query = sqlx::query_as(NEXT).bind(origin).bind(EACH).bind(NAMES).bind(BYTES).bind(OVERHEAD);
    query.fetch_all(connection).await
}

/// Sorts rows, each writer's together and in order. What nobody with the key wrote is nobody's: it is looked at no further,
/// and keeps nothing that is behind it.
pub(crate) fn sort(rows: Vec<Row>, prover: &Prover) -> Found {
    let mut found = Found::default();
    let size: usize = rows.iter().map(|row| row.4.len() + OVERHEAD as usize).sum();
    let mut names = 0;
    let mut rows = rows.into_iter().peekable();
    while let Some((writer, sequenced, last, ..)) = rows.peek() {
        let (writer, sequenced, last) = (writer.clone(), count(*sequenced), last.clone());
        let (mut own, mut read) = (Vec::new(), 0);
        while let Some((_, _, _, sequence, leaf, proof, aside)) = rows.next_if(|row| row.0 == writer) {
            let (sequence, entry) = (count(sequence), Waiting { leaf, proof, aside });
            read += 1;
            if prover.holds(&writer, sequence, &entry.leaf, &entry.proof) {
                own.push((sequence, entry));
            } else {
                found.forged.push(Run::of(&writer, sequence, entry));
            }
        }
        names += 1;
        found.is_full |= read >= EACH || names >= NAMES;
        let next = own.iter().position(|(sequence, _)| *sequence >= sequenced).unwrap_or(own.len());
        let new = own.split_off(next);
        found.late.extend(own.into_iter().map(|(sequence, entry)| Run::of(&writer, sequence, entry)));
        let last = last.and_then(|last| Hash::try_from(last).ok());
        let (run, wrong) = continued(&writer, sequenced, last, new);
        found.runs.extend(Some(run).filter(|run| !run.entries.is_empty()));
        found.held.extend(wrong);
    }
    found.is_full |= size as i64 >= BYTES;
    found
}

/// What is said of entries that the log's key did not sign.
pub(crate) fn told(forged: &[Run]) -> Option<String> {
    let Run { writer, first, .. } = forged.first()?;
    let others = match forged.len() - 1 {
        0 => String::new(),
        more => format!(", and so were {more} others"),
    };
    Some(format!(
        "entry {first} of {writer} is not taken: it is not signed with the log's key: whoever can write into the database put \
         it there; it was removed{others}; find out who has a writer's password, and change it"
    ))
}

/// The entries that continue a writer's without a gap, and what is wrong with the first one that does not fit. What is
/// missing in a gap is brought again by its writer, if it still can.
fn continued(
    writer: &str,
    first: u64,
    mut last: Option<Hash>,
    new: Vec<(u64, Waiting)>,
) -> (Run, Option<String>) {
    let mut run = Run { writer: writer.to_owned(), first, entries: Vec::new() };
    for (sequence, entry) in new {
        if sequence < run.past() {
            // beside another one, because somebody without the key had its place for a while
            if run.entries.last().is_some_and(|taken| taken.leaf == entry.leaf) {
                continue;
            }
            run.entries.pop();
            let why =
                format!("there are two entries {sequence} of {writer}: two processes write under this name");
            return (run, Some(why));
        }
        if sequence > run.past() {
            let (missing, last) = (run.past(), sequence - 1);
            let why = format!(
                "entry {sequence} of {writer} waits for entries {missing} to {last}, which the database lost or never had: \
                 their writer brings them from its spool"
            );
            return (run, Some(why));
        }
        if let Some(wrong) = misplaced(writer, sequence, last.as_ref(), &entry.leaf) {
            return (run, Some(format!("entry {sequence} of {writer} is held back: {wrong}")));
        }
        last = Some(leaf::hash(&entry.leaf));
        run.entries.push(entry);
    }
    (run, None)
}

/// What is wrong with an entry in this place, behind the last one.
fn misplaced(writer: &str, sequence: u64, last: Option<&Hash>, leaf: &[u8]) -> Option<String> {
    let Some(position) = leaf::position(leaf) else {
        return Some("it is no entry of a decision log".to_owned());
    };
    if position.writer != writer || position.sequence != sequence {
        return Some(format!("it says that it is entry {} of {}", position.sequence, position.writer));
    }
    // one that names none breaks the chain as well as one that names another
    let is_next =
        last.is_none_or(|last| position.previous.is_some() && position.previous == leaf::named(last));
    (!is_next).then(|| {
        "it does not name the entry before it that is in the log: one of the two is not this writer's"
            .to_owned()
    })
}

/// Removes exactly these rows, and says how many there were.
pub(crate) async fn remove(
    connection: &mut PgConnection,
    origin: &str,
    runs: &[Run],
) -> Result<u64, sqlx::Error> {
    // by the proof too: the place of one that was forged may have the true one by now
    const REMOVE: &str = "DELETE FROM portcullis.entries_pending WHERE ctid = ANY(ARRAY(
        SELECT (SELECT e.ctid FROM portcullis.entries_pending e WHERE e.origin = $1 AND e.writer = r.writer
          AND e.sequence = r.sequence AND e.aside = r.aside AND e.proof = r.proof)
        FROM unnest($2::text[], $3::bigint[], $4::bytea[], $5::bytea[]) r(writer, sequence, aside, proof)))";
    let (mut writers, mut sequences, mut asides, mut proofs) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in runs {
        for (sequence, entry) in (run.first..).zip(&run.entries) {
            writers.push(run.writer.as_str());
            sequences.push(number(sequence));
            asides.push(entry.aside.as_slice());
            proofs.push(entry.proof.as_slice());
        }
    }
    if writers.is_empty() {
        return Ok(0);
    }
    let remove = sqlx::query(REMOVE).bind(origin).bind(writers).bind(sequences).bind(asides).bind(proofs);
    Ok(remove.execute(connection).await?.rows_affected())
}

#[cfg(test)]
mod tests;
