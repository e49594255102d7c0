//! What scanners print, as one report: OSV-Scanner, Grype, Trivy, and whatever writes SARIF.
//!
//! Nothing is made up: a time that the output does not say stays unknown, and so does a severity, which then counts as
//! critical. What a scanner was told to ignore is kept as found: only a signed VEX statement takes something out.

mod grype;
mod osv_scanner;
mod sarif;
mod trivy;

use std::collections::BTreeMap;
use std::fmt;

use attest::claims::{Scan, Severity, Vulnerability};
use attest::json::{self, JsonError, Limits, ShapeError};
use attest::{Algorithm, Digest, Object};
use jiff::Timestamp;

use crate::component::Component;
use crate::database::{Certainty, Match};
use crate::purl::Purl;
use crate::vex::{About, Status};

/// A larger output is none of one artifact.
pub const MAX_BYTES: usize = 64 << 20;
/// More findings than any artifact has.
const MAX_FOUND: usize = 100_000;

/// Whose output it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanner {
    /// OSV-Scanner 1 and 2, `--format json`.
    OsvScanner,
    /// Grype, `-o json`.
    Grype,
    /// Trivy, `--format json`.
    Trivy,
    /// SARIF 2.1.0 of any scanner for vulnerabilities.
    Sarif,
}

/// What a scanner found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The scanner, as a URI.
    pub scanner: String,
    /// Its version, where it says so.
    pub version: Option<String>,
    /// When the scan ended, where it says so.
    pub finished: Option<Timestamp>,
    /// When its database was made, where it says so.
    pub database: Option<Timestamp>,
    /// The digests of what it looked at, where it says so.
    pub scanned: Vec<Digest>,
    /// What it found, suppressed findings included.
    pub found: Vec<Found>,
}

/// One vulnerability of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The component; without a name where the output does not say.
    pub component: Component,
    /// The advisory's name.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// How bad; nothing where nobody says.
    pub severity: Option<Severity>,
}

/// Why an output cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportError {
    /// Not strict JSON.
    Json(JsonError),
    /// JSON of another shape.
    Shape(ShapeError),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(e) => e.fmt(f),
            Self::Shape(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for ReportError {}

impl From<ShapeError> for ReportError {
    fn from(e: ShapeError) -> Self {
        Self::Shape(e)
    }
}

impl Scanner {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OsvScanner => "OSV-Scanner",
            Self::Grype => "Grype",
            Self::Trivy => "Trivy",
            Self::Sarif => "SARIF",
        }
    }

    /// Reads an output of at most 64 MiB.
    ///
    /// # Errors
    /// [`ReportError`] with the byte or the path of what is wrong; so is an output that does not say that anything was
    /// looked at, since that is no clean one.
    pub fn read(self, bytes: &[u8]) -> Result<Report, ReportError> {
        let limits = Limits { bytes: MAX_BYTES, values: 4_000_000, ..Limits::default() };
        let json = json::parse_with(bytes, limits.exact()).map_err(ReportError::Json)?;
        let object = json.as_object()?;
        let report = match self {
            Self::OsvScanner => osv_scanner::read(object),
            Self::Grype => grype::read(object),
            Self::Trivy => trivy::read(object),
            Self::Sarif => sarif::read(object),
        }?;
        if report.found.len() > MAX_FOUND {
            let wanted = format!("at most {MAX_FOUND} findings");
            return Err(ShapeError::new("", &wanted, &report.found.len().to_string()).into());
        }
        Ok(report)
    }
}

/// A scan, and what VEX took out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// The scan.
    pub scan: Scan,
    /// The findings that do not affect the artifact, each with the justification.
    pub excused: Vec<(Found, &'static str)>,
}

impl Report {
    /// The scan that a scanner attests: every finding, but those of which the last trusted word is that the artifact is
    /// not affected. One that is said to be fixed was found all the same, and stays.
    #[must_use]
    pub fn weigh(&self, finished: Timestamp, database: Option<Timestamp>, vex: &About<'_>) -> Weighed {
        let (mut worst, mut excused) = (BTreeMap::<&str, Severity>::new(), Vec::new());
        for found in &self.found {
            let word = vex.last_word(&found.component, &found.as_match());
            if let Some(Status::NotAffected(reason)) = word.map(|statement| &statement.status) {
                excused.push((found.clone(), reason.name()));
                continue;
            }
            let severity = worst.entry(&found.id).or_insert(Severity::Negligible);
            *severity = (*severity).max(found.severity.unwrap_or(Severity::Critical));
        }
        let vulnerability = |(id, severity): (&str, _)| Vulnerability { id: id.to_owned(), severity };
        let scan = Scan {
            scanner: self.scanner.clone(),
            version: self.version.clone(),
            finished,
            database_updated: database,
            vulnerabilities: worst.into_iter().map(vulnerability).collect(),
        };
        Weighed { scan, excused }
    }
}

impl Found {
    fn as_match(&self) -> Match {
        Match {
            id: self.id.clone(),
            aliases: self.aliases.clone(),
            summary: None,
            severity: self.severity,
            certainty: Certainty::Affected,
            range: None,
            fixed: None,
            why: String::new(),
        }
    }
}

/// A component as scanners name it: by its package URL where there is one, else by its name and version.
fn component(name: &str, version: Option<&str>, purl: Option<&str>) -> Component {
    match purl.and_then(|text| Some((text, Purl::parse(text).ok()?))) {
        Some((text, purl)) => Component::of_purl(text, &purl),
        None => Component { version: version.map(str::to_owned), ..Component::named(name) },
    }
}

/// A time as the tools write it, some with an offset.
fn time(object: &Object, key: &str) -> Result<Option<Timestamp>, ShapeError> {
    let Some(text) = object.optional_string(key)? else { return Ok(None) };
    let at: Timestamp = text.parse().map_err(|_| ShapeError::new(key, "an RFC 3339 time", text))?;
    // Go writes a time that nobody set as the year 1
    Ok((at > Timestamp::UNIX_EPOCH).then_some(at))
}

/// The name of an advisory: it is signed, and shown to people.
fn id(object: &Object, key: &str) -> Result<String, ShapeError> {
    let text = object.string(key)?;
    if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err(ShapeError::new(key, "1 to 200 bytes without control characters", "something else"));
    }
    Ok(text.to_owned())
}

/// `sha256:HEX`, or `NAME@sha256:HEX`; anything else names no bytes.
fn digest(text: &str) -> Option<Digest> {
    let text = text.rsplit_once('@').map_or(text, |(_, digest)| digest);
    Digest::parse(text).ok().filter(|digest| digest.algorithm() == Algorithm::Sha256)
}

/// The band of a score from 0 to 10, whole or with a fraction; nothing where it is none.
fn band(score: &str) -> Option<Severity> {
    let (whole, fraction) = score.split_once('.').unwrap_or((score, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    match whole.parse::<u8>().ok()? {
        0 if fraction.bytes().all(|b| b == b'0') => Some(Severity::Negligible),
        0..=3 => Some(Severity::Low),
        4..=6 => Some(Severity::Medium),
        7 | 8 => Some(Severity::High),
        9 | 10 => Some(Severity::Critical),
        _ => None,
    }
}
