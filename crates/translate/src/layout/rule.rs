//! Artifact rules: seven words, each with one shape.

use std::fmt;

use attest::Json;
use attest::json::ShapeError;

use super::glob::{Pattern, is_normal};

/// Which list of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What was there before the step.
    Materials,
    /// What was there after it.
    Products,
}

impl Side {
    /// The word in files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Materials => "materials",
            Self::Products => "products",
        }
    }
}

/// One artifact rule. All but `Disallow` and `Require` take artifacts off the list that the next rules see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Takes what is the same as another step's artifact of the same path.
    Match {
        /// Which paths, behind the prefix.
        pattern: Pattern,
        /// In front of the path here, with a slash at its end; empty where none is.
        prefix: String,
        /// Which list of the other step.
        side: Side,
        /// In front of the path there, likewise.
        other_prefix: String,
        /// The other step.
        from: String,
    },
    /// Takes what matches.
    Allow(Pattern),
    /// Fails where something that matches is left.
    Disallow(Pattern),
    /// Fails where this path is not left.
    Require(String),
    /// Takes products that were no materials.
    Create(Pattern),
    /// Takes materials that are no products.
    Delete(Pattern),
    /// Takes what is both, with other bytes.
    Modify(Pattern),
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// [`ShapeError`] for an unknown word, a wrong number of words, and patterns that verifiers read differently.
    pub fn read(value: &Json) -> Result<Self, ShapeError> {
        let items = value.as_array()?;
        let words: Vec<&str> = items.iter().map(Json::as_str).collect::<Result<_, _>>()?;
        let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let wrong = || ShapeError::new("", WANTED, &words.join(" "));
        match (lower.as_slice(), words.as_slice()) {
            (["match", ..], [_, pattern, ..]) => read_match(pattern, &lower, &words).ok_or_else(wrong)?,
            (["require", _], [_, path]) if is_normal(path) => Ok(Self::Require((*path).to_owned())),
            (["require", _], [_, path]) => {
                Err(ShapeError::new("", "a path spelled in the one usual way", path))
            }
            ([word, _], [_, text]) => {
                let make = match *word {
                    "allow" => Self::Allow,
                    "disallow" => Self::Disallow,
                    "create" => Self::Create,
                    "delete" => Self::Delete,
                    "modify" => Self::Modify,
                    _ => return Err(wrong()),
                };
                pattern(text).map(make)
            }
            _ => Err(wrong()),
        }
    }
}

const WANTED: &str = "ALLOW, DISALLOW, REQUIRE, CREATE, DELETE or MODIFY and a pattern, or MATCH pattern [IN prefix] WITH \
                      MATERIALS|PRODUCTS [IN prefix] FROM step";

fn pattern(text: &str) -> Result<Pattern, ShapeError> {
    Pattern::parse(text).map_err(|e| {
        ShapeError::new("", "a pattern that all verifiers read alike", &format!("`{text}`: {e}"))
    })
}

fn prefix(text: &str) -> Result<String, ShapeError> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    if !is_normal(bare) {
        return Err(ShapeError::new("", "a folder spelled in the one usual way", text));
    }
    Ok(format!("{bare}/"))
}

/// `MATCH pattern [IN prefix] WITH side [IN prefix] FROM step`; nothing where the words stand otherwise.
fn read_match(text: &str, lower: &[&str], words: &[&str]) -> Option<Result<Rule, ShapeError>> {
    let (here, side, there, from) = match (lower, words) {
        ([_, _, "with", side, "from", _], [.., from]) => (None, *side, None, *from),
        ([_, _, "in", _, "with", side, "from", _], [_, _, _, here, .., from]) => {
            (Some(*here), *side, None, *from)
        }
        ([_, _, "with", side, "in", _, "from", _], [_, _, _, _, _, there, .., from]) => {
            (None, *side, Some(*there), *from)
        }
        ([_, _, "in", _, "with", side, "in", _, "from", _], [_, _, _, here, _, _, _, there, _, from]) => {
            (Some(*here), *side, Some(*there), *from)
        }
        _ => return None,
    };
    let side = match side {
        "materials" => Side::Materials,
        "products" => Side::Products,
        _ => return None,
    };
    let read = || {
        Ok(Rule::Match {
            pattern: pattern(text)?,
            prefix: here.map(prefix).transpose()?.unwrap_or_default(),
            side,
            other_prefix: there.map(prefix).transpose()?.unwrap_or_default(),
            from: from.to_owned(),
        })
    };
    Some(read())
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(p) => write!(f, "ALLOW {}", p.text()),
            Self::Disallow(p) => write!(f, "DISALLOW {}", p.text()),
            Self::Require(path) => write!(f, "REQUIRE {path}"),
            Self::Create(p) => write!(f, "CREATE {}", p.text()),
            Self::Delete(p) => write!(f, "DELETE {}", p.text()),
            Self::Modify(p) => write!(f, "MODIFY {}", p.text()),
            Self::Match { pattern, prefix, side, other_prefix, from } => {
                let place =
                    |prefix: &str| if prefix.is_empty() { String::new() } else { format!(" IN {prefix}") };
                let side = side.name().to_ascii_uppercase();
                let (here, there) = (place(prefix), place(other_prefix));
                write!(f, "MATCH {}{here} WITH {side}{there} FROM {from}", pattern.text())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<String, String> {
        Rule::read(&Json::from(words.to_vec())).map(|r| r.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn every_shape_is_read_and_written() {
        for words in [
            "ALLOW foo",
            "DISALLOW *",
            "REQUIRE foo/bar",
            "CREATE a?",
            "DELETE a",
            "MODIFY a",
            "MATCH * WITH PRODUCTS FROM build",
            "MATCH * IN dir/ WITH MATERIALS FROM build",
            "MATCH * WITH PRODUCTS IN dir/ FROM build",
            "MATCH * IN a/b/ WITH PRODUCTS IN dir/ FROM build",
        ] {
            let list: Vec<&str> = words.split(' ').collect();
            assert_eq!(read(&list).as_deref(), Ok(words));
        }
        assert_eq!(
            read(&["match", "*", "in", "dir", "with", "products", "from", "FROM"]).as_deref(),
            Ok("MATCH * IN dir/ WITH PRODUCTS FROM FROM")
        );
    }

    #[test]
    fn other_shapes_are_refused_with_what_was_found() {
        for (words, found) in [
            (vec!["ALLOW"], "found ALLOW"),
            (vec!["ALLOW", "a", "b"], "found ALLOW a b"),
            (vec!["PERMIT", "a"], "found PERMIT a"),
            (vec!["MATCH", "*", "WITH", "PRODUCTS", "FROM"], "found MATCH"),
            (vec!["MATCH", "*", "WITH", "OUTPUTS", "FROM", "x"], "found MATCH"),
            (vec!["MATCH", "*", "IN", "../x", "WITH", "PRODUCTS", "FROM", "x"], "found ../x"),
            (vec!["DISALLOW", "[!a]"], "a character class"),
            (vec!["REQUIRE", "./a"], "found ./a"),
            (vec![], "found"),
        ] {
            let refused = read(&words).unwrap_err();
            assert!(refused.contains(found), "{words:?}: {refused}");
        }
    }
}
