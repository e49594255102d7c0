//! Which of two versions is the later one, as each ecosystem says it itself.
//!
//! Every order is total over all texts: a text is read into a key, and keys have an order that the compiler derives, or
//! that compares them position by position. What is no version of its ecosystem comes before all that are, and
//! [`Order::reads`] says so: nothing is ever "not affected" on the ground of such a text.

mod apk;
mod dotted;
mod dpkg;
mod maven;
mod number;
mod packagist;
mod pypi;
mod rpm;
mod rubygems;
mod semver;

use std::cmp::Ordering;

/// A longer text is no version: keys are made anew for each comparison.
const MAX_BYTES: usize = 512;

/// How an ecosystem orders its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Semantic versions 2.0; a `v` in front and missing numbers are allowed.
    SemVer,
    /// Semantic versions whose builds are ordered (Dart's pub).
    Pub,
    /// Semantic versions with four numbers, whatever the case.
    NuGet,
    /// PEP 440.
    PyPi,
    /// Maven's ComparableVersion.
    Maven,
    /// Gem::Version.
    RubyGems,
    /// PHP's version_compare.
    Packagist,
    /// Debian's dpkg.
    Dpkg,
    /// Alpine's apk.
    Apk,
    /// rpmvercmp.
    Rpm,
    /// Haskell's Data.Version.
    Hackage,
    /// R's numeric_version.
    Cran,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::SemVer,
        Self::Pub,
        Self::NuGet,
        Self::PyPi,
        Self::Maven,
        Self::RubyGems,
        Self::Packagist,
        Self::Dpkg,
        Self::Apk,
        Self::Rpm,
        Self::Hackage,
        Self::Cran,
    ];

    /// The order of two versions. It is total, over whatever texts.
    #[must_use]
    pub fn compare(self, left: &str, right: &str) -> Ordering {
        match self {
            Self::SemVer => by(|t| semver::key(t, semver::SEMVER), left, right),
            Self::Pub => by(|t| semver::key(t, semver::PUB), left, right),
            Self::NuGet => by(|t| semver::key(t, semver::NUGET), left, right),
            Self::PyPi => by(|t| Some(pypi::key(t)), left, right),
            Self::Maven => by(|t| Some(maven::key(t)), left, right),
            Self::RubyGems => by(|t| Some(rubygems::key(t)), left, right),
            Self::Packagist => by(|t| Some(packagist::key(t)), left, right),
            Self::Dpkg => by(|t| Some(dpkg::key(t)), left, right),
            Self::Apk => by(|t| Some(apk::key(t)), left, right),
            Self::Rpm => by(|t| Some(rpm::key(t)), left, right),
            Self::Hackage => by(|t| dotted::hackage(t).map(|key| (key, true)), left, right),
            Self::Cran => by(|t| dotted::cran(t).map(|key| (key, true)), left, right),
        }
    }

    /// Whether the text is a version of this ecosystem, so that its order means something.
    #[must_use]
    pub fn reads(self, text: &str) -> bool {
        if text.len() > MAX_BYTES {
            return false;
        }
        match self {
            Self::SemVer => semver::key(text, semver::SEMVER).is_some_and(|(_, is_read)| is_read),
            Self::Pub => semver::key(text, semver::PUB).is_some_and(|(_, is_read)| is_read),
            Self::NuGet => semver::key(text, semver::NUGET).is_some_and(|(_, is_read)| is_read),
            Self::PyPi => pypi::key(text).1,
            Self::Maven => maven::key(text).1,
            Self::RubyGems => rubygems::key(text).1,
            Self::Packagist => packagist::key(text).1,
            Self::Dpkg => dpkg::key(text).1,
            Self::Apk => apk::key(text).1,
            Self::Rpm => rpm::key(text).1,
            Self::Hackage => dotted::hackage(text).is_some(),
            Self::Cran => dotted::cran(text).is_some(),
        }
    }
}

fn by<K: Ord>(key: impl Fn(&str) -> Option<(K, bool)>, left: &str, right: &str) -> Ordering {
    let bounded = |text: &str| if text.len() <= MAX_BYTES { key(text).map(|(key, _)| key) } else { None };
    match (bounded(left), bounded(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (None, None) => left.cmp(right),
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
    }
}
