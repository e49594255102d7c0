//! The log, looked at as it grows: each writer's entries follow each other, a writer that lives says so, and what was just
//! decided is decided again from the record alone.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use chokepoint::alarm::{Alarm, AlarmKind};
use chokepoint::chain::{Check, Flaw};
use chokepoint::{Entry, Record, Replay, Replayer};
use jiff::Timestamp;
use tlog::{Blobs, Files, Reader};

use super::lasts;
use crate::alarm::Desk;
use crate::webhook::engine::Engine;

/// So long in one round: alarms and heartbeats wait meanwhile.
const TURN: Duration = Duration::from_millis(500);
const BUNDLE: u64 = 256;
/// While more than so many wait to be told, no more is read.
const MOST: usize = 1000;
/// The subject of the alarm that nothing more can be read.
const UNREAD: &str = "its entries cannot be read";

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
    /// Since when nothing more can be read.
    unread: Option<Instant>,
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
        self.look(engine.log_files(), engine.checkpoint()?.size, (desk, own), now)
    }

    /// What fails of one step keeps no other one back.
    fn look(
        &mut self,
        files: &Files,
        size: u64,
        (desk, own): (&Desk, &str),
        now: Timestamp,
    ) -> Result<(), String> {
        let read = self.read(files, size, now);
        let read = self.tell_unread(read, desk, now);
        let raised = desk.raise_all(&mut self.untold, TURN, now);
        // only who has read all knows who is silent, and who speaks again
        let silent = if self.next == size { self.see_silent(desk, own, now) } else { Ok(()) };
        read.and(raised).and(silent)
    }

    /// Reads on, for a while, and not past what is waiting to be told already.
    fn read(&mut self, files: &Files, size: u64, now: Timestamp) -> Result<(), String> {
        let from = *self.replayed_from.get_or_insert(size);
        let began = Instant::now();
        let (reader, blobs) = (Reader::new(files, size), Blobs::new(files.clone()));
        while self.next < size && began.elapsed() < TURN && self.untold.len() <= MOST {
            let entries = reader.entries(self.next / BUNDLE);
            let entries = entries.map_err(|e| format!("entries from {} on: {e}", self.next))?;
            let skip = usize::try_from(self.next % BUNDLE).unwrap_or(usize::MAX);
            for (index, leaf) in (self.next..).zip(entries.into_iter().skip(skip)) {
                self.check.add(index, &leaf);
                self.next = index + 1;
                self.unread = None;
                if let (true, Ok(Entry::Decision(record))) = (index >= from, Entry::parse(&leaf)) {
                    let differs = self.replay(index, &record, &blobs, now);
                    self.untold.extend(differs);
                }
            }
            self.untold.extend(self.check.take().iter().map(|flaw| of_flaw(flaw, now)));
        }
        Ok(())
    }

    /// The last tile may have been replaced by a wider one: then it is read in the next round. What lasts is no such moment:
    /// somebody took away what would have been checked.
    fn tell_unread(&mut self, read: Result<(), String>, desk: &Desk, now: Timestamp) -> Result<(), String> {
        let Err(why) = read else {
            self.unread = None;
            return desk.gone(AlarmKind::LogDegraded, UNREAD, now);
        };
        if !lasts(&mut self.unread, Instant::now()) {
            return Ok(());
        }
        let alarm = Alarm::found(AlarmKind::LogDegraded, UNREAD, now).told(
            "entries of the decision log cannot be read, and nothing behind them is looked at",
            "every entry of the log's tree, readable",
            &why,
            "keep the log as it is, and find out what became of its files: portcullis log verify",
        );
        desk.raise(alarm, now).and(Err(why))
    }

    fn see_silent(&self, desk: &Desk, own: &str, now: Timestamp) -> Result<(), String> {
        let mut silent = BTreeSet::new();
        for (writer, last, every) in self.check.silent(now).filter(|(writer, ..)| *writer != own) {
            let alarm = Alarm::writer_silent(writer, last, every, now);
            silent.insert(alarm.subject.clone());
            desk.raise(alarm, now)?;
        }
        desk.only(AlarmKind::WriterSilent, &silent, now)
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

fn of_flaw(flaw: &Flaw, now: Timestamp) -> Alarm {
    let subject = format!("{} {}", flaw.writer, flaw.index);
    Alarm::found(AlarmKind::WriterGap, &subject, now).told(
        "entries of a writer are missing from the log, or out of place",
        "each writer's entries, each naming the one before it",
        &flaw.to_string(),
        "keep the log as it is, and look at that writer's spool: portcullis log verify",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::alarm::desks::{Real, at, desk};

    #[test]
    fn no_more_is_read_while_what_was_found_cannot_be_told_and_then_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let real = Real::open(dir.path());
        let desk = desk(dir.path(), &real);
        real.let_in("shop", 0);
        let size = real.point.recorded();
        let gap = |number: usize| Alarm::found(AlarmKind::WriterGap, &format!("w {number}"), at(0));
        let mut chained = Chained { untold: (0..=MOST).map(gap).collect(), ..Chained::default() };
        real.is_full.store(true, Ordering::SeqCst);
        let mut look = |real: &Real| chained.look(&real.files, size, (&desk, "w"), at(1)).err();
        assert_eq!(look(&real).as_deref(), Some("the log is full"));
        assert_eq!(look(&real).as_deref(), Some("the log is full"));
        real.is_full.store(false, Ordering::SeqCst);
        assert_eq!((chained.next, chained.untold.len()), (0, MOST + 1), "nothing was read");
        let mut rounds = 0;
        while chained.next < real.point.recorded() || !chained.untold.is_empty() {
            real.point.settle().unwrap();
            chained.look(&real.files, real.point.recorded(), (&desk, "w"), at(2)).unwrap();
            rounds += 1;
            assert!(rounds < 1000);
        }
        assert!(real.kinds().len() > MOST);
    }

    #[test]
    fn entries_that_stay_unreadable_are_alarmed_after_a_minute_until_they_are_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let real = Real::open(dir.path());
        let desk = desk(dir.path(), &real);
        real.let_in("shop", 0);
        let gone = Files::new(&dir.path().join("gone"));
        let mut chained = Chained::default();
        chained.look(&gone, 3, (&desk, "w"), at(1)).unwrap();
        assert_eq!(real.kinds(), ["breakglass"], "a moment between two files");
        chained.unread = Instant::now().checked_sub(Duration::from_secs(61));
        for _ in 0..2 {
            let why = chained.look(&gone, 3, (&desk, "w"), at(70)).unwrap_err();
            assert!(why.starts_with("entries from 0 on: "), "{why}");
        }
        assert_eq!(real.kinds(), ["breakglass", "alarm log-degraded"]);
        let size = real.point.recorded();
        chained.look(&real.files, size, (&desk, "w"), at(72)).unwrap();
        assert_eq!(real.kinds()[2..], ["alarm-closed log-degraded"]);
        assert_eq!(chained.next, size);
    }
}
