//! What a record must hold to be signed: the list that the signer goes through, whoever asks.

use std::fmt;

use attest::Algorithm;
use attest::time::Span;
use jiff::Timestamp;

use super::protocol::Record;
use attest::provenance::{Isolation, Provenance};
use attest::redact::{has_secret, is_secret};

use crate::definition::is_assembly;
use crate::record::{BuildRecord, FailureRecord, MAX_REASON, TestRecord, one_line};
use crate::sandbox::canary::{LIMITS, REQUIRED};

/// Clocks of one machine agree within this.
const TOLERANCE: i64 = 60;

/// Why a record is not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// No invocation id, or not one.
    Invocation,
    /// The output's name cannot be a file's.
    Name,
    /// The output's digest is not SHA-256.
    Digest,
    /// The source is not a repository, a full ref and a commit.
    Source,
    /// No target.
    Target,
    /// No command.
    Command,
    /// A build that admits undeclared inputs.
    Hermetic,
    /// An input without a digest; its URI.
    Input(String),
    /// No times, or the end before the start.
    Times,
    /// It ended after the signer's own clock.
    Future(Timestamp),
    /// Something that looks like a secret, which the signature would publish; where it stands.
    Secret(String),
    /// A layer of the sandbox did not hold, or was not tried.
    Layer(&'static str),
    /// A reason that is no line.
    Reason,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invocation => f.write_str(
                "the record has no invocation id (wanted 8 to 128 letters, digits and -._:/ that name this one run)",
            ),
            Self::Name => f.write_str("the output's name is not one of a file"),
            Self::Digest => f.write_str("the digest is not SHA-256"),
            Self::Source => f.write_str("the source is not a repository, a full ref and a commit"),
            Self::Target => f.write_str("the record names no target"),
            Self::Command => f.write_str("the record has no command"),
            Self::Hermetic => f.write_str("the build does not claim that every input was declared"),
            Self::Input(uri) => write!(f, "the input {uri} has no digest"),
            Self::Times => f.write_str("the record does not say when the build began and, after that, ended"),
            Self::Future(ended) => write!(f, "the build ended at {ended}, which is in the future: check the clocks"),
            Self::Secret(place) => write!(f, "{place} looks like a secret, and provenance would publish it"),
            Self::Layer(layer) => write!(
                f,
                "the record does not say that the sandbox held: `{layer}` is missing; a canary build tries every layer before a build"
            ),
            Self::Reason => {
                write!(f, "the reason is not one line of at most {MAX_REASON} bytes without control characters")
            }
        }
    }
}

/// Goes through the list.
///
/// # Errors
/// [`Unfit`], the first thing that is missing.
pub(crate) fn check_record(record: &Record, now: Timestamp, is_demo: bool) -> Result<(), Unfit> {
    match record {
        Record::Build(record) | Record::Token(record) => {
            check_build(record, now)?;
            let Provenance { command, isolation, .. } = &record.provenance;
            // nothing ran for an image, and no sandbox is claimed: one that is claimed must have held
            if isolation.is_none() && is_assembly(command.as_deref().unwrap_or_default()) {
                return Ok(());
            }
            check_layers(isolation.as_ref(), is_demo)
        }
        Record::Test(record) => {
            check_test(record, now)?;
            check_layers(record.isolation.as_ref(), is_demo)
        }
        Record::Failure(record) => check_failure(record, now),
    }
}

fn check_build(record: &BuildRecord, now: Timestamp) -> Result<(), Unfit> {
    let provenance = &record.provenance;
    require(provenance.invocation.as_deref().is_some_and(is_invocation), Unfit::Invocation)?;
    require(is_file_name(&record.name), Unfit::Name)?;
    require(record.digest.algorithm() == Algorithm::Sha256, Unfit::Digest)?;
    let source = provenance.source.as_ref().ok_or(Unfit::Source)?;
    let reference = source.reference.as_deref().unwrap_or_default();
    require(is_source(&source.repository, reference) && source.commit().is_some(), Unfit::Source)?;
    require(provenance.target.as_deref().is_some_and(|t| !t.is_empty()), Unfit::Target)?;
    require(provenance.command.as_ref().is_some_and(|c| !c.is_empty()), Unfit::Command)?;
    require(provenance.hermetic, Unfit::Hermetic)?;
    check_secrets(provenance)?;
    let bare = provenance.dependencies.iter().find(|d| d.digests.is_empty());
    bare.map_or(Ok(()), |d| Err(Unfit::Input(d.uri.clone())))?;
    check_times(provenance.started, provenance.finished, now)
}

