//! Debian and Ubuntu: `[epoch:]upstream[-revision]` (deb-version(7)).

use super::number::{Number, digits, span};

/// A version of dpkg, as it is ordered.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    epoch: Number,
    upstream: Vec<Pair>,
    revision: Vec<Pair>,
}

/// Characters that are no digits, with the rank of an end behind them, and the number after them.
type Pair = (Vec<i64>, Number);

const END: i64 = 0;

pub(super) fn key(text: &str) -> (Key, bool) {
    let text = text.trim();
    let epoch = text.split_once(':').and_then(|(epoch, rest)| Some((Number::read(epoch)?, rest)));
    let (epoch, rest) = epoch.unwrap_or((Number::default(), text));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-~:_".contains(&b));
    let is_read = upstream.starts_with(|c: char| c.is_ascii_digit()) && is_plain(rest);
    (Key { epoch, upstream: pairs(upstream), revision: pairs(revision) }, is_read)
}

fn pairs(text: &str) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (other, after) = span(rest, |c| !c.is_ascii_digit());
        let (number, after) = digits(after);
        let ranks = other.chars().map(rank).chain([END]).collect();
        pairs.push((ranks, Number::read(number).unwrap_or_default()));
        rest = after;
    }
    // nothing is as old as a zero, and what follows an end may come before it: `~`
    let end: Pair = (vec![END], Number::default());
    if pairs.as_slice() != std::slice::from_ref(&end) {
        pairs.push(end);
    }
    pairs
}

/// A tilde comes before an end, letters before everything else.
fn rank(c: char) -> i64 {
    let code = i64::from(u32::from(c));
    match c {
        '~' => -1,
        c if c.is_ascii_alphabetic() => code,
        _ => code.saturating_add(256),
    }
}
