//! Alpine, Wolfi and Chainguard: `1.2.3b_rc1~hash-r4` (apk-package(5)).

use super::number::{Number, digits, span};

/// A version of apk, as it is ordered.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    numbers: Vec<Part>,
    letter: Option<char>,
    suffixes: Vec<(u8, Number)>,
    revision: Number,
    // what is no version comes before what is one
    is_read: bool,
    rest: String,
}

/// After the first, a number with a zero in front is a fraction: compared as text, and before the others.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Fraction(String),
    Number(Number),
}

/// In their order; no suffix is between `rc` and `cvs`.
const SUFFIXES: [(&str, u8); 9] = [
    ("alpha", 0),
    ("beta", 1),
    ("pre", 2),
    ("rc", 3),
    ("cvs", 5),
    ("svn", 6),
    ("git", 7),
    ("hg", 8),
    ("p", 9),
];
const NO_SUFFIX: u8 = 4;

pub(super) fn key(text: &str) -> (Key, bool) {
    let (numbers, rest) = numbers(text);
    let letter = rest.chars().next().filter(|c| c.is_ascii_lowercase() && !numbers.is_empty());
    let rest = letter.map_or(rest, |letter| rest.strip_prefix(letter).unwrap_or(rest));
    let (suffixes, rest) = suffixes(rest);
    // a commit has no order
    let rest = match rest.strip_prefix('~').map(|r| span(r, |c| c.is_ascii_hexdigit())) {
        Some((hash, after)) if !hash.is_empty() => after,
        _ => rest,
    };
    let (revision, rest) = match rest.strip_prefix("-r").map(digits) {
        Some((number, after)) => (Number::read(number).unwrap_or_default(), after),
        None => (Number::default(), rest),
    };
    let is_read = rest.is_empty() && !numbers.is_empty();
    // a dash that begins no revision says nothing, nor does what follows it
    let rest = if rest.starts_with('-') || text.contains("-r") { "" } else { rest };
    (Key { numbers, letter, suffixes, revision, is_read, rest: rest.to_owned() }, is_read)
}

fn numbers(text: &str) -> (Vec<Part>, &str) {
    let (first, mut rest) = digits(text);
    let mut parts: Vec<Part> = Number::read(first).map(Part::Number).into_iter().collect();
    while let Some((number, after)) = rest.strip_prefix('.').map(digits) {
        let Some(read) = Number::read(number).filter(|_| !parts.is_empty()) else { break };
        let is_zero = read.is_zero();
        parts.push(match number.starts_with('0') {
            true if is_zero => Part::Fraction(String::new()),
            true => Part::Fraction(number.to_owned()),
            false => Part::Number(read),
        });
        rest = after;
    }
    // `1.0` is `1`
    let zero = Part::Fraction(String::new());
    while parts.last() == Some(&zero) {
        parts.pop();
    }
    (parts, rest)
}

fn suffixes(text: &str) -> (Vec<(u8, Number)>, &str) {
    let mut suffixes = Vec::new();
    let mut rest = text;
    while let Some((word, after)) = rest.strip_prefix('_').map(|r| span(r, |c| c.is_ascii_alphabetic())) {
        let Some((_, rank)) = SUFFIXES.iter().find(|(name, _)| *name == word) else { break };
        let (number, after) = digits(after);
        suffixes.push((*rank, Number::read(number).unwrap_or_default()));
        rest = after;
    }
    suffixes.push((NO_SUFFIX, Number::default()));
    (suffixes, rest)
}
