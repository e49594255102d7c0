//! Identities and the anchored patterns that stand for many of them.

use std::fmt;

/// The longest pattern, in bytes.
const MAX: usize = 2048;

/// A text with `*` for any run of characters but `/`, and `**` for any run at all. It always stands for the whole text: a
/// pattern that may match in the middle is how `https://github.com/acme` admits `https://evil.example/?https://github.com/acme`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `*`
    Segment,
    /// `**`
    Anything,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// Nothing, or nothing but stars: it would let everybody in.
    Everything,
    /// Longer than any identity.
    Long,
    /// Three stars in a row.
    Stars,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => {
                f.write_str("the pattern stands for everything: name at least the host and the owner")
            }
            Self::Long => write!(f, "the pattern is longer than {MAX} bytes"),
            Self::Stars => f.write_str("three stars in a row: `*` is any run without `/`, `**` is any run"),
        }
    }
}
impl std::error::Error for PatternError {}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] for one that is too long, or that stands for everything.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX {
            return Err(PatternError::Long);
        }
        if text.contains("***") {
            return Err(PatternError::Stars);
        }
        let mut parts: Vec<Part> = Vec::new();
        for (number, between) in text.split("**").enumerate() {
            if number > 0 {
                parts.push(Part::Anything);
            }
            for (number, literal) in between.split('*').enumerate() {
                if number > 0 {
                    parts.push(Part::Segment);
                }
                if !literal.is_empty() {
                    parts.push(Part::Text(literal.to_owned()));
                }
            }
        }
        let says_something =
            |part: &Part| matches!(part, Part::Text(text) if text.chars().any(char::is_alphanumeric));
        if !parts.iter().any(says_something) {
            return Err(PatternError::Everything);
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for exactly this text. Takes time in proportion to both lengths, whatever they are.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        // which lengths of the text's beginning the parts so far can stand for
        let mut reached = vec![false; bytes.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for part in &self.parts {
            reached = after(part, &reached, bytes);
        }
        reached.last().copied().unwrap_or(false)
    }
}

fn after(part: &Part, before: &[bool], bytes: &[u8]) -> Vec<bool> {
    let mut reached = vec![false; before.len()];
    match part {
        Part::Text(literal) => {
            for (start, _) in before.iter().enumerate().filter(|(_, is_reached)| **is_reached) {
                let rest = bytes.get(start..).unwrap_or_default();
                if rest.starts_with(literal.as_bytes())
                    && let Some(end) = reached.get_mut(start + literal.len())
                {
                    *end = true;
                }
            }
        }
        Part::Segment | Part::Anything => {
            let mut is_open = false;
            for (at, end) in reached.iter_mut().enumerate() {
                let stops = at > 0 && *part == Part::Segment && bytes.get(at - 1) == Some(&b'/');
                is_open = (is_open && !stops) || before.get(at).copied().unwrap_or(false);
                *end = is_open;
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::{Pattern, PatternError};

    #[test]
    fn a_pattern_stands_for_the_whole_text() {
        for (pattern, text, is_match) in [
            ("https://github.com/acme/*", "https://github.com/acme/shop", true),
            ("https://github.com/acme/*", "https://github.com/acme/shop/x", false),
            ("https://github.com/acme/**", "https://github.com/acme/shop/x@refs/tags/v1", true),
            ("https://github.com/acme/*", "https://github.com/acme/", true),
            ("https://github.com/acme/*", "https://github.com/acme-evil/shop", false),
            ("https://github.com/acme/*", "https://evil.example/?u=https://github.com/acme/shop", false),
            ("https://github.com/acme/*", "https://github.com/acme/shop\n", true),
            ("*@acme.example", "alice@acme.example", true),
            ("*@acme.example", "alice@acme.example.evil", false),
            ("*@acme.example", "a/alice@acme.example", false),
            ("a*b*c", "abxbc", true),
            ("a*b*c", "ab/xbc", false),
            ("a.c", "abc", false),
            ("exact", "exact", true),
            ("exact", "Exact", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(text), is_match, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_for_everything_is_none() {
        for text in ["", "*", "**", "*/*", "://**", "*@*"] {
            assert_eq!(Pattern::parse(text), Err(PatternError::Everything), "{text}");
        }
        assert_eq!(Pattern::parse("a***"), Err(PatternError::Stars));
        assert_eq!(Pattern::parse(&"a".repeat(3000)), Err(PatternError::Long));
    }
}
