//! RubyGems: `Gem::Version`. A word comes before a number, and before nothing.

use std::cmp::Ordering;

use super::number::{Number, runs};

/// A version of a gem: numbers, and from the first word on the rest, both without the zeros at their end.
#[derive(Debug)]
pub(super) struct Key(Vec<Word>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Text(String),
    Number(Number),
}

pub(super) fn key(text: &str) -> (Key, bool) {
    let text = text.trim();
    let is_word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_read = text.starts_with(|c: char| c.is_ascii_digit()) && text.split('.').all(is_word);
    // rubygems reads a dash as `.pre.`
    let dotted = text.replace('-', ".pre.");
    let word = |w: &&str| Number::read(w).map_or_else(|| Word::Text((*w).to_owned()), Word::Number);
    let words: Vec<Word> = runs(&dotted).iter().map(word).collect();
    let numbers = words.iter().take_while(|w| matches!(w, Word::Number(_))).count();
    let (numbers, rest) = words.split_at_checked(numbers).unwrap_or((&words, &[]));
    (Key([trimmed(numbers), trimmed(rest)].concat()), is_read)
}

fn trimmed(words: &[Word]) -> &[Word] {
    let zeros = words.iter().rev().take_while(|w| matches!(w, Word::Number(n) if n.is_zero())).count();
    words.get(..words.len().saturating_sub(zeros)).unwrap_or_default()
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let zero = Word::Number(Number::default());
        let word = |key: &Self, index| key.0.get(index).unwrap_or(&zero).clone();
        let orders = (0..self.0.len().max(other.0.len())).map(|i| word(self, i).cmp(&word(other, i)));
        orders.into_iter().find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
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
