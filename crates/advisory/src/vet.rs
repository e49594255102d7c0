//! cargo-vet: which crates somebody reviewed, as `supply-chain/` says, and which files of a `Cargo.lock` those are.
//!
//! Full audits count, chains of deltas from one count, and a violation vetoes. Exemptions, wildcard audits and trusted
//! publishers never count: nobody looked at those bytes.

mod read;

pub use read::locked;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use attest::Digest;
use semver::{Prerelease, Version, VersionReq};

/// The criterion that cargo-vet asks for where nobody asks for another.
pub const SAFE_TO_DEPLOY: &str = "safe-to-deploy";
const SAFE_TO_RUN: &str = "safe-to-run";

/// Why a file of cargo-vet, or a lock file, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VetError {
    /// The file.
    pub file: String,
    /// What is wrong, and where.
    pub why: String,
}

impl fmt::Display for VetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.why)
    }
}

impl std::error::Error for VetError {}

/// What is known of crates.
#[derive(Clone, Debug, Default)]
pub struct Audits {
    entries: BTreeMap<String, Vec<Entry>>,
    implies: BTreeMap<String, BTreeSet<String>>,
}

/// One entry about a crate, in our criteria.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    who: Vec<String>,
    criteria: BTreeSet<String>,
    said: Said,
    /// Whose it is, for messages.
    by: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Full(String),
    Delta(String, String),
    Violation(VersionReq),
}

/// Whether a version was reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By these people, the first audit of the chain first.
    Reviewed(Vec<String>),
    /// Somebody says that it must not be used.
    Violated(String),
    /// Nobody looked.
    Unreviewed,
}

/// A package of a `Cargo.lock` that came from somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its file, where it is of crates.io: of no other place do audits speak.
    pub digest: Option<Digest>,
}

impl Audits {
    /// Whether an audit, or a chain of audits, says of a version that it meets a criterion.
    #[must_use]
    pub fn answer(&self, name: &str, version: &str, criterion: &str) -> Answer {
        let entries = self.entries.get(name).map(Vec::as_slice).unwrap_or_default();
        let wanted = self.implied(criterion);
        let vetoes: Vec<(&VersionReq, &str)> = entries
            .iter()
            .filter_map(|e| match &e.said {
                // a violation of a criterion that is not known here is taken for one of any
                Said::Violation(of) if e.criteria.is_empty() || !e.criteria.is_disjoint(&wanted) => {
                    Some((of, e.by.as_str()))
                }
                _ => None,
            })
            .collect();
        if let Some((of, by)) = vetoes.iter().find(|(of, _)| is_within(version, of)) {
            return Answer::Violated(format!("{by} has a violation of {of}"));
        }
        // a way through a version that must not be used proves nothing
        let steps: Vec<(Option<&str>, &str, &Entry)> = entries
            .iter()
            .filter(|e| e.criteria.iter().any(|own| self.implied(own).contains(criterion)))
            .filter_map(|e| match &e.said {
                Said::Full(to) => Some((None, to.as_str(), e)),
                Said::Delta(from, to) => Some((Some(from.as_str()), to.as_str(), e)),
                Said::Violation(_) => None,
            })
            .filter(|(_, to, _)| !vetoes.iter().any(|(of, _)| is_within(to, of)))
            .collect();
        chain(&steps, version).map_or(Answer::Unreviewed, Answer::Reviewed)
    }

    /// Whether a criterion is known.
    #[must_use]
    pub fn knows(&self, criterion: &str) -> bool {
        [SAFE_TO_DEPLOY, SAFE_TO_RUN].contains(&criterion) || self.implies.contains_key(criterion)
    }

    /// A criterion, and all that it implies.
    #[must_use]
    pub fn implied(&self, criterion: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut open = vec![criterion.to_owned()];
        while let Some(one) = open.pop() {
            if one == SAFE_TO_DEPLOY {
                open.push(SAFE_TO_RUN.to_owned());
            }
            if all.insert(one.clone()) {
                open.extend(self.implies.get(&one).into_iter().flatten().cloned());
            }
        }
        all
    }
}

/// The shortest way from nothing to the version, and who went it.
fn chain(steps: &[(Option<&str>, &str, &Entry)], version: &str) -> Option<Vec<String>> {
    let mut reached: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::from([(None, Vec::new())]);
    let mut open = VecDeque::from([None]);
    while let Some(at) = open.pop_front() {
        let way = reached.get(&at).cloned().unwrap_or_default();
        for (_, to, entry) in steps.iter().filter(|(from, ..)| *from == at) {
            if reached.contains_key(&Some(*to)) {
                continue;
            }
            let mut way = way.clone();
            way.extend(entry.who.iter().filter(|who| !way.contains(who)).cloned().collect::<Vec<_>>());
            reached.insert(Some(*to), way);
            open.push_back(Some(*to));
        }
    }
    reached.remove(&Some(version))
}

/// Whether a violation speaks of a version: a version before its release is its release here, and what is no version is
/// in every violation.
fn is_within(version: &str, of: &VersionReq) -> bool {
    let Ok(version) = Version::parse(version) else { return true };
    of.matches(&version) || of.matches(&Version { pre: Prerelease::EMPTY, ..version })
}
