//! The story of a layout: signed, current, every step signed by enough functionaries, then commands and rules.

use std::collections::{BTreeMap, BTreeSet};

use attest::digest::DigestSet;
use attest::{Agreement, PublicKey, StatementError};
use jiff::Timestamp;

use super::apply::{Artifacts, apply};
use super::finding::{Finding, Report, SignedStep, Undecided};
use super::glob::is_normal;
use super::link::Link;
use super::metadata::Metadata;
use super::model::{Inspection, Layout, Step};
use super::rule::Side;

mod gather;

/// Layouts within layouts: more than an organisation has levels.
const MAX_DEPTH: usize = 4;

/// The files beside a layout, by their paths below the folder of links.
pub type Links = BTreeMap<String, Vec<u8>>;

/// What a layout is verified with.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The owners' keys: each of them must have signed the layout.
    pub keys: &'a [PublicKey],
    /// The files with links, and folders with those of sublayouts.
    pub links: &'a Links,
    /// The artifact; without one, nothing is said about any.
    pub artifact: Option<&'a DigestSet>,
    /// What is in the artifact, where it is an archive that somebody has read: for inspections that only unpack it.
    pub unpacked: Option<&'a Unpacked>,
    /// The time that counts.
    pub at: Timestamp,
}

/// An archive, and what unpacking it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The archive's file name.
    pub name: String,
    /// Its digests.
    pub digests: DigestSet,
    /// The files in it, by their paths.
    pub files: Artifacts,
}

/// Verifies a layout in its own terms, but for what it would run. Stricter than the specification where that leaves a
/// choice: a command that differs is a finding, all links of a step must agree, and a link must name its own step.
///
/// # Errors
/// [`StatementError`] where the layout cannot be read. What is wrong with links is a finding.
pub fn verify(layout: &[u8], given: Given<'_>) -> Result<Report, StatementError> {
    let metadata = Metadata::parse(layout)?;
    let mut report = Report::default();
    check(&metadata, given, "", 0, &mut report)?;
    Ok(report)
}

/// Verifies one layout with the links below `folder`, and says what it amounts to as a link.
fn check(
    metadata: &Metadata,
    given: Given<'_>,
    folder: &str,
    depth: usize,
    report: &mut Report,
) -> Result<Option<Link>, StatementError> {
    if let Some(finding) = unsigned(metadata, given.keys) {
        report.findings.push(finding);
        return Ok(None);
    }
    let layout = Layout::read(metadata.unproven())?;
    report.findings.extend(expired(&layout, given.at));
    let mut links = BTreeMap::new();
    for step in &layout.steps {
        let gathered = gather::links(&layout, step, given, folder, depth, report);
        links.extend(gathered.map(|link| (step.name.clone(), link)));
    }
    for step in &layout.steps {
        report.findings.extend(links.get(&step.name).and_then(|link| other_command(step, link)));
        report.findings.extend(apply(&step.name, Side::Materials, &step.materials, &links));
        report.findings.extend(apply(&step.name, Side::Products, &step.products, &links));
    }
    let whole = summary(&layout, &links);
    for inspection in &layout.inspections {
        inspect(inspection, given, &mut links, report);
    }
    report
        .findings
        .extend(given.artifact.and_then(|artifact| not_produced(&layout, whole.as_ref(), artifact)));
    Ok(whole)
}

/// An inspection is never run: its exit status and what it leaves behind are conditions too, and only running it would show
/// them. One that does nothing but unpack the artifact is read instead, as if it were run in a folder with the artifact alone.
fn inspect(
    inspection: &Inspection,
    given: Given<'_>,
    links: &mut BTreeMap<String, Link>,
    report: &mut Report,
) {
    let is_artifact = |unpacked: &&Unpacked| {
        given.artifact.is_some_and(|artifact| unpacked.digests.agrees(artifact) == Agreement::Same)
    };
    let unpacked = given.unpacked.filter(is_artifact);
    let Some(unpacked) = unpacked.filter(|u| unpacks(&inspection.run) == Some(u.name.as_str())) else {
        report.undecided.push(Undecided {
            place: format!("inspection {}", inspection.name),
            why: format!("it asks to run `{}`, and nothing of a layout is run", inspection.run.join(" ")),
        });
        return;
    };
    let materials = Artifacts::from([(unpacked.name.clone(), unpacked.digests.clone())]);
    // what is in the archive under the archive's own name would be written over it
    let products = materials.clone().into_iter().chain(unpacked.files.clone()).collect();
    let name = inspection.name.clone();
    links.insert(name.clone(), Link { name, command: inspection.run.clone(), materials, products });
    for (side, rules) in [(Side::Materials, &inspection.materials), (Side::Products, &inspection.products)] {
        report.findings.extend(apply(&inspection.name, side, rules, links));
    }
}

