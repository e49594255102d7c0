//! Maven's `ComparableVersion`, where it is an order.
//!
//! Maven compares nested lists, and calls a missing item equal to a zero, to an empty list and to the qualifier of a
//! release, but those three unequal to each other: `1 < 1.sp < 1.0.alpha < 1`. Here zeros before a qualifier or a dash
//! go first, as Maven 4 does, and a qualifier begins a part of its own, whether a dot or a dash stands before it.

use std::cmp::Ordering;

use super::number::{Number, digits, span};

/// A version of Maven: parts, each inside of the one before.
#[derive(Debug)]
pub(super) struct Key(Vec<Part>);

/// What stands between two dashes: a qualifier, if it begins with one, and numbers.
#[derive(Debug, Default)]
struct Part {
    qualifier: Option<Qualifier>,
    numbers: Vec<Number>,
}

/// Known ones in their order, unknown ones after all of those.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Qualifier {
    Alpha,
    Beta,
    Milestone,
    Candidate,
    Snapshot,
    Release,
    ServicePack,
    Other(String),
}

/// The key; every text has one.
pub(super) fn key(text: &str) -> (Key, bool) {
    let is_read = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+~".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphanumeric());
    (Key(normal(parts(&text.to_ascii_lowercase()))), is_read)
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = vec![Part::default()];
    for (index, dashed) in text.split('-').enumerate() {
        if index > 0 {
            parts.push(Part::default());
        }
        for word in dashed.split('.') {
            add(&mut parts, word);
        }
    }
    parts
}

/// One word between separators: each change between letters and digits in it is a dash.
fn add(parts: &mut Vec<Part>, word: &str) {
    if word.is_empty() {
        push(parts, Number::default(), false);
    }
    let mut rest = word;
    let mut is_after_letters = false;
    while !rest.is_empty() {
        let (number, after) = digits(rest);
        if let Some(number) = Number::read(number) {
            push(parts, number, is_after_letters);
            rest = after;
        } else {
            let (letters, after) = span(rest, |c| !c.is_ascii_digit());
            let qualifier = Some(qualifier(letters, !after.is_empty()));
            match parts.last_mut().filter(|p| p.qualifier.is_none() && p.numbers.is_empty()) {
                Some(part) => part.qualifier = qualifier,
                None => parts.push(Part { qualifier, numbers: Vec::new() }),
            }
            is_after_letters = true;
            rest = after;
        }
    }
}

fn push(parts: &mut Vec<Part>, number: Number, is_new: bool) {
    match parts.last_mut().filter(|_| !is_new) {
        Some(part) => part.numbers.push(number),
        None => parts.push(Part { qualifier: None, numbers: vec![number] }),
    }
}

fn qualifier(letters: &str, is_before_digit: bool) -> Qualifier {
    match (letters, is_before_digit) {
        ("alpha", _) | ("a", true) => Qualifier::Alpha,
        ("beta", _) | ("b", true) => Qualifier::Beta,
        ("milestone", _) | ("m", true) => Qualifier::Milestone,
        ("rc" | "cr", _) => Qualifier::Candidate,
        ("snapshot", _) => Qualifier::Snapshot,
        ("ga" | "final" | "release", _) => Qualifier::Release,
        ("sp", _) => Qualifier::ServicePack,
        (other, _) => Qualifier::Other(other.to_owned()),
    }
}

/// Without what says nothing: zeros at the end of a part, releases, and parts that are empty then.
fn normal(parts: Vec<Part>) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::new();
    // from the end: whether zeros of a part say something depends on what follows it
    for (index, mut part) in parts.into_iter().enumerate().rev() {
        let is_before_number = out.last().is_some_and(|next| next.qualifier.is_none());
        let kept = usize::from(index == 0 || (part.qualifier.is_none() && is_before_number));
        while part.numbers.len() > kept && part.numbers.last().is_some_and(Number::is_zero) {
            part.numbers.pop();
        }
        if part.numbers.is_empty() && part.qualifier == Some(Qualifier::Release) {
            part.qualifier = None;
        }
        // the first part stays, so that `0-1` is no `1`
        if index == 0 || part.qualifier.is_some() || !part.numbers.is_empty() {
            out.push(part);
        }
    }
    out.reverse();
    out
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let empty = Part::default();
        for index in 0..self.0.len().max(other.0.len()) {
            let left = self.0.get(index).unwrap_or(&empty);
            let order = left.compare(other.0.get(index).unwrap_or(&empty));
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

impl Part {
    fn compare(&self, other: &Self) -> Ordering {
        let first = match (&self.qualifier, &other.qualifier) {
            (Some(left), Some(right)) => left.cmp(right),
            (None, None) => Ordering::Equal,
            // a number comes after every qualifier; nothing is a release
            (Some(left), None) if other.numbers.is_empty() => left.cmp(&Qualifier::Release),
            (None, Some(right)) if self.numbers.is_empty() => Qualifier::Release.cmp(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        // a further number comes after everything that could stand in its place
        first.then_with(|| self.numbers.cmp(&other.numbers))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}