/// What a definition's reader refuses is refused here again: the orchestrator is another process.
fn check_secrets(provenance: &Provenance) -> Result<(), Unfit> {
    let environment = provenance.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    require(
        !has_secret(provenance.command.as_deref().unwrap_or_default()),
        Unfit::Secret("the command".to_owned()),
    )?;
    let inputs = provenance.dependencies.iter().map(|d| ("", d.uri.as_str()));
    let repository = provenance.source.iter().map(|s| ("", s.repository.as_str()));
    let mut all = environment.chain(inputs).chain(repository);
    match all.find(|(name, value)| is_secret(name, value)) {
        None => Ok(()),
        Some(("", _)) => Err(Unfit::Secret("a word of the record".to_owned())),
        Some((name, _)) => Err(Unfit::Secret(format!("the variable {name}"))),
    }
}

/// Every layer that keeps a build from lying was tried and held. Limits are the machine's and not the provenance's
/// protection: a demo may do without.
fn check_layers(isolation: Option<&Isolation>, is_demo: bool) -> Result<(), Unfit> {
    let held = isolation.map(|i| i.held.as_slice()).unwrap_or_default();
    let required = REQUIRED.into_iter().chain((!is_demo).then_some(LIMITS));
    let open = required.into_iter().find(|layer| !held.iter().any(|h| h == layer));
    open.map_or(Ok(()), |layer| Err(Unfit::Layer(layer)))
}

fn check_test(record: &TestRecord, now: Timestamp) -> Result<(), Unfit> {
    require(is_invocation(&record.invocation), Unfit::Invocation)?;
    require(is_file_name(&record.artifact) && !record.test.is_empty(), Unfit::Name)?;
    require(record.digest.algorithm() == Algorithm::Sha256, Unfit::Digest)?;
    require(!record.command.is_empty(), Unfit::Command)?;
    require(
        !record.repository.is_empty() && record.commit.algorithm() == Algorithm::GitCommit,
        Unfit::Source,
    )?;
    check_times(Some(record.times.0), Some(record.times.1), now)
}

fn check_failure(record: &FailureRecord, now: Timestamp) -> Result<(), Unfit> {
    require(is_invocation(&record.invocation), Unfit::Invocation)?;
    require(record.log.algorithm() == Algorithm::Sha256, Unfit::Digest)?;
    let is_commit = record.commit.algorithm() == Algorithm::GitCommit;
    require(is_source(&record.repository, &record.reference) && is_commit, Unfit::Source)?;
    require(!record.target.is_empty(), Unfit::Target)?;
    require(!record.reason.is_empty() && one_line(&record.reason) == record.reason, Unfit::Reason)?;
    check_times(Some(record.started), Some(record.finished), now)
}

fn check_times(started: Option<Timestamp>, finished: Option<Timestamp>, now: Timestamp) -> Result<(), Unfit> {
    let (Some(started), Some(finished)) = (started, finished) else { return Err(Unfit::Times) };
    require(started <= finished, Unfit::Times)?;
    require(Span::between(now, finished).as_seconds() <= TOLERANCE, Unfit::Future(finished))
}

fn require(is_met: bool, otherwise: Unfit) -> Result<(), Unfit> {
    if is_met { Ok(()) } else { Err(otherwise) }
}

fn is_invocation(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'/');
    (8..=128).contains(&text.len()) && text.bytes().all(fits)
}

fn is_file_name(name: &str) -> bool {
    let is_plain = !name.is_empty() && name.len() <= 255 && name != "." && name != "..";
    is_plain && !name.chars().any(|c| c == '/' || c.is_control())
}

fn is_source(repository: &str, reference: &str) -> bool {
    let is_line = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    is_line(repository) && is_line(reference) && reference.starts_with("refs/")
}