/// The archive that a command unpacks into the folder where it is run, where it does that and nothing else:
/// `tar xfz NAME`, in any order of `x`, `f`, `z` and `v`.
#[must_use]
pub fn unpacks(command: &[String]) -> Option<&str> {
    let [tar, letters, name] = command else { return None };
    let letters = letters.strip_prefix('-').unwrap_or(letters);
    let has = |letter: char| letters.matches(letter).count() == 1;
    let is_known = letters.chars().all(|c| "xfzv".contains(c)) && has('x') && has('f');
    let is_name = is_normal(name) && !name.contains('/') && !name.starts_with('-');
    (tar == "tar" && is_known && is_name).then_some(name)
}

/// Every owner must have signed: as the specification has it, and not "any of them".
fn unsigned(metadata: &Metadata, keys: &[PublicKey]) -> Option<Finding> {
    let missing: Vec<String> =
        keys.iter().filter(|key| !metadata.is_signed_by(key)).map(PublicKey::id).collect();
    if missing.is_empty() && !keys.is_empty() {
        return None;
    }
    let found = match metadata.unusable() {
        [] => "no signature on it verifies under that key".to_owned(),
        unusable => format!("no signature on it verifies under that key; {}", unusable.join("; ")),
    };
    let wanted = match missing.as_slice() {
        [] => "at least one key of the layout's owners".to_owned(),
        missing => format!("a signature by {}", missing.join(", and one by ")),
    };
    Some(
        Finding::new("layout-signed", "the layout is not signed by everybody whose key was given")
            .wanted(&wanted)
            .found(&found)
            .at("the layout")
            .fix("give the keys of those who signed it, or have it signed by them"),
    )
}

fn expired(layout: &Layout, at: Timestamp) -> Option<Finding> {
    (at >= layout.expires).then(|| {
        Finding::new("layout-current", "the layout has expired")
            .wanted(&format!("a time before {}", layout.expires))
            .found(&at.to_string())
            .at("expires")
            .fix("have its owners sign a new one")
    })
}

fn other_command(step: &Step, link: &Link) -> Option<Finding> {
    (!step.command.is_empty() && step.command != link.command).then(|| {
        Finding::new("command-expected", &format!("{} ran another command", step.name))
            .wanted(&step.command.join(" "))
            .found(&link.command.join(" "))
            .at(&format!("step {}, expected_command", step.name))
            .fix("do the step again with that command, or have the layout's owners change it")
    })
}

/// What all steps together did: what went into the first, and what came out of the last.
fn summary(layout: &Layout, links: &BTreeMap<String, Link>) -> Option<Link> {
    let (first, last) = (layout.steps.first()?, layout.steps.last()?);
    let (first, last) = (links.get(&first.name)?, links.get(&last.name)?);
    Some(Link {
        name: String::new(),
        command: last.command.clone(),
        materials: first.materials.clone(),
        products: last.products.clone(),
    })
}

/// A layout says of itself nothing about an artifact: it is one of the last step's products, or not meant.
fn not_produced(layout: &Layout, whole: Option<&Link>, artifact: &DigestSet) -> Option<Finding> {
    let last = layout.steps.last()?;
    let products = whole.map(|link| &link.products);
    if products.is_some_and(|p| p.values().any(|product| product.agrees(artifact) == Agreement::Same)) {
        return None;
    }
    let names: BTreeSet<&str> = products.into_iter().flatten().map(|(path, _)| path.as_str()).collect();
    let found = match names.len() {
        0 => "no products".to_owned(),
        n => format!("{n} others: {}", names.into_iter().take(3).collect::<Vec<_>>().join(", ")),
    };
    Some(
        Finding::new("artifact-produced", "the artifact is no product of the layout's last step")
            .wanted(&artifact.first().map(|d| d.to_string()).unwrap_or_default())
            .found(&found)
            .at(&format!("step {}", last.name))
            .fix("give the links of this artifact, or the artifact of these links"),
    )
}

/// The keys that signed a step, each once.
fn signed_step(step: &Step, keys: impl IntoIterator<Item = String>) -> SignedStep {
    SignedStep { name: step.name.clone(), keys: keys.into_iter().collect() }
}
