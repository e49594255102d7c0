//! What waits in the database: read, and sorted into what is next and what is not.

use attest::merkle::Hash;
use sqlx::PgConnection;

use crate::connect::{count, number};
use crate::leaf;

/// So many entries of one writer go into one batch at most: no writer keeps the others out.
const EACH: i64 = 1024;

/// Each writer's oldest entries, and how far each writer is in the tree. The writers are found by hopping over the index.
const NEXT: &str = "
WITH RECURSIVE known AS (
  (SELECT writer FROM portcullis.entries_pending WHERE origin = $1 ORDER BY writer LIMIT 1)
  UNION ALL
  SELECT (SELECT e.writer FROM portcullis.entries_pending e
          WHERE e.origin = $1 AND e.writer > known.writer ORDER BY e.writer LIMIT 1)
  FROM known WHERE known.writer IS NOT NULL)
SELECT known.writer, coalesce(w.sequenced, 0), w.last, e.sequence, e.leaf
FROM known LEFT JOIN portcullis.writers w ON w.origin = $1 AND w.writer = known.writer
CROSS JOIN LATERAL (SELECT sequence, leaf FROM portcullis.entries_pending e
  WHERE e.origin = $1 AND e.writer = known.writer ORDER BY sequence LIMIT $2) e
WHERE known.writer IS NOT NULL ORDER BY known.writer, e.sequence";

/// One row of it.
pub(crate) type Row = (String, i64, Option<Vec<u8>>, i64, Vec<u8>);

/// Consecutive entries of one writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) writer: String,
    /// The sequence of the first one.
    pub(crate) first: u64,
    pub(crate) leaves: Vec<Vec<u8>>,
}

/// Everything that waits, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// What comes into the tree next.
    pub(crate) runs: Vec<Run>,
    /// What is in the tree already, if it is the same.
    pub(crate) late: Vec<Run>,
    /// What is wrong with a writer's entries; they wait until a person has looked.
    pub(crate) held: Vec<String>,
}

impl Run {
    /// Whether there may be more of this writer's.
    pub(crate) fn is_full(&self) -> bool {
        self.leaves.len() as i64 >= EACH
    }

    /// The sequence after the last one.
    pub(crate) fn past(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }
}

pub(crate) async fn read(connection: &mut PgConnection, origin: &str) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(NEXT).bind(origin).bind(EACH).fetch_all(connection).await
}

/// Sorts rows, each writer's together and in order.
pub(crate) fn sort(rows: Vec<Row>) -> Found {
    let mut found = Found::default();
    let mut rows = rows.into_iter().peekable();
    while let Some((writer, sequenced, last, ..)) = rows.peek() {
        let (writer, sequenced, last) = (writer.clone(), count(*sequenced), last.clone());
        let mut own = Vec::new();
        while let Some((_, _, _, sequence, leaf)) = rows.next_if(|row| row.0 == writer) {
            own.push((count(sequence), leaf));
        }
        let next = own.iter().position(|(sequence, _)| *sequence >= sequenced).unwrap_or(own.len());
        let new = own.split_off(next);
        found.late.extend(own.into_iter().map(|(first, leaf)| Run {
            writer: writer.clone(),
            first,
            leaves: vec![leaf],
        }));
        let last = last.and_then(|last| Hash::try_from(last).ok());
        let (run, wrong) = continued(&writer, sequenced, last, new);
        found.runs.extend(Some(run).filter(|run| !run.leaves.is_empty()));
        found.held.extend(wrong);
    }
    found
}

/// The entries that continue a writer's without a gap, and what is wrong with the first one that does not fit. What is
/// missing in a gap is brought again by its writer, if it still can.
fn continued(
    writer: &str,
    first: u64,
    mut last: Option<Hash>,
    new: Vec<(u64, Vec<u8>)>,
) -> (Run, Option<String>) {
    let mut run = Run { writer: writer.to_owned(), first, leaves: Vec::new() };
    for (sequence, bytes) in new {
        if sequence != run.past() {
            let (missing, last) = (run.past(), sequence - 1);
            let why = format!(
                "entry {sequence} of {writer} waits for entries {missing} to {last}, which the database lost or never had: \
                 their writer brings them from its spool"
            );
            return (run, Some(why));
        }
        let position = leaf::position(&bytes);
        let wrong = match (&position, &last) {
            (None, _) => Some("it is no entry of a decision log".to_owned()),
            (Some(p), _) if p.writer != writer || p.sequence != sequence => {
                Some(format!("it says that it is entry {} of {}", p.sequence, p.writer))
            }
            (Some(p), Some(last)) if p.previous.is_some() && p.previous != leaf::named(last) => Some(
                "it does not name the entry before it that is in the log: one of the two is not this writer's".to_owned(),
            ),
            (Some(_), _) => None,
        };
        if let Some(wrong) = wrong {
            return (run, Some(format!("entry {sequence} of {writer} is held back: {wrong}")));
        }
        last = Some(leaf::hash(&bytes));
        run.leaves.push(bytes);
    }
    (run, None)
}

