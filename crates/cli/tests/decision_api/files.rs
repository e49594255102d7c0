//! Files that are not taken: alarmed until they are, whoever alarmed it and whoever sees that it is over.

use std::fs;

use crate::place::Place;
use crate::until;

/// How often `files-refused` was told: raised, and closed.
fn told(place: &Place) -> (usize, usize) {
    let text = fs::read_to_string(place.at("alarms.jsonl")).unwrap_or_default();
    let of = |event: &str| {
        let is_one = |line: &&str| {
            line.contains("\"kind\":\"files-refused\"") && line.contains(&format!("\"event\":\"{event}\""))
        };
        text.lines().filter(is_one).count()
    };
    (of("alarm"), of("alarm-closed"))
}

#[test]
fn what_was_mended_while_nobody_looked_is_closed_at_the_next_start_and_alarms_anew() {
    let place = Place::new("");
    let book = place.at("book/shop.yaml");
    let good = fs::read_to_string(&book).unwrap();
    let spoil = || fs::write(&book, good.replace("require:", "requires:")).unwrap();
    let running = place.start();
    spoil();
    until("nobody is told", || told(&place) == (1, 0));
    assert_eq!(running.end(), 0);
    fs::write(&book, &good).unwrap();
    let running = place.start();
    until("it stays open", || told(&place) == (1, 1));
    spoil();
    until("nobody is told of the next one", || told(&place) == (2, 1));
    fs::write(&book, &good).unwrap();
    until("it stays open", || told(&place) == (2, 2));
    assert_eq!(running.end(), 0);
}
