//! The patterns of artifact rules, with one meaning.
//!
//! `*` is any run of characters, `/` among them; `?` is exactly one character; everything else is itself, and case
//! matters. That is what the specification's verifiers agree on. Where they do not (`[` and `\`: GHSA-pmwq-pjrm-6p5r;
//! `.` and `..` as segments: CVE-2021-41087), a pattern is refused: a rule that one verifier reads as a lock and another
//! as a hole is no rule.

use std::fmt;

/// A pattern that every verifier reads alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// Nothing at all.
    Empty,
    /// `[` begins a character class, which verifiers read in different ways.
    Class,
    /// A backslash escapes for some verifiers, and is a character for others.
    Backslash,
    /// A segment `.` or `..`, or none between two slashes, which some verifiers clean away and others compare.
    NotNormal,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty text",
            Self::Class => "a character class, which verifiers read in different ways",
            Self::Backslash => "a backslash, which verifiers read in different ways",
            Self::NotNormal => "a segment that is empty, `.` or `..`, which verifiers read in different ways",
        })
    }
}
impl std::error::Error for PatternError {}

/// Whether a path is spelled in the one way that all verifiers compare alike.
pub(super) fn is_normal(path: &str) -> bool {
    let below_root = path.strip_prefix('/').unwrap_or(path);
    !path.is_empty()
        && !path.contains(['\\', '\0'])
        && below_root.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] where verifiers would disagree about it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.contains('[') {
            return Err(PatternError::Class);
        }
        if text.contains('\\') {
            return Err(PatternError::Backslash);
        }
        if !is_normal(text) {
            return Err(PatternError::NotNormal);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `name` matches. Takes at most as many steps as the lengths' product.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_str(), name);
        // where to go on when the run of the last star was too short: behind that star, and one character further
        let mut retry: Option<(&str, &str)> = None;
        loop {
            let mut wanted = pattern.chars();
            let mut found = rest.chars();
            match (wanted.next(), found.next()) {
                (Some('*'), _) => {
                    pattern = wanted.as_str();
                    retry = Some((pattern, rest));
                    continue;
                }
                (Some(w), Some(f)) if w == '?' || w == f => {
                    (pattern, rest) = (wanted.as_str(), found.as_str());
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((behind, from)) = retry else { return false };
            let mut longer = from.chars();
            if longer.next().is_none() {
                return false;
            }
            (pattern, rest) = (behind, longer.as_str());
            retry = Some((behind, rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The meaning, written down naively: every way to divide the name is tried.
    fn reference(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|n| reference(rest, &name[n..])),
            Some(('?', rest)) => !name.is_empty() && reference(rest, &name[1..]),
            Some((c, rest)) => name.first() == Some(c) && reference(rest, &name[1..]),
        }
    }

    #[test]
    fn the_matcher_is_the_naive_one() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
        };
        let (mut matched, mut all) = (0, 0);
        for _ in 0..60_000 {
            let mut word = |letters: &[char], most: usize| -> String {
                (0..random(most)).map(|_| letters[random(letters.len())]).collect()
            };
            let (pattern, name) =
                (word(&['a', 'b', '*', '?', '/', 'é'], 9), word(&['a', 'b', '/', 'é', '*'], 11));
            let Ok(parsed) = Pattern::parse(&pattern) else { continue };
            let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            let expected = reference(&p, &n);
            assert_eq!(parsed.matches(&name), expected, "{pattern} {name}");
            all += 1;
            matched += usize::from(expected);
        }
        assert!(all > 20_000 && matched > 1_000, "{matched} of {all}");
    }

    #[test]
    fn a_star_runs_over_slashes_and_case_matters() {
        let matches = |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().matches(name);
        for (pattern, name, is_match) in [
            ("*", "", true),
            ("*", "dir/foo", true),
            ("dir/*", "dir/a/b", true),
            ("dir/*", "dir", false),
            ("*.py", "a/b.py", true),
            ("foo?py", "foo/py", true),
            ("foo", "Foo", false),
            ("foo", "foo/", false),
            ("f*o*o", "foobaro", true),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_stars_is_quick() {
        let pattern = Pattern::parse(&"*a".repeat(200)).unwrap();
        assert!(!pattern.matches(&"a".repeat(100_000).replace("aa", "ab").repeat(2).replace('a', "b")));
        assert!(!pattern.matches(&("a".repeat(20_000) + "b")));
    }

    #[test]
    fn ghsa_pmwq_pjrm_6p5r_a_character_class_is_refused_not_read_one_way() {
        for text in ["[^a]", "[!a]", "foo[0-9]", "["] {
            assert_eq!(Pattern::parse(text), Err(PatternError::Class), "{text}");
        }
        assert_eq!(Pattern::parse("a\\*"), Err(PatternError::Backslash));
    }

    #[test]
    fn cve_2021_41087_a_pattern_that_is_cleaned_by_some_is_refused() {
        for text in ["./foo", "dir/../foo", "..", "a//b", "dir/", "a/./b"] {
            assert_eq!(Pattern::parse(text), Err(PatternError::NotNormal), "{text}");
        }
        assert!(Pattern::parse("/abs/..foo").is_ok());
    }
}
