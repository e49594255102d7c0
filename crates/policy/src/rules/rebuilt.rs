//! Independent rebuilders got the same bytes from the same inputs.

use std::collections::BTreeSet;

use attest::yaml::{Fields, Node, Problems};
use attest::{Agreement, Object, Place, Predicate, Provenance, Role};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{
    Beyond, Check, NameKind, NameUse, Order, Rule, Whom, is_listed, list_schema, names_of, object_schema,
    or_list, read_names,
};

pub(crate) const RULE: Rule = Rule {
    name: "rebuilt",
    key: "rebuilt",
    summary: "independent rebuilders got the same artifact",
    docs: "A vote is another provenance than the judged one, about the artifact, that is signed by somebody who holds the role rebuilder (and stands in \
           `by`, where that is given), and that agrees with the judged provenance on the source (repository and \
           digests), the target, the command, the parameters, and the dependencies (the same URIs with the same \
           digests, in any order). Votes are counted by operator: two rebuilders of one operator are one vote. Met \
           where there are at least `at-least` votes, of which there can be no more than operators in the trust root.",
    example: "rebuilt: { at-least: 2, by: [rebuilder-eu, rebuilder-us, rebuilder-lab] }",
    threats: &["T11"],
    reads_provenance: true,
    read: Some(read),
    schema: || {
        let count =
            Object::new().with("type", "integer").with("minimum", 1_i64).with("maximum", 100_i64).into();
        object_schema(&[("at-least", count), ("by", list_schema())], &["at-least"])
    },
};

#[derive(Debug)]
struct Rebuilt {
    at_least: u64,
    by: Vec<NameUse>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let fields = Fields::read(node, "`rebuilt`", &["at-least", "by"], problems)?;
    let count = fields.required("at-least", problems)?;
    let at_least = problems.keep(count.number(1, 100))?;
    let by = match fields.optional("by") {
        Some(node) => read_names(node, NameKind::Role(Role::Rebuilder), problems)?,
        None => Vec::new(),
    };
    if !by.is_empty() && usize::try_from(at_least).is_ok_and(|n| n > by.len()) {
        let error = count.mismatch(&format!("at most {}, the number of names in `by`", by.len()));
        problems.push(error.fix("list more rebuilders, or ask for fewer"));
        return None;
    }
    Some(Box::new(Rebuilt { at_least, by, place: node.place.clone() }))
}

impl Order for Rebuilt {
    /// Any name may be an operator of its own: as many votes of names that count here alone as there are, and of
    /// common names as many as are too few there.
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let (here, there) = (Whom::of(&self.by), Whom::of(&other.by));
        let own = here.count_beyond(&there);
        let too_few = other.at_least.saturating_sub(1);
        let common = here.count_common(&there).map_or(too_few, |n| n.min(too_few));
        if own.is_some_and(|own| own.saturating_add(common) < self.at_least) {
            return Vec::new();
        }
        let words = match here.beyond(&there) {
            Some(names) => format!("what at least {} operators rebuilt, {names} among them", self.at_least),
            None => format!("what only {} of {} operators rebuilt", other.at_least - 1, other.at_least),
        };
        vec![Beyond::only(words)]
    }

    fn outside(&self) -> String {
        match self.at_least {
            1 => "what no other operator rebuilt".to_owned(),
            n => format!("what fewer than {n} operators rebuilt"),
        }
    }
}

impl Check for Rebuilt {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let finding = |message: &str, found: &str| {
            let who = if self.by.is_empty() { "rebuilders".to_owned() } else { or_list(&names_of(&self.by)) };
            Finding::new(RULE.name, message, &format!("have it rebuilt by {who}, and submit their bundles"))
                .wanted(&format!("the same artifact from {} operators", self.at_least), &self.place)
                .found(found)
        };
        let Some(Judged { evidence: judged, provenance: original, .. }) = facts.provenance() else {
            return Vec::new();
        };
        let (mut operators, mut others) = (BTreeSet::new(), Vec::new());
        for evidence in facts.about_artifact() {
            let Predicate::Provenance(rebuild) = evidence.predicate() else { continue };
            // the judged build is no rebuild of itself, whoever cosigned it
            if evidence.attestation().envelope() == judged.attestation().envelope() {
                continue;
            }
            for signer in evidence.signers_with(Role::Rebuilder).filter(|s| is_listed(&self.by, &s.name)) {
                match difference(original, rebuild) {
                    None => {
                        operators.insert(signer.operator.clone().unwrap_or_default());
                    }
                    Some(what) => others.push(format!("{}, from another {what}", describe(evidence))),
                }
            }
        }
        let count = u64::try_from(operators.len()).unwrap_or(u64::MAX);
        if count >= self.at_least {
            return Vec::new();
        }
        let others = if others.is_empty() { String::new() } else { format!("; {}", others.join("; ")) };
        vec![finding("too few independent rebuilds agree", &format!("{count} of {}{others}", self.at_least))]
    }

    fn names(&self) -> &[NameUse] {
        &self.by
    }
}

/// In what a rebuild started from something else than the original.
fn difference(original: &Provenance, rebuild: &Provenance) -> Option<&'static str> {
    let source = |p: &Provenance| p.source.clone().map(|s| (s.repository, s.digests));
    let same_source = match (source(original), source(rebuild)) {
        (Some((a, x)), Some((b, y))) => a == b && x.agrees(&y) == Agreement::Same,
        _ => false,
    };
    let inputs = |p: &Provenance| {
        p.dependencies.iter().map(|d| (d.uri.clone(), d.digests.clone())).collect::<BTreeSet<_>>()
    };
    let parameters = |p: &Provenance| {
        p.parameters.iter().map(|(k, v)| (k.to_owned(), v.to_string())).collect::<BTreeSet<_>>()
    };
    if !same_source {
        Some("source")
    } else if original.target != rebuild.target {
        Some("target")
    } else if original.command != rebuild.command {
        Some("command")
    } else if parameters(original) != parameters(rebuild) {
        Some("set of parameters")
    } else if inputs(original) != inputs(rebuild) {
        Some("set of dependencies")
    } else {
        None
    }
}
