//! Whose approval counts: each person's last word, and only about the last revision.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use crate::error::ExportError;

/// An approval that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voided {
    /// Whose.
    pub who: String,
    /// Why.
    pub why: String,
}

impl fmt::Display for Voided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.who, self.why)
    }
}

/// What somebody said last.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// The last revision is approved.
    Approved,
    /// Nothing that approves; the field says what.
    Not(String),
}

/// What was said, by whom and when.
#[derive(Debug, Default)]
pub(crate) struct Votes {
    words: BTreeMap<String, (Timestamp, Word)>,
    voided: Vec<Voided>,
}

/// The people whose approval counts, and the others.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) reviewers: BTreeSet<String>,
    pub(crate) voided: Vec<Voided>,
    pub(crate) reviewed: Timestamp,
}

impl Votes {
    /// Somebody said something. What is said later replaces it; at the same time, what stands later in the list does.
    pub(crate) fn say(&mut self, who: &str, at: Timestamp, word: Word) {
        match self.words.get(who) {
            Some((earlier, _)) if *earlier > at => {}
            _ => drop(self.words.insert(who.to_owned(), (at, word))),
        }
    }

    /// Somebody whose word never counts approved.
    pub(crate) fn void(&mut self, who: &str, why: &str) {
        self.voided.push(Voided { who: who.to_owned(), why: why.to_owned() });
    }

    pub(crate) fn count(self) -> Result<Counted, ExportError> {
        let (mut reviewers, mut voided, mut last) = (BTreeSet::new(), self.voided, None);
        for (who, (at, word)) in self.words {
            match word {
                Word::Approved => {
                    last = last.max(Some(at));
                    reviewers.insert(who);
                }
                Word::Not(why) => voided.push(Voided { who, why }),
            }
        }
        match last {
            Some(reviewed) => Ok(Counted { reviewers, voided, reviewed }),
            None => Err(ExportError::NotApproved(voided)),
        }
    }
}
