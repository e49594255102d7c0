//! Every way in which a writer's entry can be missing, and none where nothing is.

use attest::Object;

use super::*;
use crate::event::Event;

/// Entries of one writer or several, each naming the one before.
#[derive(Default)]
struct Chain {
    leaves: Vec<Vec<u8>>,
    last: BTreeMap<String, (Position, Digest)>,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

impl Chain {
    fn next(&self, writer: &str) -> Position {
        let writer = writer.to_owned();
        match self.last.get(&writer) {
            None => Position { writer, epoch: 0, sequence: 0, previous: None },
            Some((last, hash)) => {
                let previous = Some(hash.clone());
                Position { writer, epoch: last.epoch, sequence: last.sequence + 1, previous }
            }
        }
    }

    fn put(&mut self, position: Position, seconds: i64, kind: EventKind, body: Object) {
        let event = Event {
            position: position.clone(),
            at: at(seconds),
            kind,
            trust_root_version: 1,
            body,
            parts: Vec::new(),
        };
        let leaf = event.to_json().to_string().into_bytes();
        self.last.insert(position.writer.clone(), (position, leaf_digest(&leaf).unwrap()));
        self.leaves.push(leaf);
    }

    fn say(&mut self, writer: &str, seconds: i64) {
        self.put(self.next(writer), seconds, EventKind::Alarm, Object::new());
    }

    fn beat(&mut self, writer: &str, seconds: i64) {
        self.put(self.next(writer), seconds, EventKind::Heartbeat, Object::new().with("every", 10));
    }

    /// Begins another life of `writer`, which may have another name now.
    fn open(&mut self, writer: &str, name: &str, seconds: i64) {
        let mut position = Position { writer: name.to_owned(), ..self.next(writer) };
        let mut body = Object::new();
        if let Some((last, hash)) = self.last.remove(writer) {
            position.epoch += 1;
            body.set("last_sequence", i64::try_from(last.sequence).unwrap());
            body.set("last_leaf", hash.to_string());
        }
        self.put(position, seconds, EventKind::EpochOpen, body);
    }

    fn flaws(&self) -> Vec<(u64, FlawKind)> {
        let leaves = (0..).zip(self.leaves.iter().map(Vec::as_slice));
        check(leaves).into_iter().map(|flaw| (flaw.index, flaw.kind)).collect()
    }

    fn without(mut self, index: usize) -> Vec<(u64, FlawKind)> {
        self.leaves.remove(index);
        self.flaws()
    }
}

/// Two writers, two epochs, and one that has another name now.
fn whole() -> Chain {
    let mut chain = Chain::default();
    chain.open("a", "a", 0);
    chain.open("b", "b", 1);
    chain.say("a", 2);
    chain.beat("a", 12);
    chain.beat("a", 42);
    chain.say("b", 43);
    chain.open("a", "a", 5000);
    chain.say("a", 5001);
    chain.open("a", "c", 5002);
    chain.say("c", 5003);
    chain.say("b", 9000);
    chain
}

#[test]
fn a_whole_log_has_no_flaws_and_each_entry_that_is_taken_out_is_missed() {
    assert_eq!(whole().flaws(), []);
    let last_of_their_writer = [9, 10];
    for index in 0..whole().leaves.len() {
        let flaws = whole().without(index);
        assert_eq!(flaws.is_empty(), last_of_their_writer.contains(&index), "{index}: {flaws:?}");
    }
    assert_eq!(whole().without(2), [(2, FlawKind::Sequence { wanted: 1, found: 2 })]);
    assert_eq!(whole().without(0)[0], (1, FlawKind::Sequence { wanted: 0, found: 1 }));
}

#[test]
fn an_entry_that_is_there_twice_or_in_anothers_place_is_found() {
    let mut chain = whole();
    let copy = chain.leaves[5].clone();
    chain.leaves.insert(6, copy);
    assert_eq!(chain.flaws(), [(6, FlawKind::Sequence { wanted: 2, found: 1 })]);
    let mut chain = whole();
    let position = Position { previous: Some(Digest::sha256(b"another")), ..chain.next("b") };
    chain.put(position, 9001, EventKind::Alarm, Object::new());
    assert_eq!(chain.flaws(), [(11, FlawKind::Previous)]);
}

#[test]
fn an_epoch_is_opened_once_and_says_what_the_one_before_came_to() {
    let mut chain = whole();
    let position = Position { epoch: 7, ..chain.next("b") };
    chain.put(position, 9001, EventKind::Alarm, Object::new());
    assert_eq!(chain.flaws(), [(11, FlawKind::Epoch { before: 0, found: 7 })]);
    let mut chain = whole();
    let position = Position { epoch: 1, ..chain.next("b") };
    // the process lost its last entries, and went on
    let body = Object::new().with("last_sequence", 5).with("last_leaf", "sha256:00");
    chain.put(position, 9001, EventKind::EpochOpen, body);
    assert_eq!(chain.flaws(), [(11, FlawKind::Opening)]);
}

#[test]
fn who_beats_is_missed_and_who_begins_anew_or_never_beat_is_not() {
    let mut chain = Chain::default();
    chain.open("a", "a", 0);
    chain.beat("a", 10);
    chain.say("a", 40);
    assert_eq!(chain.flaws(), []);
    chain.say("a", 71);
    let silent = FlawKind::Silent { silent: Span::seconds(31), every: Span::seconds(10) };
    assert_eq!(chain.flaws(), [(3, silent)]);
    let mut full = Chain::default();
    full.open("a", "a", 0);
    full.beat("a", 10);
    full.put(full.next("a"), 20, EventKind::Degraded, Object::new().with("mark", 100));
    full.say("a", 9000);
    assert_eq!(full.flaws(), [], "there was no room for a heartbeat");
    let words = check((0..).zip(chain.leaves.iter().map(Vec::as_slice)))[0].to_string();
    assert_eq!(words, "before record 3, a was silent for 31s, where it promised an entry every 10s");
}

#[test]
fn a_leaf_that_is_no_entry_is_a_flaw_only_in_a_log_of_decisions() {
    assert_eq!(check([(0, b"a signature".as_slice())]), []);
    let mut chain = whole();
    chain.leaves.push(b"{}".to_vec());
    assert!(matches!(chain.flaws()[..], [(11, FlawKind::Unreadable(_))]));
}

#[test]
fn who_goes_on_checking_hears_each_flaw_once_and_who_is_silent_now() {
    let mut chain = Chain::default();
    chain.open("a", "a", 0);
    chain.beat("a", 10);
    chain.open("b", "b", 11);
    chain.beat("b", 12);
    chain.say("a", 20);
    let mut check = Check::default();
    for (index, leaf) in (0..).zip(&chain.leaves).filter(|(index, _)| *index != 1) {
        check.add(index, leaf);
    }
    let flaws = check.take();
    assert_eq!((flaws.len(), flaws[0].index), (1, 4), "{flaws:?}");
    assert_eq!(check.take(), [], "once");
    // `a` never promised anything that was seen; `b` promised a word every ten seconds
    let silent =
        |seconds: i64| check.silent(at(seconds)).map(|(w, last, _)| (w.to_owned(), last)).collect::<Vec<_>>();
    assert_eq!(silent(42), []);
    assert_eq!(silent(43), [("b".to_owned(), at(12))]);
}
