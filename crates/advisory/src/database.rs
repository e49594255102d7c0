//! Many advisories, found by the package they speak of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use attest::claims::Severity;

use crate::component::Component;
use crate::ecosystem::Ecosystem;
use crate::osv::{Affected, Package, Record, Unread};
use crate::range::{self, Verdict};

/// More records are more than every public database together holds.
const MAX_RECORDS: usize = 4_000_000;
/// What is kept of all records, in bytes of text.
const MAX_BYTES: usize = 4 << 30;

/// Advisories by ecosystem and package.
#[derive(Debug, Default)]
pub struct Database {
    heads: Vec<Head>,
    packages: BTreeMap<Key, Vec<Entry>>,
    unread: Vec<String>,
    bytes: usize,
}

/// A family and a name in the family's one spelling.
type Key = (String, String);

/// What all packages of a record share.
#[derive(Debug)]
struct Head {
    id: String,
    aliases: Vec<String>,
    summary: Option<String>,
}

#[derive(Debug)]
struct Entry {
    head: usize,
    ecosystem: Ecosystem,
    said: Said,
}

#[derive(Debug)]
enum Said {
    Affected(Box<Affected>),
    /// The record cannot be read; why.
    Unread(String),
}

/// There is more than fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {MAX_RECORDS} advisories, or more than {MAX_BYTES} bytes of them")
    }
}

impl std::error::Error for TooLarge {}

/// An advisory that speaks of a component's package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The advisory.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// One line about it.
    pub summary: Option<String>,
    /// How bad; nothing where nobody says.
    pub severity: Option<Severity>,
    /// Whether the version is affected, or nobody can tell.
    pub certainty: Certainty,
    /// The range that holds the version.
    pub range: Option<String>,
    /// The first version after it that is not affected.
    pub fixed: Option<String>,
    /// Why it matches, or why nobody can tell.
    pub why: String,
}

/// Whether a version is affected. There is no third: what is not affected is no match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// Nobody can tell, so it is not "not affected".
    Unknown,
    /// It is.
    Affected,
}

impl Match {
    /// How bad it is taken to be: what nobody has rated is no comfort.
    #[must_use]
    pub fn weight(&self) -> Severity {
        self.severity.unwrap_or(Severity::Critical)
    }

    /// All names of the advisory.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

impl Database {
    /// Takes in records, and those that could not be read.
    ///
    /// # Errors
    /// [`TooLarge`] where there are more than fit.
    pub fn load(records: impl IntoIterator<Item = Result<Record, Box<Unread>>>) -> Result<Self, TooLarge> {
        let mut database = Self::default();
        for record in records {
            match record {
                Ok(record) => database.add(record),
                Err(unread) => database.add_unread(*unread),
            }
            if database.heads.len() > MAX_RECORDS || database.bytes > MAX_BYTES {
                return Err(TooLarge);
            }
        }
        Ok(database)
    }

    fn add(&mut self, record: Record) {
        // withdrawn: its authors hold it to be wrong
        if record.withdrawn.is_some() {
            return;
        }
        let head = self.heads.len();
        self.bytes = self.bytes.saturating_add(record.id.len() + 64);
        self.heads.push(Head { id: record.id, aliases: record.aliases, summary: record.summary });
        for affected in record.affected {
            let key = key(&affected.package);
            let ecosystem = affected.package.ecosystem.clone();
            self.bytes = self.bytes.saturating_add(range::size(&affected));
            let entry = Entry { head, ecosystem, said: Said::Affected(Box::new(affected)) };
            self.packages.entry(key).or_default().push(entry);
        }
    }

    fn add_unread(&mut self, unread: Unread) {
        let why = format!("the advisory cannot be read: {}", unread.why);
        if unread.packages.is_empty() {
            self.unread.push(unread.to_string());
            return;
        }
        let head = self.heads.len();
        let id = unread.id.unwrap_or_else(|| "an advisory without an id".to_owned());
        self.heads.push(Head { id, aliases: Vec::new(), summary: None });
        let packages: BTreeSet<Package> = unread.packages.into_iter().collect();
        for package in packages {
            let entry = Entry { head, ecosystem: package.ecosystem.clone(), said: Said::Unread(why.clone()) };
            self.packages.entry(key(&package)).or_default().push(entry);
        }
    }

    /// How many advisories there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// What could not be read, and names no package: nobody knows whom it speaks of.
    #[must_use]
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// The advisories that affect a component, or of which nobody can tell; in the order in which they were loaded.
    #[must_use]
    pub fn affecting(&self, component: &Component) -> Vec<Match> {
        let Some(ecosystem) = &component.ecosystem else { return Vec::new() };
        let mut found: BTreeMap<usize, Match> = BTreeMap::new();
        for (name, version) in component.lookups() {
            let key = (ecosystem.family.clone(), ecosystem.normal_name(name));
            let entries = self.packages.get(&key).map(Vec::as_slice).unwrap_or_default();
            for entry in entries.iter().filter(|entry| entry.ecosystem.covers(ecosystem)) {
                let Some(next) = self.judge(entry, ecosystem, version) else { continue };
                match found.get(&entry.head) {
                    Some(kept) if kept.certainty >= next.certainty => {}
                    _ => drop(found.insert(entry.head, next)),
                }
            }
        }
        found.into_values().collect()
    }

    fn judge(&self, entry: &Entry, ecosystem: &Ecosystem, version: Option<&str>) -> Option<Match> {
        let head = self.heads.get(entry.head)?;
        let unknown = |why: &str| Match {
            id: head.id.clone(),
            aliases: head.aliases.clone(),
            summary: head.summary.clone(),
            severity: None,
            certainty: Certainty::Unknown,
            range: None,
            fixed: None,
            why: why.to_owned(),
        };
        let affected = match &entry.said {
            Said::Affected(affected) => affected,
            Said::Unread(why) => return Some(unknown(why)),
        };
        let version = version.map(|v| ecosystem.normal_version(v));
        match range::judge(affected, version) {
            Verdict::Not => None,
            Verdict::Unknown(why) => Some(Match { severity: affected.severity, ..unknown(&why) }),
            Verdict::Affected { range, fixed, why } => Some(Match {
                severity: affected.severity,
                certainty: Certainty::Affected,
                range,
                fixed,
                ..unknown(&why)
            }),
        }
    }
}

fn key(package: &Package) -> Key {
    (package.ecosystem.family.clone(), package.ecosystem.normal_name(&package.name))
}

/// The packages that somebody asks for: what speaks of no other need not be loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted(BTreeSet<Key>);

impl Wanted {
    /// The packages of these components.
    #[must_use]
    pub fn of<'a>(components: impl IntoIterator<Item = &'a Component>) -> Self {
        let mut keys = BTreeSet::new();
        for component in components {
            let Some(ecosystem) = &component.ecosystem else { continue };
            for (name, _) in component.lookups() {
                keys.insert((ecosystem.family.clone(), ecosystem.normal_name(name)));
            }
        }
        Self(keys)
    }

    /// Whether a record speaks of any of them.
    #[must_use]
    pub fn holds(&self, record: &Record) -> bool {
        record.affected.iter().any(|affected| self.0.contains(&key(&affected.package)))
    }
}
