//! Two builds compared part by part: what changed and what did not, in the chapter's words.
//!
//! Pure. `apart` takes every record apart by name and without `..`: a field that is added to one of them does not
//! compile until somebody has said there which part of a comparison it is.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Commit, Provenance};
use crate::digest::{Algorithm, Digest, DigestSet};
use crate::json::Json;

mod apart;

use apart::parts;

/// One part of a build, in the order in which people read them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Where the source came from.
    Repository,
    /// The ref that was asked for.
    Reference,
    /// The branch that a tag was pushed from.
    TaggedBranch,
    /// The version of the source.
    Version(Algorithm),
    /// When the commit was made.
    Committed,
    /// The commit's time, as the build saw it in its environment.
    SourceDate,
    /// The latest commits.
    History,
    /// What was built.
    Target,
    /// A parameter, by its name.
    Parameter(String),
    /// The command.
    Command,
    /// A variable of the environment, by its name.
    Environment(String),
    /// A tool, by its name, or by its URI.
    Tool(String),
    /// Another input, by its name, or by its URI.
    Input(String),
    /// What kind of build it was.
    BuildType,
    /// The builder.
    Builder,
    /// The builder's version.
    BuilderVersion,
    /// The claim that every input was declared.
    Hermetic,
    /// What held of the sandbox.
    Isolation,
    /// The earlier build whose outputs were taken.
    CachedFrom,
    /// Until when the source is kept.
    KeptUntil,
    /// What began the run.
    Trigger,
    /// On what it ran.
    Runner,
    /// The format of the provenance.
    Format,
    /// Which run it was.
    Invocation,
    /// When the build began.
    Started,
    /// When the build ended.
    Finished,
}

/// What a change of a part means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearing {
    /// Another version of the same source: what a fix changes, and may.
    Source,
    /// Another run of a build.
    Run,
    /// Anything else: the two builds are not alike.
    Build,
}

/// What one build says of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// A point in time.
    Time(Timestamp),
    /// A list of words.
    Words(Vec<String>),
    /// A digest.
    Digest(Digest),
    /// The versions of everything of one name, in order.
    Digests(Vec<DigestSet>),
    /// Commits.
    Commits(Vec<Commit>),
    /// What a requester wrote.
    Json(Json),
}

/// One part of both builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which part.
    pub part: Part,
    /// What the first says of it.
    pub before: Option<Value>,
    /// What the second says of it.
    pub after: Option<Value>,
}

/// Two builds, part by part. A part of which neither says anything has no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    rows: Vec<Row>,
}

/// Compares two builds.
#[must_use]
pub fn compare(before: &Provenance, after: &Provenance) -> Difference {
    let (mut before, mut after) = (parts(before), parts(after));
    let all: BTreeSet<Part> = before.keys().chain(after.keys()).cloned().collect();
    let row = |part: Part| {
        let (before, after) = (before.remove(&part), after.remove(&part));
        Row { part, before, after }
    };
    Difference { rows: all.into_iter().map(row).collect() }
}

impl Difference {
    /// Every part.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The parts that changed and bear on this.
    pub fn changed(&self, bearing: Bearing) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| !row.is_same() && row.bearing() == bearing)
    }

    /// Whether nothing changed but the version of the source and the run.
    #[must_use]
    pub fn is_only_source(&self) -> bool {
        self.changed(Bearing::Build).next().is_none()
    }
}

impl Row {
    /// Whether both say the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.before == self.after
    }

    /// What a change here means. A version that only one of the two names cannot be compared, and counts as more than
    /// another version.
    #[must_use]
    pub fn bearing(&self) -> Bearing {
        let is_one_sided = self.before.is_none() || self.after.is_none();
        match self.part {
            Part::Reference | Part::Version(_) if is_one_sided => Bearing::Build,
            Part::Reference
            | Part::TaggedBranch
            | Part::Version(_)
            | Part::Committed
            | Part::SourceDate
            | Part::History => Bearing::Source,
            Part::CachedFrom
            | Part::KeptUntil
            | Part::Trigger
            | Part::Invocation
            | Part::Started
            | Part::Finished => Bearing::Run,
            Part::Repository
            | Part::Target
            | Part::Parameter(_)
            | Part::Command
            | Part::Environment(_)
            | Part::Tool(_)
            | Part::Input(_)
            | Part::BuildType
            | Part::Builder
            | Part::BuilderVersion
            | Part::Hermetic
            | Part::Isolation
            | Part::Runner
            | Part::Format => Bearing::Build,
        }
    }
}

