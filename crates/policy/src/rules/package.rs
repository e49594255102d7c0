//! It is the package that the policy lists.

use attest::yaml::{Node, Problems};
use attest::{Place, Predicate, Role};

use crate::facts::{Facts, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "package",
    key: "package",
    summary: "it is this package",
    docs: "A package URL, with a version or without one. Which package an artifact is, is known from three sources only: \
           the name under which the judged provenance has the artifact among its subjects, where that is a package URL; the \
           file name there, in PyPI's publish attestations; and the package URL of releases about the artifact that are \
           signed by a releaser, a registry's publish attestation among them. Met where at least one is known, and every known one has exactly this type, \
           namespace and name, and exactly this version where one is given. Qualifiers and subpaths are not compared. The \
           name never makes evidence apply: digests did before.",
    example: "package: \"pkg:npm/%40acme/shop\"",
    threats: &["T4", "T8", "T9"],
    reads_provenance: false,
    read: Some(read),
    schema: string_schema,
};

#[derive(Debug)]
struct Package {
    name: String,
    version: Option<String>,
    place: Place,
}

/// A package URL as its name and version. The `@` of a namespace is written `%40` there.
fn parts(purl: &str) -> (&str, Option<&str>) {
    let purl = purl.split(['?', '#']).next().unwrap_or(purl);
    match purl.rsplit_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (purl, None),
    }
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let purl = problems.keep(node.string())?;
    let (name, version) = parts(purl);
    let wanted = "a package URL, as in pkg:npm/%40acme/shop or pkg:pypi/shop@1.4.2";
    let is_plain = !purl.contains(['*', '?', '#']) && version != Some("") && !name.contains('@');
    if !name.starts_with("pkg:") || !name.contains('/') || name.ends_with('/') || !is_plain {
        problems.push(
            node.mismatch(wanted).fix("write type and name, and a namespace's `@` as `%40`; no pattern"),
        );
        return None;
    }
    let version = version.map(str::to_owned);
    Some(Box::new(Package { name: name.to_owned(), version, place: node.place.clone() }))
}

impl Order for Package {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let is_more = self.name != other.name || (other.version.is_some() && self.version != other.version);
        is_more.then(|| Beyond::only(format!("what is the package {}", self.shown()))).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("what is not the package {}", self.shown())
    }
}

impl Package {
    fn shown(&self) -> String {
        let version = self.version.as_deref().map(|v| format!("@{v}")).unwrap_or_default();
        format!("{}{version}", self.name)
    }

    fn is(&self, purl: &str) -> bool {
        let (name, version) = parts(purl);
        name == self.name && (self.version.is_none() || version == self.version.as_deref())
    }
}

impl Check for Package {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let finding = |message: &str, found: &str, fix: &str| {
            Finding::new(RULE.name, message, fix).wanted(&self.shown(), &self.place).found(found)
        };
        let known = known_packages(facts);
        if known.is_empty() {
            let fix = "submit the registry's publish attestation, or provenance that names the package";
            return vec![
                finding("nothing says which package it is", "no package URL", fix)
                    .or("have a releaser release it: portcullis attest release ARTIFACT --purl PURL --for ENVIRONMENT --key RELEASER.key"),
            ];
        }
        let others = known.into_iter().filter(|(purl, _)| !self.is(purl));
        let message = |purl: &str| {
            if parts(purl).0 == self.name {
                "it is another version of the package than the policy allows"
            } else {
                "it is another package than the policy allows"
            }
        };
        let fix = format!("deploy {}", self.shown());
        others.map(|(purl, from)| finding(message(&purl), &purl, &fix).within(&from)).collect()
    }
}

/// Every package URL that somebody who counts gave the artifact, and where it stands.
fn known_packages(facts: &Facts<'_>) -> Vec<(String, String)> {
    let artifact = facts.case().artifact();
    let mut known = Vec::new();
    if let Some(judged) = facts.provenance() {
        let packages = judged.evidence.attestation().statement().packages(artifact);
        known.extend(packages.into_iter().map(|purl| (purl, describe(judged.evidence))));
    }
    for evidence in facts.about_artifact() {
        let Predicate::Release(release) = evidence.predicate() else { continue };
        if evidence.signers_with(Role::Releaser).next().is_some() {
            known.push((release.purl.clone(), describe(evidence)));
        }
    }
    known
}
