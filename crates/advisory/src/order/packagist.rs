//! Packagist: PHP's `version_compare`, after the `v` in front that Composer takes away.

use super::number::{Number, digits, span};

/// A version of PHP, as it is ordered: its words, and an end that has a rank of its own among them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<Word>);

/// In the order of `version_compare`: unknown words, dev, alpha, beta, rc, nothing, a number, patch level.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Before(u8),
    End,
    Number(Number),
    Patch,
}

pub(super) fn key(text: &str) -> (Key, bool) {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let is_read = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_+~".contains(&b));
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            c if c.is_ascii_digit() => digits(rest),
            c if is_separator(c) => span(rest, is_separator),
            _ => span(rest, |c| !is_separator(c) && !c.is_ascii_digit()),
        };
        if !is_separator(first) {
            words.push(Number::read(word).map_or_else(|| rank(word), Word::Number));
        }
        rest = after;
    }
    words.push(Word::End);
    (Key(words), is_read)
}

fn is_separator(c: char) -> bool {
    matches!(c, '.' | '-' | '_' | '+')
}

/// PHP looks at how a word begins.
fn rank(word: &str) -> Word {
    match word {
        word if word.starts_with("dev") => Word::Before(1),
        word if word.starts_with('a') => Word::Before(2),
        word if word.starts_with('b') => Word::Before(3),
        word if word.starts_with("RC") || word.starts_with("rc") => Word::Before(4),
        word if word.starts_with('p') => Word::Patch,
        _ => Word::Before(0),
    }
}
