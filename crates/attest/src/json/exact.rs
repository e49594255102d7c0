//! Numbers that are no integer of 53 bits, for documents of others that hold some.

use std::fmt;

/// A number as its exact text, so that nobody rounds it: `1.5`, `1e3`, `18446744073709551615`, `-0`.
///
/// Only the parser makes one, so the text is always one JSON number and can be written as it stands. Two spellings of
/// one value (`1.5` and `1.50`) are two values: equality here never says more than that the bytes are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exact(String);

impl Exact {
    /// INVARIANT: the caller has read `text` by JSON's grammar of numbers.
    pub(super) fn checked(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
