//! Python: PEP 440, and below all of those what was published before it (setuptools' old order).

use super::number::{Number, digits, runs, span};

/// A version of PyPI, as it is ordered.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// From before PEP 440: a best effort, and never the ground of a "not affected".
    Old(Vec<String>),
    /// PEP 440.
    Read(Box<Pep440>),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pep440 {
    epoch: Number,
    release: Vec<Number>,
    pre: Pre,
    post: Option<Number>,
    dev: Dev,
    local: Vec<Local>,
}

/// A bare development release comes before all pre-releases, a release after them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pre {
    OnlyDev,
    Phase(u8, Number),
    Release,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dev {
    Number(Number),
    Release,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Local {
    Text(String),
    Number(Number),
}

const PRE: [(&str, u8); 8] =
    [("alpha", 0), ("beta", 1), ("preview", 2), ("pre", 2), ("rc", 2), ("a", 0), ("b", 1), ("c", 2)];
const POST: [(&str, u8); 3] = [("post", 0), ("rev", 0), ("r", 0)];
const DEV: [(&str, u8); 1] = [("dev", 0)];

pub(super) fn key(text: &str) -> (Key, bool) {
    let lower = text.trim().to_ascii_lowercase();
    match pep440(&lower) {
        Some(version) => (Key::Read(Box::new(version)), true),
        None => (Key::Old(old(&lower)), false),
    }
}

fn pep440(text: &str) -> Option<Pep440> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, local) = text.split_once('+').map_or((text, None), |(text, local)| (text, Some(local)));
    let (epoch, text) = text.split_once('!').map_or(("0", text), |(epoch, text)| (epoch, text));
    let (numbers, mut rest) = release(text)?;
    let pre = take(&mut rest, &PRE);
    let post = take_dashed(&mut rest).or_else(|| take(&mut rest, &POST).map(|(_, number)| number));
    let dev = take(&mut rest, &DEV).map(|(_, number)| number);
    if !rest.is_empty() {
        return None;
    }
    let pre = match (pre, &post, &dev) {
        (Some((phase, number)), _, _) => Pre::Phase(phase, number),
        (None, None, Some(_)) => Pre::OnlyDev,
        (None, _, _) => Pre::Release,
    };
    Some(Pep440 {
        epoch: Number::read(epoch)?,
        release: numbers,
        pre,
        post,
        dev: dev.map_or(Dev::Release, Dev::Number),
        local: local.map_or(Some(Vec::new()), read_local)?,
    })
}

/// Numbers between dots, without the zeros at their end, and what follows.
fn release(text: &str) -> Option<(Vec<Number>, &str)> {
    let (first, mut rest) = digits(text);
    let mut numbers = vec![Number::read(first)?];
    while let Some((number, after)) = rest.strip_prefix('.').map(digits) {
        let Some(number) = Number::read(number) else { break };
        numbers.push(number);
        rest = after;
    }
    while numbers.last().is_some_and(Number::is_zero) {
        numbers.pop();
    }
    Some((numbers, rest))
}

/// A word with a number, each after a separator or none: `rc1`, `.post-2`, `_dev`.
fn take(rest: &mut &str, words: &[(&str, u8)]) -> Option<(u8, Number)> {
    let bare = rest.strip_prefix(['-', '_', '.']).unwrap_or(rest);
    let (word, rank) = words.iter().find(|(word, _)| bare.starts_with(word))?;
    let after = bare.strip_prefix(word)?;
    let (number, left) = digits(after.strip_prefix(['-', '_', '.']).unwrap_or(after));
    // a separator without a number behind it belongs to what follows
    *rest = if number.is_empty() { after } else { left };
    Some((*rank, Number::read(number).unwrap_or_default()))
}

/// `1.0-2` is a post-release too.
fn take_dashed(rest: &mut &str) -> Option<Number> {
    let (number, left) = digits(rest.strip_prefix('-')?);
    let number = Number::read(number)?;
    *rest = left;
    Some(number)
}

fn read_local(text: &str) -> Option<Vec<Local>> {
    let part = |part: &str| {
        let is_part = !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
        is_part.then(|| Number::read(part).map_or_else(|| Local::Text(part.to_owned()), Local::Number))
    };
    text.split(['-', '_', '.']).map(part).collect()
}

/// setuptools' old order: words with a mark in front, numbers padded, and "final" as a word among them.
fn old(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for piece in text.split('.').flat_map(dashed).chain(["final"]) {
        let part = match piece {
            "pre" | "preview" | "rc" => "*c".to_owned(),
            "-" => "*final-".to_owned(),
            "dev" => "*@".to_owned(),
            piece if piece.bytes().all(|b| b.is_ascii_digit()) => format!("{piece:0>8}"),
            piece => format!("*{piece}"),
        };
        if part.starts_with('*') {
            while part.as_str() < "*final" && parts.last().is_some_and(|last| last == "*final-") {
                parts.pop();
            }
            while parts.last().is_some_and(|last| last == "00000000") {
                parts.pop();
            }
        }
        parts.push(part);
    }
    parts
}

/// Runs of letters and of digits, and the dashes between them.
fn dashed(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = span(rest, |c| c != '-');
        pieces.extend(runs(piece));
        match after.strip_prefix('-') {
            Some(after) => {
                pieces.push("-");
                rest = after;
            }
            None => rest = "",
        }
    }
    pieces
}
