//! The workflow, the machine and the event that the policy lists made it.

use attest::yaml::{Fields, Node, Problems};
use attest::{Attestation, Place, Provenance};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, list_schema, object_schema, or_list, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "workflow",
    key: "workflow",
    summary: "this workflow made it, on this kind of machine, for one of these reasons",
    docs: "`file` is the path of the workflow in the source repository, `runner` the kind of machine (`github-hosted`, \
           `self-hosted`), `trigger` the events that may have begun the run; at least one of the three. Each is read from the \
           certificate that signed the judged provenance, where that says it, and else from the provenance: its target \
           for the file. Met where each that is given is said, and is exactly this, or one of these. A manual start is \
           an event like others: leave it out of `trigger` where the producer does not say what it was given.",
    example: "workflow: { file: .github/workflows/release.yml, runner: github-hosted, trigger: [push, release] }",
    threats: &["T3", "T9", "T11"],
    reads_provenance: true,
    read: Some(read),
    schema: || {
        object_schema(
            &[("file", string_schema()), ("runner", string_schema()), ("trigger", list_schema())],
            &[],
        )
    },
};

/// What may be asked of each part, in the order in which it is told.
const PARTS: [(&str, &str, &str); 3] = [
    ("file", "made by another workflow than the policy allows", "which workflow made it"),
    ("runner", "made on another kind of machine than the policy allows", "on what kind of machine it ran"),
    ("trigger", "begun by something else than the policy allows", "what began it"),
];

#[derive(Debug)]
struct Workflow {
    file: Vec<String>,
    runner: Vec<String>,
    trigger: Vec<String>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let fields = Fields::read(node, "`workflow`", &["file", "runner", "trigger"], problems)?;
    let mut text = |key: &str| match fields.optional(key) {
        Some(node) => problems.keep(node.string()).map(|t| vec![t.to_owned()]),
        None => Some(Vec::new()),
    };
    let (file, runner) = (text("file")?, text("runner")?);
    let trigger = match fields.optional("trigger") {
        Some(node) => problems.keep(node.strings())?.into_iter().map(|(word, _)| word).collect(),
        None => Vec::new(),
    };
    let workflow = Workflow { file, runner, trigger, place: node.place.clone() };
    if PARTS.iter().all(|(part, ..)| workflow.wanted(part).is_empty()) {
        problems.push(node.mismatch("file, runner or trigger").found("none of them"));
        return None;
    }
    Some(Box::new(workflow))
}

impl Workflow {
    fn wanted(&self, part: &str) -> &[String] {
        match part {
            "file" => &self.file,
            "runner" => &self.runner,
            _ => &self.trigger,
        }
    }

    fn shown(&self, part: &str) -> String {
        match self.wanted(part) {
            [] => format!("any {part}"),
            some => format!("{part} {}", or_list(some)),
        }
    }
}

impl Order for Workflow {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let is_more = |part: &str| {
            let (here, there) = (self.wanted(part), other.wanted(part));
            !there.is_empty() && (here.is_empty() || here.iter().any(|word| !there.contains(word)))
        };
        let words = |part: &str| format!("what was made with {}", self.shown(part));
        let parts = PARTS.iter().map(|(part, ..)| *part).filter(|part| is_more(part));
        parts.map(|part| Beyond::by(part, words(part))).collect()
    }

    fn outside(&self) -> String {
        let given = PARTS.iter().map(|(part, ..)| *part).filter(|part| !self.wanted(part).is_empty());
        let shown: Vec<String> = given.map(|part| self.shown(part)).collect();
        format!("what was not made with {}", crate::rule::and_list(&shown))
    }
}

impl Check for Workflow {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        let mut findings = Vec::new();
        for (part, other, silence) in PARTS {
            let wanted = self.wanted(part);
            let said = said(part, provenance, evidence.attestation());
            if wanted.is_empty() || said.as_ref().is_some_and(|said| wanted.contains(said)) {
                continue;
            }
            let fix = format!("run it again with {}", self.shown(part));
            let (message, found) = match said {
                Some(said) => (other.to_owned(), format!("{part} {said}")),
                None => {
                    let whose = provenance.producer().whose();
                    (format!("{whose} does not say {silence}"), format!("no {part}"))
                }
            };
            let finding = Finding::new(RULE.name, &message, &fix).wanted(&self.shown(part), &self.place);
            findings.push(finding.found(&found).within(&describe(evidence)));
        }
        findings
    }
}

/// What is said of a part: by the certificate, which nobody writes, before the provenance.
fn said(part: &str, provenance: &Provenance, attestation: &Attestation) -> Option<String> {
    let certificate = attestation.certificate();
    let (certified, claimed) = match part {
        "file" => (attestation.workflow_file(), provenance.target.as_deref()),
        "runner" => (certificate.and_then(|c| c.runner()), provenance.runner.as_deref()),
        _ => (certificate.and_then(|c| c.trigger()), provenance.trigger.as_deref()),
    };
    // a certificate that names a workflow elsewhere is not silent
    let is_elsewhere = part == "file" && certificate.is_some_and(|c| c.workflow().is_some());
    certified.or(claimed.filter(|_| !is_elsewhere)).map(str::to_owned)
}
