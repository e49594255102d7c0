//! The version is at least the lowest acceptable one.

use attest::yaml::{Node, Problems};
use attest::{Artifact, Directly, Evidence, Opener, Place, Predicate, Role, TrustRoot};
use jiff::Timestamp;

use super::range;
use crate::facts::Facts;
use crate::finding::Finding;
use crate::request::Submitted;
use crate::rule::{Beyond, Check, Order, Rule, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "version",
    key: "version",
    summary: "the version is in this range",
    docs: "A version is SemVer, with or without a `v` in front; one or two numbers alone stand for the same with zeros behind \
           (`v14` is 14.0.0). It is known from two sources only: the tag that the judged \
           provenance says was built (`refs/tags/…`), and the package URL of releases about the artifact that are \
           signed by a releaser. Met where at least one is known and every known one is in the range; a tag or release version that is no SemVer is \
           known and in no range. Any releaser's release says the version, whatever environment it is for. As in Cargo, a \
           pre-release is in a range only where the range names one of the same version.",
    example: "version: \">=1.4.2\"",
    threats: &["T8"],
    reads_provenance: false,
    read: Some(read),
    schema: string_schema,
};

#[derive(Debug)]
struct Version {
    range: semver::VersionReq,
    place: Place,
}

/// Reads a range of versions.
pub(crate) fn read_range(node: &Node) -> Result<semver::VersionReq, attest::LoadError> {
    let text = node.string()?;
    semver::VersionReq::parse(text)
        .map_err(|e| node.mismatch("a range of versions, as in \">=1.4.2\"").fix(&format!("correct it: {e}")))
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    Some(Box::new(Version { range: problems.keep(read_range(node))?, place: node.place.clone() }))
}

impl Order for Version {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let example = range::beyond(&self.range, &other.range);
        let words = |v| format!("versions in {} that are not in {}, such as {v}", self.range, other.range);
        example.map(|v| Beyond::only(words(v))).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("what has a version outside of {}, or none", self.range)
    }
}

impl Check for Version {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let known = known_versions(facts);
        let finding = |message: &str, found: &str, fix: &str| {
            Finding::new(RULE.name, message, fix)
                .wanted(&format!("version {}", self.range), &self.place)
                .found(found)
        };
        if known.is_empty() {
            let is_foreign = facts.provenance().is_some_and(|judged| judged.provenance.is_foreign());
            let fix = match is_foreign {
                true => "run the build on a tag, as in v1.2.3, or submit the registry's publish attestation",
                false => "build a tag: portcullis build … --ref refs/tags/v1.2.3",
            };
            return vec![
                finding("nothing says which version it is", "no tag, and no release with a version", fix)
                    .or("have a releaser release it with its version: portcullis attest release ARTIFACT --purl PURL@VERSION --for ENVIRONMENT --key RELEASER.key"),
            ];
        }
        let mut findings = Vec::new();
        for (text, from) in known {
            let parsed = parse_version(&text);
            match parsed {
                Ok(version) if self.range.matches(&version) => {}
                Ok(version) => {
                    let message = "the version is outside the range that the policy allows";
                    let fix = format!("deploy a version {}", self.range);
                    findings.push(finding(message, &version.to_string(), &fix).within(&from));
                }
                Err(e) => {
                    let message = "the version is no SemVer, and cannot be compared";
                    findings
                        .push(finding(message, &format!("{text}: {e}"), "tag it as in v1.4.2").within(&from));
                }
            }
        }
        findings
    }
}

/// Every verified version and where it comes from.
fn known_versions(facts: &Facts<'_>) -> Vec<(String, String)> {
    let mut known = Vec::new();
    if let Some(judged) = facts.provenance()
        && let Some(tag) = judged.provenance.source.as_ref().and_then(|s| s.tag())
    {
        known.push((tag.to_owned(), crate::facts::describe(judged.evidence)));
    }
    let released = |evidence: &Evidence| Some((released_as(evidence)?, crate::facts::describe(evidence)));
    known.extend(facts.about_artifact().iter().filter_map(released));
    known
}

/// The version that a releaser gave an artifact.
fn released_as(evidence: &Evidence) -> Option<String> {
    let Predicate::Release(release) = evidence.predicate() else { return None };
    evidence.signers_with(Role::Releaser).next()?;
    release.version().map(str::to_owned)
}

/// The versions that releasers gave an artifact in evidence that is authentic and about it, lowest first. One that is no
/// SemVer is none: the rule refuses it.
#[must_use]
pub fn released_versions(
    envelopes: &[Submitted],
    artifact: &Artifact,
    root: &TrustRoot,
    at: Timestamp,
) -> Vec<String> {
    let version = |submitted: &Submitted| {
        let opener: &dyn Opener = &Directly;
        let evidence = opener.open(root, &submitted.bytes, at).ok()?.about(artifact).ok()?;
        read_version(&released_as(&evidence)?)
    };
    let mut versions: Vec<semver::Version> = envelopes.iter().filter_map(version).collect();
    versions.sort();
    versions.iter().map(ToString::to_string).collect()
}

fn read_version(text: &str) -> Option<semver::Version> {
    parse_version(text).ok()
}

/// A version, with or without a `v` in front. One or two numbers alone stand for the same with zeros behind, as tags in
/// the world are written.
fn parse_version(text: &str) -> Result<semver::Version, semver::Error> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let is_numbers = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.split('.').count() {
        1 if is_numbers => semver::Version::parse(&format!("{text}.0.0")),
        2 if is_numbers => semver::Version::parse(&format!("{text}.0")),
        _ => semver::Version::parse(text),
    }
}

/// Whether a version comes after another. What is no version comes after nothing, and everything after it.
#[must_use]
pub fn is_newer(version: &str, floor: &str) -> bool {
    read_version(version) > read_version(floor)
}
