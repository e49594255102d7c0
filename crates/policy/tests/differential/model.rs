//! The abstract cases on which the engine and the reference evaluator must agree. Plain data: no signatures, no
//! YAML. The harness turns a model into a real trust root, book and signed envelopes for the engine; the reference
//! evaluator reads the model itself.

use std::collections::{BTreeMap, BTreeSet};

/// Seconds since 1970.
pub type Time = i64;

/// MAJOR.MINOR.PATCH
pub type Version = (u64, u64, u64);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Copy)]
pub enum Role {
    Builder,
    ReviewAuthority,
    Reviewer,
    Tester,
    Scanner,
    Releaser,
    Rebuilder,
    Verifier,
    Signer,
}

#[derive(Clone, Debug)]
pub struct Principal {
    pub name: String,
    pub roles: BTreeSet<Role>,
    pub operator: Option<String>,
    /// The key's window; both ends inclusive.
    pub from: Option<Time>,
    pub until: Option<Time>,
    /// Revoked from this time on.
    pub revoked: Option<Time>,
    /// For builders and verifiers.
    pub ids: Vec<String>,
    pub hermetic: Vec<String>, // ranges of versions, always of the form ">=MAJOR.MINOR.PATCH"
    pub environments: Vec<String>, // patterns; empty means all
    pub recalled_versions: Vec<String>, // exact versions "1.2.3" (a recall naming only the version)
}

#[derive(Clone, Debug)]
pub struct Root {
    pub principals: Vec<Principal>,
    /// identity (lower case) -> person's name. A person is also a principal of that name.
    pub people: BTreeMap<String, String>,
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// names of logs and of witnesses
    pub logs: BTreeSet<String>,
    pub witnesses: BTreeSet<String>,
}

/// What `require` (or an entry of `upcoming`) says. `None` or empty: the rule is omitted.
#[derive(Clone, Debug, Default)]
pub struct Require {
    pub signed_by: Vec<String>,
    /// How many of `signed_by`, where a quorum is asked for.
    pub quorum: Option<u64>,
    pub built_by: Vec<String>,
    pub repository: Option<String>,
    pub branch: Option<String>,
    pub tag: Option<String>,
    pub source_level: Option<u64>,
    /// beside the level, and nothing without it
    pub source_properties: Vec<String>,
    /// approvals and `by`
    pub reviewed: Option<(u64, Vec<String>)>,
    pub target: Option<String>,
    /// the file, and whether a trigger is asked for, which no provenance of the model says
    pub workflow: Option<(Option<String>, bool)>,
    pub parameters: Option<BTreeMap<String, String>>,
    pub command: Option<Vec<String>>,
    pub hermetic: bool,
    /// uri and digest (a digest is any text here; equal texts are equal digests)
    pub tools: Vec<(String, String)>,
    pub dependencies: Option<Dependencies>,
    /// names and `by`
    pub tests: Option<(Vec<String>, Vec<String>)>,
    pub released_for: Option<(String, Vec<String>)>,
    pub built_within: Option<i64>,        // seconds
    pub version: Option<(u64, u64, u64)>, // ">=a.b.c"
    /// name (with type), version
    pub package: Option<(String, Option<Version>)>,
    /// within (seconds), worst (0 none .. 4 critical), by
    pub scanned: Option<(i64, u8, Vec<String>, Option<i64>)>,
    /// at-least and by
    pub rebuilt: Option<(u64, Vec<String>)>,
    pub requested_by: Vec<String>,
    /// ">=MAJOR.MINOR.0"
    pub format: Option<(u64, u64)>,
    /// log and number of witnesses
    pub logged: Option<(String, u64)>,
    pub verified_by: Option<VerifiedBy>,
}

/// Something of it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Dependencies {
    pub denied: Vec<String>,
    pub pinned: bool,
    pub licences: Option<Licences>,
    /// By whom; empty: not asked for.
    pub reviewed: Vec<String>,
}

impl Dependencies {
    pub fn asks(&self) -> bool {
        !self.denied.is_empty() || self.pinned || self.licences.is_some() || !self.reviewed.is_empty()
    }
}