/// Removes exactly these rows, and says how many there were.
pub(crate) async fn remove(
    connection: &mut PgConnection,
    origin: &str,
    runs: &[Run],
) -> Result<u64, sqlx::Error> {
    const REMOVE: &str = "DELETE FROM portcullis.entries_pending e
        USING unnest($2::text[], $3::bigint[], $4::bigint[]) r(writer, first, past)
        WHERE e.origin = $1 AND e.writer = r.writer AND e.sequence >= r.first AND e.sequence < r.past";
    let writers: Vec<&str> = runs.iter().map(|run| run.writer.as_str()).collect();
    let firsts: Vec<i64> = runs.iter().map(|run| number(run.first)).collect();
    let pasts: Vec<i64> = runs.iter().map(|run| number(run.past())).collect();
    let remove = sqlx::query(REMOVE).bind(origin).bind(writers).bind(firsts).bind(pasts);
    Ok(remove.execute(connection).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(writer: &str, sequence: u64, previous: Option<&[u8]>) -> Vec<u8> {
        let previous =
            previous.map(|leaf| format!(r#","previous":"{}""#, leaf::named(&leaf::hash(leaf)).unwrap()));
        format!(r#"{{"writer":"{writer}","sequence":{sequence}{}}}"#, previous.unwrap_or_default())
            .into_bytes()
    }

    fn row(writer: &str, sequenced: i64, last: Option<&[u8]>, sequence: i64, leaf: &[u8]) -> Row {
        (writer.to_owned(), sequenced, last.map(|l| leaf::hash(l).to_vec()), sequence, leaf.to_vec())
    }

    #[test]
    fn entries_come_in_order_without_gaps_each_writer_for_itself() {
        let (a0, b7) = (entry("a", 0, None), entry("b", 7, None));
        let (a1, b8) = (entry("a", 1, Some(&a0)), entry("b", 8, Some(&b7)));
        let b6 = entry("b", 6, None);
        let rows = vec![
            row("a", 0, None, 0, &a0),
            row("a", 0, None, 1, &a1),
            row("a", 0, None, 3, &entry("a", 3, None)),
            row("b", 7, Some(&b6), 6, &b6),
            row("b", 7, Some(&b6), 7, &b7),
            row("b", 7, Some(&b6), 8, &b8),
            row("c", 2, Some(b"x"), 4, &entry("c", 4, None)),
        ];
        let found = sort(rows);
        let run = |writer: &str, first, leaves: &[&[u8]]| {
            let leaves = leaves.iter().map(|l| l.to_vec()).collect();
            Run { writer: writer.to_owned(), first, leaves }
        };
        assert_eq!(found.runs, [run("a", 0, &[&a0, &a1]), run("b", 7, &[&b7, &b8])]);
        assert_eq!(found.late, [run("b", 6, &[&b6])]);
        assert_eq!(found.held.len(), 2, "{:?}", found.held);
        assert!(found.held[0].starts_with("entry 3 of a waits for entries 2 to 2, which the database lost"));
        assert!(found.held[1].starts_with("entry 4 of c waits for entries 2 to 3, which the database lost"));
    }

    #[test]
    fn what_is_not_its_writers_is_held_back_and_nobody_else_waits() {
        let good = entry("z", 0, None);
        for (leaf, reason) in [
            (b"noise".to_vec(), "it is no entry of a decision log"),
            (entry("b", 5, None), "it says that it is entry 5 of b"),
            (entry("a", 6, None), "it says that it is entry 6 of a"),
            (entry("a", 5, Some(b"forged")), "one of the two is not this writer's"),
        ] {
            let found = sort(vec![row("a", 5, Some(b"true"), 5, &leaf), row("z", 0, None, 0, &good)]);
            assert_eq!(found.runs.len(), 1);
            assert_eq!(found.runs[0].writer, "z");
            assert!(found.held[0].starts_with("entry 5 of a is held back: "), "{:?}", found.held);
            assert!(found.held[0].contains(reason), "{:?}", found.held);
        }
    }
}
