//! Semantic versions 2.0 and the orders close to them: NuGet with a fourth number, Pub with ordered builds.

use super::number::Number;

/// A semantic version, as it is ordered.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    numbers: Vec<Number>,
    // a release comes after every one of its pre-releases
    is_release: bool,
    before: Vec<Word>,
    build: Vec<Word>,
}

/// One word between dots.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Number(Number),
    Text(String),
}

/// What differs between the ecosystems that have nearly the same order.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    /// How many numbers count.
    numbers: usize,
    /// Whether builds are ordered; else they say nothing.
    has_builds: bool,
    /// Whether case says nothing.
    is_caseless: bool,
}

pub(super) const SEMVER: Dialect = Dialect { numbers: 3, has_builds: false, is_caseless: false };
pub(super) const PUB: Dialect = Dialect { numbers: 3, has_builds: true, is_caseless: false };
pub(super) const NUGET: Dialect = Dialect { numbers: 4, has_builds: false, is_caseless: true };

/// The key, and whether the text is a version of this dialect: what has more numbers is ordered by the first ones.
pub(super) fn key(text: &str, dialect: Dialect) -> Option<(Key, bool)> {
    let text = text.strip_prefix(['v', 'V', '=']).unwrap_or(text);
    let lower = if dialect.is_caseless { text.to_ascii_lowercase() } else { text.to_owned() };
    let (rest, build) = lower.split_once('+').map_or((lower.as_str(), None), |(rest, b)| (rest, Some(b)));
    let (numbers, before) = rest.split_once('-').map_or((rest, None), |(n, b)| (n, Some(b)));
    let all: Option<Vec<Number>> = numbers.split('.').map(Number::read).collect();
    let mut numbers = all?;
    let is_read = numbers.len() <= dialect.numbers && [before, build].into_iter().flatten().all(is_words);
    numbers.resize(dialect.numbers, Number::default());
    let build = if dialect.has_builds { build } else { None };
    let key = Key {
        numbers,
        is_release: before.is_none(),
        before: before.map(words).unwrap_or_default(),
        build: build.map(words).unwrap_or_default(),
    };
    Some((key, is_read))
}

fn words(text: &str) -> Vec<Word> {
    let word = |w: &str| Number::read(w).map_or_else(|| Word::Text(w.to_owned()), Word::Number);
    text.split('.').map(word).collect()
}

fn is_words(text: &str) -> bool {
    let is_word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    text.split('.').all(is_word)
}
