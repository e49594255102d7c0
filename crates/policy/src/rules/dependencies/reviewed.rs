//! `reviewed`: somebody looked at what others made before it was taken in.

use std::collections::BTreeMap;

use attest::claims::Reviewed as Package;
use attest::yaml::{Fields, Node, Problems};
use attest::{Agreement, Digest, DigestSet, Evidence, Place, Predicate, Role};

use super::{RULE, lists, some_of};
use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, NameKind, NameUse, names_beyond, names_of, or_list, read_names};

/// The criterion that counts, where a review names some.
const CRITERION: &str = "safe-to-deploy";

#[derive(Debug)]
pub(super) struct Reviewed {
    pub(super) by: Vec<NameUse>,
    place: Place,
}

/// Something that others made, and its bytes.
type Foreign = (String, DigestSet);

impl Reviewed {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "`reviewed`", &["by"], problems)?;
        let list = fields.required("by", problems)?;
        let by = read_names(list, NameKind::Signer, problems)?;
        if by.is_empty() {
            problems.push(list.mismatch("at least one name").found("an empty list"));
            return None;
        }
        Some(Self { by, place: node.place.clone() })
    }

    pub(super) fn check(&self, facts: &Facts<'_>, judged: &Judged<'_>) -> Vec<Finding> {
        match foreign(facts, judged) {
            Ok((evidence, foreign)) => {
                let found = self.judge(facts, &foreign);
                found.into_iter().map(|finding| finding.within(&describe(evidence))).collect()
            }
            Err((message, found)) => {
                let fix =
                    "build hermetically, which lists every input, or have the builder sign a list of parts";
                vec![self.finding(message, &found, fix).within(&describe(judged.evidence))]
            }
        }
    }

    fn judge(&self, facts: &Facts<'_>, foreign: &[Foreign]) -> Vec<Finding> {
        let reviewed = self.packages(facts);
        let is_reviewed = |digests: &DigestSet| {
            let of = digests.iter().flat_map(|digest| reviewed.get(&digest).into_iter().flatten());
            of.into_iter().any(|package| package.digests.agrees(digests) == Agreement::Same)
        };
        let named = |filter: &dyn Fn(&DigestSet) -> bool| {
            let names = foreign.iter().filter(|(_, digests)| filter(digests)).map(|(name, _)| name.clone());
            names.collect::<Vec<String>>()
        };
        let review =
            "review it, and submit the review: portcullis import review, or attest import --from-cargo-vet";
        let pin = "pin it by a digest, so that a review can be about its bytes";
        [
            (
                "nobody who counts reviewed a dependency",
                named(&|digests| !digests.is_empty() && !is_reviewed(digests)),
                review,
            ),
            (
                "a dependency has no digest, so nobody can tell whether it was reviewed",
                named(&|digests| digests.is_empty()),
                pin,
            ),
        ]
        .into_iter()
        .filter(|(_, names, _)| !names.is_empty())
        .map(|(message, names, fix)| self.finding(message, &some_of(&names), fix))
        .collect()
    }

    /// What was reviewed by somebody who counts, by each of its digests.
    fn packages<'f>(&self, facts: &'f Facts<'_>) -> BTreeMap<Digest, Vec<&'f Package>> {
        let mut packages: BTreeMap<Digest, Vec<&Package>> = BTreeMap::new();
        for evidence in facts.about_imports() {
            let Predicate::Import(import) = evidence.predicate() else { continue };
            if !self.counts(evidence) {
                continue;
            }
            for package in import.packages.iter().filter(|p| is_for_deployment(p)) {
                for digest in package.digests.iter() {
                    packages.entry(digest).or_default().push(package);
                }
            }
        }
        packages
    }

    fn counts(&self, evidence: &Evidence) -> bool {
        let signers =
            [Role::Reviewer, Role::ReviewAuthority].into_iter().flat_map(|role| evidence.signers_with(role));
        signers.into_iter().any(|signer| self.by.iter().any(|by| by.name == signer.name))
    }

    fn finding(&self, message: &str, found: &str, fix: &str) -> Finding {
        let wanted = format!("a review of every dependency by {}", or_list(&names_of(&self.by)));
        Finding::new(RULE.name, message, fix).wanted(&wanted, &self.place).found(found)
    }

    /// What meets this, or nothing where nothing is asked for, and not `there`.
    pub(super) fn beyond(here: Option<&Self>, there: &Self) -> Option<Beyond> {
        let words = match here {
            None => format!("what {}", there.outside()),
            Some(here) => {
                format!(
                    "what has a dependency that nobody but {} reviewed",
                    names_beyond(&here.by, &there.by)?
                )
            }
        };
        Some(Beyond::by("reviewed", words))
    }

    pub(super) fn outside(&self) -> String {
        format!("has a dependency that {} did not review", or_list(&names_of(&self.by)))
    }
}

fn is_for_deployment(package: &Package) -> bool {
    package.criteria.is_empty() || package.criteria.iter().any(|c| c == CRITERION)
}

/// What others made of what the artifact is made of, and the evidence that says so; or why nobody can tell.
fn foreign<'f>(
    facts: &'f Facts<'_>,
    judged: &Judged<'f>,
) -> Result<(&'f Evidence, Vec<Foreign>), (&'static str, String)> {
    // another build's artifact has provenance of its own, which the builder checked
    let of_others = judged.provenance.dependencies.iter().filter(|d| !d.is_tool && d.provenance.is_none());
    let all: Vec<Foreign> = of_others.map(|d| (d.uri.clone(), d.digests.clone())).collect();
    if !all.is_empty() || is_hermetic(facts, judged) {
        return Ok((judged.evidence, all));
    }
    let builders: Vec<&str> = judged.builders.iter().map(String::as_str).collect();
    let (mut parts, mut last) = (Vec::new(), None);
    for (evidence, list) in lists(facts, &builders) {
        let list = list.map_err(|e| ("the list of parts cannot be read", e.to_string()))?;
        parts.extend(list.into_iter().map(|part| (part.label(), part.digests)));
        last = Some(evidence);
    }
    let message = "nothing says what the artifact is made of";
    let found =
        "provenance without dependencies, by a builder whose builds are not hermetic, and no list of parts";
    last.map(|evidence| (evidence, parts)).ok_or_else(|| (message, found.to_owned()))
}

/// Whether an empty list of dependencies is a whole one: see the rule `hermetic`.
fn is_hermetic(facts: &Facts<'_>, judged: &Judged<'_>) -> bool {
    let version = judged.provenance.builder_version.as_deref().and_then(|v| semver::Version::parse(v).ok());
    let Some(version) = version.filter(|_| judged.provenance.hermetic) else { return false };
    let builders = judged.builders.iter().filter_map(|name| facts.root().principal(name)?.builder.as_ref());
    builders.into_iter().any(|builder| builder.hermetic.iter().any(|range| range.matches(&version)))
}
