//! How many grants may be used in a while before somebody is told.

use std::fmt;

use attest::time::Span;

/// So many grants in so long a time, as in `3 per 7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Grants that let something in.
    pub grants: usize,
    /// In this time.
    pub per: Span,
}

impl Budget {
    /// Parses `3 per 7d`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (grants, per) = text.split_once(" per ")?;
        let is_number = !grants.is_empty() && grants.len() <= 4 && grants.bytes().all(|b| b.is_ascii_digit());
        let grants = if is_number { grants.parse().ok()? } else { return None };
        Some(Self { grants, per: Span::parse(per)? })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}", self.grants, self.per)
    }
}
