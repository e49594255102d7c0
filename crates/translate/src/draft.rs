//! A translation: policies, a fragment of a trust root, and all that neither of them says.

use std::fmt;

use attest::{PublicKey, Scheme};
use jiff::Timestamp;

/// What it means that something could not be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// A condition is gone: the draft lets in what was refused.
    Looser,
    /// A way in is gone: the draft refuses what was let in.
    Stricter,
    /// Nothing is let in or refused because of it, and somebody has to do something.
    Todo,
}

impl Effect {
    /// The word in the draft's comments.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Looser => "looser",
            Self::Stricter => "stricter",
            Self::Todo => "to do",
        }
    }
}

/// One thing that the draft does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untranslated {
    /// Where it stands in the original.
    pub place: String,
    /// What stands there.
    pub what: String,
    /// Why it could not be translated, or what to do.
    pub why: String,
    /// What that means.
    pub effect: Effect,
}

/// A translation, for a person to finish and review.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Policies: a file name below the book, and its text with comments.
    pub policies: Vec<(String, String)>,
    /// The fragment of a trust root; empty where it has nothing to say.
    pub trust_root: String,
    /// What neither says.
    pub untranslated: Vec<Untranslated>,
}

impl fmt::Display for Untranslated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}: {}", self.effect.name(), self.place, self.what, self.why)
    }
}

impl Draft {
    pub(crate) fn note(&mut self, effect: Effect, place: &str, what: &str, why: &str) {
        let (place, what, why) = (one_line(place), one_line(what), one_line(why));
        self.untranslated.push(Untranslated { place, what, why, effect });
    }
}

/// Comment lines, one each: whatever stood in the original cannot leave its line and become policy.
pub(crate) fn comments(untranslated: &[Untranslated]) -> String {
    untranslated.iter().map(|u| format!("#   {u}\n")).collect()
}

/// A text as a quoted YAML scalar on one line: it can end neither its quotes nor its line.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A list of quoted scalars in brackets.
pub(crate) fn quoted_list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<String> = items.into_iter().map(quoted).collect();
    format!("[{}]", items.join(", "))
}

/// Without line ends and other characters that move the cursor or hide what follows.
pub(crate) fn one_line(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if hides(c) { ' ' } else { c }).collect()
}

/// An entry of a name's `keys`, below four spaces.
pub(crate) fn key_entry(key: &PublicKey, until: Option<Timestamp>) -> String {
    let pem: String = key.to_pem().lines().map(|line| format!("          {line}\n")).collect();
    // the scheme that a key of this kind has without a word
    let scheme = match key.scheme() {
        Scheme::RsaPkcs1 => format!("        scheme: {}\n", key.scheme().name()),
        _ => String::new(),
    };
    let until = until.map(|until| format!("        until: {until}\n")).unwrap_or_default();
    format!("      - key: |\n{pem}{scheme}{until}")
}