#[derive(Clone, Debug)]
pub struct Licences {
    pub listed: Vec<String>,
    /// Whether the listed ones are allowed; else they are denied.
    pub are_allowed: bool,
    pub by: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct VerifiedBy {
    pub verifiers: Vec<String>,
    pub within: i64, // seconds
    pub about: Asked,
    pub policy: Option<String>,
    pub digest: Option<String>, // any text; equal texts are equal digests
    pub levels: Vec<String>,
}

/// For which resource a summary must be.
#[derive(Clone, Debug)]
pub enum Asked {
    TheArtifact,
    Environment(String), // without characters that a URI would escape
    Resource(String),
}

#[derive(Clone, Debug)]
pub struct Summary {
    pub verifier: String,
    pub resource: String,
    pub environment: Option<String>,
    pub policy: String,
    pub digest: Option<String>,
    pub passed: bool,
    pub levels: Vec<String>,
    /// What its subject says in `sourceRefs`; empty: nothing.
    pub refs: Vec<String>,
    pub verified: Option<Time>,
    pub expires: Option<Time>,
}

#[derive(Clone, Debug)]
pub struct Policy {
    pub environment: String, // pattern
    pub artifact: String,    // pattern
    pub require: Require,
    /// from 00:00 UTC of a date, in seconds, and what is then required too
    pub upcoming: Vec<(Time, Require)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub id: String,
    pub parents: Vec<String>,
    pub people: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Provenance {
    pub format: (u64, u64),
    pub builder_id: String,
    pub builder_version: Option<String>, // "1.2.3"
    pub repository: Option<String>,
    pub reference: Option<String>, // "refs/heads/main"
    pub commit: Option<String>,    // its text is its digest
    pub history: Vec<Commit>,
    pub target: Option<String>,
    pub parameters: BTreeMap<String, String>,
    /// uri, digest (None: not pinned), whether it is a tool
    pub dependencies: Vec<(String, Option<String>, bool)>,
    pub command: Option<Vec<String>>,
    pub hermetic: bool,
    pub finished: Option<Time>,
}

#[derive(Clone, Debug)]
pub enum Says {
    Provenance(Provenance),
    /// names, 0 PASSED 1 WARNED 2 FAILED
    Test(Vec<String>, u8),
    /// finished, database updated, severities of what was found (0..=4)
    Scan(Time, Option<Time>, Vec<u8>),
    /// version in the package URL, environments
    Release(Option<(u64, u64, u64)>, Vec<String>),
    /// repository, base, authors, reviewers
    Review {
        repository: String,
        base: Option<String>,
        authors: Vec<String>,
        reviewers: Vec<String>,
    },
    Summary(Summary),
    /// A list of parts.
    Parts(Vec<Part>),
    /// A review of the package that it is about, and its criteria.
    Import(Vec<String>),
    /// a signature and nothing more
    Nothing,
}

#[derive(Clone, Debug)]
pub struct Part {
    pub name: String,
    /// Any text; equal texts are equal digests.
    pub digest: Option<String>,
    /// SPDX expressions, or what is none.
    pub licences: Vec<String>,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    TheArtifact,
    AnotherArtifact,
    Commit(String),
    /// By its digest; only a review of imports.
    Package(String),
}

#[derive(Clone, Debug)]
pub struct Envelope {
    /// Names of principals of the root, or "stranger" for a key that nobody knows. At least one; none twice.
    pub signers: Vec<String>,
    pub about: About,
    pub says: Says,
    /// A proof carried inline that the first signature is in a log of the root: the log, and which witnesses cosigned at which time.
    pub logged: Option<(String, Vec<(String, Time)>)>,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub at: Time,
    pub environment: String,
    pub artifact: String,
    pub requester: Option<String>,
    pub envelopes: Vec<Envelope>,
    /// Whether something in the request itself cannot be read.
    pub unreadable: bool,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub root: Root,
    pub policies: Vec<Policy>,
    pub case: Case,
}

/// What an evaluator answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Met {
        warned: BTreeSet<&'static str>,
    },
    /// The names of the rules with a finding, and of those with a warning (upcoming rules not yet in force).
    Unmet {
        refused: BTreeSet<&'static str>,
        warned: BTreeSet<&'static str>,
    },
    CannotDecide,
}
