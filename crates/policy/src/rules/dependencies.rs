//! Nothing went into the build that is denied, everything is pinned, and what others made is under accepted licences and
//! was reviewed.

mod licences;
mod package;
mod reviewed;

use attest::json::ShapeError;
use attest::parts::{self, Part};
use attest::yaml::{Fields, Node, Problems};
use attest::{Evidence, Object, Place, Predicate};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, NameUse, Order, Rule, list_schema, object_schema, or_list};
use licences::Licences;
use package::{PackageUrl, denies, parse};
use reviewed::Reviewed;

pub(crate) const RULE: Rule = Rule {
    name: "dependencies",
    key: "dependencies",
    summary: "no denied package took part, every dependency is pinned, and its licence and review are as asked",
    docs: "Reads every dependency of the judged provenance, tools included, but not the source. `denied` lists package \
           URLs: one with a version denies that version, one without denies all; namespace and name are compared \
           without regard to case, qualifiers and subpath are left out; a dependency that is named by another kind of URI \
           is none of them. `pinned: true` asks that every dependency has a \
           digest that decides (sha256, sha384, sha512 or a git object id). A dependency without a version is taken for \
           the denied one. \
           `licences` reads every list of parts (CycloneDX, SPDX) about the artifact that a builder signed whom `built-by` \
           accepted, or, with `by`, one of those names instead; there must be one. Each part but the artifact itself must \
           say a licence as an SPDX expression, of at most 2000 bytes; several licences of one part all hold. With \
           `allowed`, the expression must be met by the listed licences alone, each exactly as it is written, exception \
           included; with `denied`, it must be met by others than those: an exception makes no other licence of a denied \
           one, nor does `-only`, `-or-later` or `+` behind it. A part whose licence is not said or cannot be read is \
           refused. \
           `reviewed` asks for every dependency of the judged provenance, but tools and the proven artifacts of other \
           builds, that a review of imports lists its digest which one of `by` signed with the role reviewer or review \
           authority; one that names criteria counts only where safe-to-deploy is among them. Where the provenance lists \
           none of those and would not meet `hermetic`, the parts (but the artifact itself) of lists that the accepted \
           builders signed are asked for instead, and there must be such a list. What has no digest was not \
           reviewed.",
    example: "dependencies: { denied: [\"pkg:npm/event-stream@3.3.6\"], pinned: true, licences: { allowed: [MIT, Apache-2.0] }, reviewed: { by: [vetting] } }",
    threats: &["T8", "T11"],
    reads_provenance: true,
    read: Some(read),
    schema: || {
        let yes = Object::new().with("const", true).into();
        let fields = [
            ("denied", list_schema()),
            ("pinned", yes),
            ("licences", licences::schema()),
            ("reviewed", object_schema(&[("by", list_schema())], &["by"])),
        ];
        object_schema(&fields, &[])
    },
};

#[derive(Debug)]
struct Dependencies {
    denied: Vec<(PackageUrl, String, Place)>,
    pinned: bool,
    licences: Option<Licences>,
    reviewed: Option<Reviewed>,
    /// The names of both.
    names: Vec<NameUse>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let known = ["denied", "pinned", "licences", "reviewed"];
    let fields = Fields::read(node, "`dependencies`", &known, problems)?;
    let denied = match fields.optional("denied") {
        Some(node) => read_denied(node, problems)?,
        None => Vec::new(),
    };
    let pinned = match fields.optional("pinned") {
        Some(node) => problems.keep(node.boolean())?,
        None => false,
    };
    let licences = match fields.optional("licences") {
        Some(node) => Some(Licences::read(node, problems)?),
        None => None,
    };
    let reviewed = match fields.optional("reviewed") {
        Some(node) => Some(Reviewed::read(node, problems)?),
        None => None,
    };
    if denied.is_empty() && !pinned && licences.is_none() && reviewed.is_none() {
        problems.push(
            node.mismatch("`denied`, `licences`, `reviewed`, or `pinned: true`")
                .fix("leave the rule out, if nothing is asked"),
        );
        return None;
    }
    let by = licences.iter().flat_map(|l| &l.by).chain(reviewed.iter().flat_map(|r| &r.by));
    let names = by.cloned().collect();
    Some(Box::new(Dependencies { denied, pinned, licences, reviewed, names, place: node.place.clone() }))
}

