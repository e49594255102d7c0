//! A whole number of any length, as versions have them: dates, build numbers, hashes that are all digits.

use std::cmp::Ordering;

/// Decimal digits without leading zeros; zero is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Number(String);

impl Number {
    /// The number, if the text is digits alone.
    pub(super) fn read(text: &str) -> Option<Self> {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| Self(text.trim_start_matches('0').to_owned()))
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The longest beginning of the text whose characters are all of one kind, and the rest.
pub(super) fn span(text: &str, is_kind: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !is_kind(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The digits at the beginning, and the rest.
pub(super) fn digits(text: &str) -> (&str, &str) {
    span(text, |c| c.is_ascii_digit())
}

/// Runs of digits and runs of ASCII letters, in their order; everything else only separates.
pub(super) fn runs(text: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (run, after) = match first {
            c if c.is_ascii_digit() => digits(rest),
            c if c.is_ascii_alphabetic() => span(rest, |c| c.is_ascii_alphabetic()),
            _ => span(rest, |c| !c.is_ascii_alphanumeric()),
        };
        if first.is_ascii_alphanumeric() {
            runs.push(run);
        }
        rest = after;
    }
    runs
}