impl Part {
    /// What people call it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Repository => "source repository",
            Self::Reference => "source ref",
            Self::TaggedBranch => "tagged branch",
            Self::Version(Algorithm::GitCommit) => "commit",
            Self::Version(Algorithm::GitTree) => "tree",
            Self::Version(_) => "source digest",
            Self::Committed => "committed",
            Self::SourceDate => "source date",
            Self::History => "history",
            Self::Target => "target",
            Self::Parameter(_) => "parameter",
            Self::Command => "command",
            Self::Environment(_) => "environment",
            Self::Tool(_) => "tool",
            Self::Input(_) => "input",
            Self::BuildType => "build type",
            Self::Builder => "builder",
            Self::BuilderVersion => "builder version",
            Self::Hermetic => "hermetic",
            Self::Isolation => "sandbox",
            Self::CachedFrom => "cached from",
            Self::KeptUntil => "kept until",
            Self::Trigger => "trigger",
            Self::Runner => "runner",
            Self::Format => "format",
            Self::Invocation => "invocation",
            Self::Started => "started",
            Self::Finished => "finished",
        }
    }

    /// Which one of its kind, where there may be several.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Parameter(name) | Self::Environment(name) | Self::Tool(name) | Self::Input(name) => {
                Some(name)
            }
            Self::Version(Algorithm::GitCommit | Algorithm::GitTree) => None,
            Self::Version(algorithm) => Some(algorithm.name()),
            _ => None,
        }
    }
}

impl Value {
    /// All of it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => Json::from(text.as_str()),
            Self::Flag(flag) => Json::from(*flag),
            Self::Time(time) => Json::from(time.to_string()),
            Self::Words(words) => Json::from(words.clone()),
            Self::Digest(digest) => Json::from(digest.to_string()),
            Self::Digests(sets) => Json::Array(sets.iter().map(DigestSet::to_json).collect()),
            Self::Commits(commits) => Json::Array(commits.iter().map(Commit::to_json).collect()),
            Self::Json(json) => json.clone(),
        }
    }

    /// What fits into a line.
    #[must_use]
    pub fn short(&self) -> String {
        let short = |set: &DigestSet| set.first().map_or("no digest".to_owned(), |d| d.short());
        match self {
            Self::Text(text) => text.clone(),
            Self::Flag(flag) => (if *flag { "yes" } else { "no" }).to_owned(),
            Self::Time(time) => time.to_string(),
            Self::Words(words) => words.join(" "),
            Self::Digest(digest) => abbreviated(digest),
            Self::Digests(sets) => sets.iter().map(short).collect::<Vec<_>>().join(", "),
            Self::Commits(commits) => {
                let latest = commits.first().map_or("", |c| c.id.get(..8).unwrap_or(&c.id));
                let word = if commits.len() == 1 { "commit" } else { "commits" };
                format!("{} {word} up to {latest}", commits.len())
            }
            Self::Json(Json::String(text)) => text.clone(),
            Self::Json(json) => json.to_string(),
        }
    }
}

/// A git object goes by its first digits, as people know it; anything else by both ends.
fn abbreviated(digest: &Digest) -> String {
    match digest.algorithm() {
        Algorithm::GitCommit | Algorithm::GitTree => {
            format!("{}…", digest.hex().get(..8).unwrap_or_default())
        }
        Algorithm::Sha256 | Algorithm::Sha384 | Algorithm::Sha512 => digest.short(),
    }
}

#[cfg(test)]
mod tests;
