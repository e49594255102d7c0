//! What is wrong with a deployment: wanted, found, where, and how to mend it.

use attest::{Json, Object, Place};

/// One thing that is wrong. Made by rules; never printed by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule, by its name.
    pub rule: &'static str,
    /// What is wrong, in one line.
    pub message: String,
    /// What the policy wants.
    pub wanted: String,
    /// What the evidence says.
    pub found: String,
    /// Where the policy says so.
    pub place: Option<Place>,
    /// Which evidence it was found in.
    pub evidence: Option<String>,
    /// At least one way to mend it, the most likely first.
    fixes: Vec<String>,
    /// Whether what runs already loses its standing by it.
    ends_standing: bool,
}

impl Finding {
    /// A finding with its first fix: there is none without one.
    #[must_use]
    pub fn new(rule: &'static str, message: &str, fix: &str) -> Self {
        Self {
            rule,
            message: one_line(message),
            wanted: String::new(),
            found: String::new(),
            place: None,
            evidence: None,
            fixes: vec![one_line(fix)],
            ends_standing: false,
        }
    }

    /// What the policy wants, and where it says so.
    #[must_use]
    pub fn wanted(mut self, wanted: &str, place: &Place) -> Self {
        self.wanted = one_line(wanted);
        self.place = Some(place.clone());
        self
    }

    /// What is wanted where no policy says so.
    #[must_use]
    pub fn wanted_always(mut self, wanted: &str) -> Self {
        self.wanted = one_line(wanted);
        self
    }

    /// What was found.
    #[must_use]
    pub fn found(mut self, found: &str) -> Self {
        self.found = one_line(found);
        self
    }

    /// Which evidence it was found in.
    #[must_use]
    pub fn within(mut self, evidence: &str) -> Self {
        self.evidence = Some(one_line(evidence));
        self
    }

    /// The same finding, said of a requirement that is not in force yet.
    #[must_use]
    pub(crate) fn upcoming(mut self, day: &str) -> Self {
        self.message = format!("from {day} on: {}", self.message);
        self
    }

    /// Another way to mend it.
    #[must_use]
    pub fn or(mut self, fix: &str) -> Self {
        self.fixes.push(one_line(fix));
        self
    }

    /// The same finding, where it is about a revocation, a recall, or evidence that is malformed or false: then what
    /// runs already has no standing against it.
    #[must_use]
    pub(crate) fn ending_standing(mut self) -> Self {
        self.ends_standing = true;
        self
    }

    /// Whether it also counts against what runs already.
    #[must_use]
    pub fn ends_standing(&self) -> bool {
        self.ends_standing
    }

    /// The ways to mend it; never empty.
    #[must_use]
    pub fn fixes(&self) -> &[String] {
        &self.fixes
    }

    /// The stable JSON form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut object = Object::new()
            .with("rule", self.rule)
            .with("message", self.message.as_str())
            .with("wanted", self.wanted.as_str())
            .with("found", self.found.as_str());
        object.set("place", self.place.as_ref().map_or(Json::Null, place_json));
        object.set("evidence", self.evidence.as_deref().map_or(Json::Null, Json::from));
        object.with("fixes", self.fixes.clone()).into()
    }
}

/// The JSON form of a place.
#[must_use]
pub fn place_json(place: &Place) -> Json {
    let number = |n: usize| Json::Int(i64::try_from(n).unwrap_or(i64::MAX));
    Object::new()
        .with("file", &*place.file)
        .with("line", number(place.line))
        .with("column", number(place.column))
        .into()
}

/// Text from evidence may hold anything: control characters (which could forge a line, or drive a terminal) become
/// visible, and the length is bounded.
#[must_use]
pub fn one_line(text: &str) -> String {
    const MAX: usize = 400;
    let mut out: String = text
        .chars()
        .take(MAX)
        .map(|c| if c.is_control() || is_invisible(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MAX).is_some() {
        out.push('…');
    }
    out
}

/// Characters that change how their neighbours are shown: bidirectional controls and zero-width ones.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}
