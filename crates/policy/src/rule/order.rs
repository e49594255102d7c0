//! How two values of one rule compare. The language is closed, so this is computed, and never tried out.

use std::any::Any;
use std::collections::BTreeSet;

use super::{NameUse, names_of, or_list};

/// The order of a rule's values: what one lets through that another does not. It stands beside the rule, and no rule
/// compiles without it.
pub trait Order: Sized {
    /// What meets this value and does not meet `other`, whatever the trust root; nothing where all that meets this one
    /// meets `other` too. One entry for each way in which something fails `other`.
    fn beyond(&self, other: &Self) -> Vec<Beyond>;

    /// What does not meet this value, in words that follow "newly admits" and "newly refuses".
    fn outside(&self) -> String;
}

/// One way in which something meets one value, and fails another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// The part of the other value that it fails; empty where that has no parts.
    pub way: String,
    /// What it is, in words that follow "newly admits" and "newly refuses".
    pub words: String,
}

impl Beyond {
    /// The only way there is.
    #[must_use]
    pub fn only(words: String) -> Self {
        Self { way: String::new(), words }
    }

    /// One of several ways.
    #[must_use]
    pub fn by(way: &str, words: String) -> Self {
        Self { way: way.to_owned(), words }
    }
}

/// [`Order`] where the type of the value is not known. Made for every rule that has one.
pub trait Compared {
    /// See [`Order::beyond`]. Values of different rules have nothing in common.
    fn beyond(&self, other: &dyn super::Check) -> Vec<Beyond>;

    /// See [`Order::outside`].
    fn outside(&self) -> String;

    /// The value, to be recognised.
    fn as_any(&self) -> &dyn Any;
}

impl<T: Order + Any> Compared for T {
    fn beyond(&self, other: &dyn super::Check) -> Vec<Beyond> {
        match other.as_any().downcast_ref::<T>() {
            Some(other) => Order::beyond(self, other),
            None => vec![Beyond::only(other.outside())],
        }
    }

    fn outside(&self) -> String {
        Order::outside(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Whose word counts: the names of `by`, or, where that is omitted, everybody who holds the role.
pub(crate) struct Whom<'a>(Option<BTreeSet<&'a str>>);

impl<'a> Whom<'a> {
    pub(crate) fn of(by: &'a [NameUse]) -> Self {
        Self((!by.is_empty()).then(|| names_of(by).into_iter().collect()))
    }

    /// Whose word counts here and not there, in words.
    pub(crate) fn beyond(&self, other: &Self) -> Option<String> {
        match (&self.0, &other.0) {
            (_, None) => None,
            (None, Some(there)) => Some(format!("somebody else than {}", or_list(&sorted(there)))),
            (Some(here), Some(there)) => {
                let more: Vec<&str> = here.difference(there).copied().collect();
                (!more.is_empty()).then(|| or_list(&more))
            }
        }
    }

    /// How many count here and not there; nothing where there is no bound.
    pub(crate) fn count_beyond(&self, other: &Self) -> Option<u64> {
        match (&self.0, &other.0) {
            (_, None) => Some(0),
            (None, Some(_)) => None,
            (Some(here), Some(there)) => u64::try_from(here.difference(there).count()).ok(),
        }
    }

    /// How many count here and there; nothing where there is no bound.
    pub(crate) fn count_common(&self, other: &Self) -> Option<u64> {
        match (&self.0, &other.0) {
            (None, None) => None,
            (None, Some(some)) | (Some(some), None) => u64::try_from(some.len()).ok(),
            (Some(here), Some(there)) => u64::try_from(here.intersection(there).count()).ok(),
        }
    }

    /// Whether somebody counts here, and somebody else there: two claims of one signer are ambiguous.
    pub(crate) fn has_two(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(here), Some(there)) => here.len() > 1 || here != there,
            _ => true,
        }
    }
}

fn sorted<'a>(names: &BTreeSet<&'a str>) -> Vec<&'a str> {
    names.iter().copied().collect()
}

/// The names here that are not there, in words.
pub(crate) fn names_beyond(here: &[NameUse], there: &[NameUse]) -> Option<String> {
    let more: Vec<&str> = names_of(here).into_iter().filter(|n| !names_of(there).contains(n)).collect();
    (!more.is_empty()).then(|| or_list(&more))
}
