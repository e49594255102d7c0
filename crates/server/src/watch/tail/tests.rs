//! A file that grows, is put aside, is cut, and is gone.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn append(&self, text: &str) {
        let file = OpenOptions::new().create(true).append(true).open(self.at("audit.log"));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn rotate(&self, second: u32) {
        let aside = format!("audit-2026-11-23T01-02-{second:02}.000.log");
        fs::rename(self.at("audit.log"), self.at(&aside)).unwrap();
    }

    /// As after a restart.
    fn read(&self) -> Vec<String> {
        let mut tail = Tail::open(&self.at("audit.log"), &self.at("position")).unwrap();
        let read = tail.read(1000).unwrap();
        tail.keep().unwrap();
        read.into_iter().map(shown).collect()
    }
}

fn shown(read: Read) -> String {
    match read {
        Read::Line(line, _) => String::from_utf8(line).unwrap(),
        Read::TooLong(at) => format!("too long at {at}"),
        Read::Gap(why) => why.split('/').next_back().unwrap().to_owned(),
    }
}

#[test]
fn every_line_is_read_once_over_restarts_and_renames() {
    let place = Place::new();
    assert!(place.read().is_empty(), "there is no file yet");
    place.append("one\ntw");
    assert_eq!(place.read(), ["one"], "half a line is not there yet");
    place.append("o\n");
    assert_eq!(place.read(), ["two"]);
    place.append("three\n");
    place.rotate(1);
    assert_eq!(place.read(), ["three"], "there is no new file yet");
    place.append("four\n");
    place.rotate(2);
    place.append("five\n");
    place.rotate(3);
    place.append("six\n");
    fs::write(place.at("audit-policy.log"), "other\n").unwrap();
    assert_eq!(place.read(), ["four", "five", "six"], "two renames while nobody read");
    assert!(place.read().is_empty());
}

#[test]
fn what_is_missing_is_said_and_what_is_left_is_read() {
    let place = Place::new();
    place.append("one\ntwo\n");
    assert_eq!(place.read(), ["one", "two"]);
    fs::write(place.at("audit.log"), "one\n").unwrap();
    assert_eq!(place.read(), ["audit.log was cut", "one"]);
    fs::write(place.at("audit.log"), "another\n").unwrap();
    assert_eq!(place.read(), ["the file that was read last is gone, perhaps with lines", "another"]);
    place.append("half");
    place.rotate(1);
    place.append("next\n");
    assert_eq!(place.read(), ["audit-2026-11-23T01-02-01.000.log ends within a line", "next"]);
}

#[test]
fn a_few_at_a_time_come_to_the_same_and_what_was_not_kept_comes_again() {
    let place = Place::new();
    place.append("one\ntwo\n");
    place.rotate(1);
    place.append("three\n");
    let mut tail = Tail::open(&place.at("audit.log"), &place.at("position")).unwrap();
    let mut all = Vec::new();
    loop {
        let read = tail.read(1).unwrap();
        if read.is_empty() {
            break;
        }
        all.extend(read.into_iter().map(shown));
    }
    assert_eq!(all, ["one", "two", "three"]);
    assert_eq!(place.read(), ["one", "two", "three"]);
}

#[test]
fn a_line_without_end_costs_no_more_than_an_event() {
    let place = Place::new();
    place.append("one\n");
    place.append(&"x".repeat(MAX_EVENT + 5));
    place.append("\ntwo\n");
    assert_eq!(place.read(), ["one", "too long at 4", "two"]);
}

#[test]
fn a_position_that_cannot_be_read_is_not_guessed() {
    let place = Place::new();
    place.append("one\n");
    for text in ["", "{", r#"{"offset":-1}"#, r#"{"file":"x","offset":1}"#, &"x".repeat(5000)] {
        fs::write(place.at("position"), text).unwrap();
        let error = Tail::open(&place.at("audit.log"), &place.at("position")).unwrap_err().to_string();
        assert!(error.contains("the position in") && error.contains("remove it"), "{text}: {error}");
    }
}
