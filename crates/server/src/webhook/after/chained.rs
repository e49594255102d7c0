//! The log, looked at as it grows: each writer's entries follow each other, a writer that lives says so, and what was just
//! decided is decided again from the record alone.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use chokepoint::alarm::{Alarm, AlarmKind};
use chokepoint::chain::Check;
use chokepoint::{Entry, Record, Replay, Replayer};
use jiff::Timestamp;
use tlog::{Blobs, Files, Reader};

use crate::alarm::Desk;
use crate::webhook::engine::Engine;

/// So long in one round: alarms and heartbeats wait meanwhile.
const TURN: Duration = Duration::from_millis(500);
const BUNDLE: u64 = 256;

/// How far it was looked at.
#[derive(Default)]
pub(super) struct Chained {
    check: Check,
    replayer: Replayer,
    next: u64,
    /// From this entry on decisions are replayed: what was there before is for `portcullis replay`.
    replayed_from: Option<u64>,
    /// What was found and is not on record as an alarm: an entry is looked at once, so it is kept until it is.
    untold: VecDeque<Alarm>,
}

impl Chained {
    /// Looks at what is new.
    ///
    /// # Errors
    /// Why the log cannot be read, or an alarm is not on record.
    pub(super) fn go(
        &mut self,
        engine: &Engine,
        desk: &Desk,
        own: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        let size = engine.checkpoint()?.size;
        let from = *self.replayed_from.get_or_insert(size);
        let (files, began) = (engine.log_files(), Instant::now());
        let (reader, blobs) = (Reader::new(files, size), Blobs::new(files.clone()));
        while self.next < size && began.elapsed() < TURN {
            let bundle = self.next / BUNDLE;
            // the last tile may have been replaced by a wider one: then it is read in the next round
            let Ok(entries) = reader.entries(bundle) else { break };
            let skip = usize::try_from(self.next % BUNDLE).unwrap_or(usize::MAX);
            for (index, leaf) in (self.next..).zip(entries.into_iter().skip(skip)) {
                self.check.add(index, &leaf);
                self.next = index + 1;
                if let (true, Ok(Entry::Decision(record))) = (index >= from, Entry::parse(&leaf)) {
                    let differs = self.replay(index, &record, &blobs, now);
                    self.untold.extend(differs);
                }
            }
        }
        for flaw in self.check.take() {
            let subject = format!("{} {}", flaw.writer, flaw.index);
            let alarm = Alarm::found(AlarmKind::WriterGap, &subject, now).told(
                "entries of a writer are missing from the log, or out of place",
                "each writer's entries, each naming the one before it",
                &flaw.to_string(),
                "keep the log as it is, and look at that writer's spool: portcullis log verify",
            );
            self.untold.push_back(alarm);
        }
        desk.raise_all(&mut self.untold, now)?;
        let mut silent = BTreeSet::new();
        for (writer, last, every) in self.check.silent(now).filter(|(writer, ..)| *writer != own) {
            let alarm = Alarm::writer_silent(writer, last, every, now);
            silent.insert(alarm.subject.clone());
            desk.raise(alarm, now)?;
        }
        // only who has read all knows who speaks again
        if self.next == size { desk.only(AlarmKind::WriterSilent, &silent, now) } else { Ok(()) }
    }

    fn replay(&self, index: u64, record: &Record, blobs: &Blobs<Files>, now: Timestamp) -> Option<Alarm> {
        let found = match self.replayer.replay(record, blobs) {
            Ok(Replay::Same) => return None,
            Ok(Replay::Differs { engine, now: again, .. }) => {
                format!("{} by {engine}, {} now", record.decision, again.word())
            }
            Err(e) => e.to_string(),
        };
        Some(Alarm::replay_differs(index, &found, now))
    }
}
