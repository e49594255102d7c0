//! What of a request cannot be read the one way, and what an annotation names that is nowhere.

use std::fmt;

use policy::Unreadable;

/// What is wrong with the request itself: wanted, found, where, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A word for the kind of refusal, in kebab-case: stable.
    pub code: &'static str,
    /// What is wrong, in one line.
    pub message: String,
    /// Where in the object, as in `spec.containers[0].image`.
    pub place: String,
    /// What would have been right.
    pub wanted: String,
    /// What stands there.
    pub found: String,
    /// How to mend it.
    pub fix: String,
}

impl Refusal {
    /// A refusal; texts that came from a requester are made one visible line here.
    #[must_use]
    pub fn new(code: &'static str, place: &str, message: &str, fix: &str) -> Self {
        let line = policy::one_line;
        Self {
            code,
            message: line(message),
            place: line(place),
            wanted: String::new(),
            found: String::new(),
            fix: line(fix),
        }
    }

    /// Says what would have been right.
    #[must_use]
    pub fn wanted(mut self, wanted: &str) -> Self {
        self.wanted = policy::one_line(wanted);
        self
    }

    /// Says what stands there.
    #[must_use]
    pub fn found(mut self, found: &str) -> Self {
        self.found = policy::one_line(found);
        self
    }

    /// As the engine is told, which refuses it and puts it on record.
    #[must_use]
    pub fn unreadable(&self) -> Unreadable {
        Unreadable {
            what: self.message.clone(),
            place: self.place.clone(),
            wanted: self.wanted.clone(),
            found: self.found.clone(),
            fix: self.fix.clone(),
        }
    }
}

impl fmt::Display for Refusal {
    /// The form of a diagnostic in plain text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[{}]: {}", self.code, self.message)?;
        for (label, text) in
            [("place", &self.place), ("wanted", &self.wanted), ("found", &self.found), ("fix", &self.fix)]
        {
            if !text.is_empty() {
                writeln!(f, "  {label:<9} {text}")?;
            }
        }
        Ok(())
    }
}
