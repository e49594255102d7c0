//! Where this writer's entries are in a tree that several writers fill.

use std::sync::{Mutex, PoisonError};

use chokepoint::Entry;
use tlog::Files;

use crate::webhook::engine::bundle_from;

/// The runs of one writer's entries in the tree. Its numbers go up in the tree, without gaps.
#[derive(Debug)]
pub(crate) struct Own {
    writer: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Records of the tree that were looked at.
    seen: u64,
    runs: Vec<Run>,
}

/// Entries that follow each other among the writer's and in the tree.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    index: u64,
    count: u64,
}

impl Own {
    pub(crate) fn new(writer: &str) -> Self {
        Self { writer: writer.to_owned(), known: Mutex::default() }
    }

    pub(crate) fn writer(&self) -> &str {
        &self.writer
    }

    /// Some of this writer's leaves from a number on; none where the tree has none yet.
    ///
    /// # Errors
    /// Why the tree cannot be read. Another process removes partial tiles as it goes on: then, once more.
    pub(crate) fn leaves(&self, files: &Files, size: u64, from: u64) -> Result<Vec<Vec<u8>>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some((index, count)) = known.find(from) {
                let mut leaves = bundle_from(files, size, index)?;
                leaves.truncate(usize::try_from(count).unwrap_or(usize::MAX));
                return Ok(leaves);
            }
            if known.seen >= size {
                return Ok(Vec::new());
            }
            let leaves = bundle_from(files, size, known.seen)?;
            leaves.iter().for_each(|leaf| known.add(leaf, &self.writer));
        }
    }
}

impl Known {
    fn add(&mut self, leaf: &[u8], writer: &str) {
        let index = self.seen;
        self.seen += 1;
        let Ok(entry) = Entry::parse(leaf) else { return };
        let position = entry.position();
        if position.writer != writer {
            return;
        }
        let sequence = position.sequence;
        match self.runs.last_mut() {
            Some(run) if run.first + run.count == sequence && run.index + run.count == index => {
                run.count += 1
            }
            _ => self.runs.push(Run { first: sequence, index, count: 1 }),
        }
    }

    /// The index of a number, and how many follow it there.
    fn find(&self, sequence: u64) -> Option<(u64, u64)> {
        let at = self.runs.partition_point(|run| run.first <= sequence).checked_sub(1)?;
        let run = self.runs.get(at)?;
        let skipped = sequence - run.first;
        (skipped < run.count).then(|| (run.index + skipped, run.count - skipped))
    }
}

#[cfg(test)]
mod tests {
    use chokepoint::{Event, EventKind, Position};

    use super::*;

    fn leaf(writer: &str, sequence: u64) -> Vec<u8> {
        let event = Event {
            position: Position { writer: writer.to_owned(), epoch: 0, sequence, previous: None },
            at: jiff::Timestamp::UNIX_EPOCH,
            kind: EventKind::Heartbeat,
            trust_root_version: 1,
            body: attest::Object::new(),
            parts: Vec::new(),
        };
        event.to_json().to_string().into_bytes()
    }

    #[test]
    fn a_writers_numbers_lead_to_its_own_entries_among_those_of_others() {
        let mut known = Known::default();
        let order = ["b", "a", "a", "b", "b", "a", "b", "a", "a"];
        let (mut a, mut b) = (Vec::new(), 0);
        for (index, writer) in order.into_iter().enumerate() {
            let sequence = if writer == "a" { a.len() as u64 } else { b };
            known.add(&leaf(writer, sequence), "a");
            if writer == "a" { a.push(index as u64) } else { b += 1 }
        }
        for (sequence, index) in a.iter().enumerate() {
            assert_eq!(known.find(sequence as u64).unwrap().0, *index);
        }
        assert_eq!(known.find(0), Some((1, 2)), "two follow each other");
        assert_eq!(known.find(2), Some((5, 1)), "another's is next");
        assert_eq!(known.find(5), None);
        assert_eq!((known.runs.len(), known.seen), (3, 9));
    }
}