fn read_denied(node: &Node, problems: &mut Problems) -> Option<Vec<(PackageUrl, String, Place)>> {
    let mut denied = Vec::new();
    for (text, place) in problems.keep(node.strings()).unwrap_or_default() {
        let wanted = attest::LoadError::new(&place, &format!("`{text}` is no package URL"))
            .wanted("pkg:TYPE/NAME, or pkg:TYPE/NAME@VERSION")
            .found(&text)
            .fix("write it as in pkg:npm/event-stream@3.3.6");
        denied.push((problems.keep(parse(&text).ok_or(wanted))?, text, place));
    }
    Some(denied)
}

impl Order for Dependencies {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let denies = |url: &PackageUrl| {
            let same = |own: &PackageUrl| own.name == url.name && (own.version.is_none() || own == url);
            self.denied.iter().any(|(own, ..)| same(own))
        };
        let free = other.denied.iter().filter(|(url, ..)| !denies(url));
        let words = |text: &str| format!("what has {text} among its dependencies");
        let mut ways: Vec<Beyond> = free.map(|(_, text, _)| Beyond::by(text, words(text))).collect();
        if other.pinned && !self.pinned {
            ways.push(Beyond::by("", "what has a dependency without a digest".to_owned()));
        }
        if let Some(there) = &other.licences {
            ways.extend(Licences::beyond(self.licences.as_ref(), there));
        }
        if let Some(there) = &other.reviewed {
            ways.extend(Reviewed::beyond(self.reviewed.as_ref(), there));
        }
        ways
    }

    fn outside(&self) -> String {
        let denied: Vec<&str> = self.denied.iter().map(|(_, text, _)| text.as_str()).collect();
        let mut ways = Vec::new();
        if !denied.is_empty() {
            ways.push(format!("has {} among its dependencies", or_list(&denied)));
        }
        if self.pinned {
            ways.push("has a dependency without a digest".to_owned());
        }
        ways.extend(self.licences.iter().map(Licences::outside));
        ways.extend(self.reviewed.iter().map(Reviewed::outside));
        format!("what {}", or_list(&ways))
    }
}

impl Check for Dependencies {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let Some(judged @ Judged { evidence, provenance, .. }) = facts.provenance() else {
            return Vec::new();
        };
        let mut findings = Vec::new();
        for dependency in &provenance.dependencies {
            if let Some((_, text, place)) = self.denied.iter().find(|(url, ..)| denies(url, &dependency.uri))
            {
                findings.push(
                    Finding::new(
                        RULE.name,
                        "a denied package took part in the build",
                        "use a version that is not denied, and build again",
                    )
                    .wanted(&format!("a build without {text}"), place)
                    .found(&dependency.uri),
                );
            }
            if self.pinned && dependency.digests.is_empty() {
                findings.push(
                    Finding::new(
                        RULE.name,
                        "a dependency is not pinned by a digest",
                        "pin it in the build definition: portcullis builder lock",
                    )
                    .wanted("a digest for every dependency", &self.place)
                    .found(&dependency.uri),
                );
            }
        }
        let mut findings: Vec<Finding> =
            findings.into_iter().map(|f| f.within(&describe(evidence))).collect();
        findings.extend(self.licences.iter().flat_map(|licences| licences.check(facts, &judged)));
        findings.extend(self.reviewed.iter().flat_map(|reviewed| reviewed.check(facts, &judged)));
        findings
    }

    fn names(&self) -> &[NameUse] {
        &self.names
    }

    fn reads_builders(&self) -> bool {
        self.reviewed.is_some() || self.licences.as_ref().is_some_and(|licences| licences.by.is_empty())
    }
}

/// The lists of parts about the artifact that count: those that one of these names signed.
fn lists<'f>(facts: &'f Facts<'_>, by: &[&str]) -> Vec<(&'f Evidence, Result<Vec<Part>, ShapeError>)> {
    let read = |evidence: &'f Evidence| match evidence.predicate() {
        Predicate::Other(body) if parts::is_list(&evidence.attestation().statement().predicate_type) => {
            let found = parts::read(body).map(|all| all.into_iter().filter(|part| !part.is_whole).collect());
            Some((evidence, found))
        }
        _ => None,
    };
    let counts = |evidence: &&Evidence| by.iter().any(|name| evidence.is_signed_by(name));
    facts.about_artifact().iter().filter(counts).filter_map(read).collect()
}

/// `a, b and 3 more`: enough to begin with.
fn some_of(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
