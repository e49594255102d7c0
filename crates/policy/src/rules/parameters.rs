//! Nobody chose anything about the build that the policy does not list.

use std::collections::BTreeSet;

use attest::yaml::{Node, Problems};
use attest::{Json, Object, Place};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, and_list};

pub(crate) const RULE: Rule = Rule {
    name: "parameters",
    key: "parameters",
    summary: "every parameter of the build is one that is listed, with its value",
    docs: "External parameters that source and target consume are taken out first. Met where what is left are exactly \
           the listed parameters with exactly the listed texts; an unknown one, a missing one and another value each \
           refuse. A parameter that is no text is compared by its compact JSON. In a policy with `built-by`, omitting \
           the rule means `parameters: {}`. Chapter 14: GCC's `-D` flag can change the behaviour of a binary \
           completely.",
    example: "parameters: { flavour: release }",
    threats: &["T11"],
    reads_provenance: true,
    read: Some(read),
    schema: || {
        let text = Object::new().with("type", "string");
        Object::new().with("type", "object").with("additionalProperties", text).into()
    },
};

#[derive(Debug)]
struct Parameters {
    listed: Vec<(String, String, Place)>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let mut listed = Vec::new();
    for (name, key, value) in problems.keep(node.entries())? {
        listed.push((name.to_owned(), problems.keep(value.string())?.to_owned(), key.place.clone()));
    }
    Some(Box::new(Parameters { listed, place: node.place.clone() }))
}

/// The rule where a policy with `built-by` does not write it.
pub(crate) fn none_allowed(place: &Place) -> Box<dyn Check> {
    Box::new(Parameters { listed: Vec::new(), place: place.clone() })
}

impl Order for Parameters {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        (self.pairs() != other.pairs())
            .then(|| Beyond::only(format!("what was built with {}", self.shown())))
            .into_iter()
            .collect()
    }

    fn outside(&self) -> String {
        format!("what was not built with exactly {}", self.shown())
    }
}

impl Check for Parameters {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        let text = |value: &Json| match value {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut findings = Vec::new();
        for (name, value) in provenance.parameters.iter() {
            let found = format!("{name} = {}", text(value));
            match self.listed.iter().find(|(listed, ..)| listed == name) {
                None => findings.push(
                    Finding::new(
                        RULE.name,
                        &format!("the build was given a parameter that the policy does not list: {name}"),
                        &format!("build again without the parameter {name}"),
                    )
                    .wanted(&self.listed_names(), &self.place)
                    .found(&found)
                    .or(&format!(
                        "allow it: add `{name}` under `parameters` at {}, and have it reviewed",
                        self.place
                    )),
                ),
                Some((_, wanted, _)) if text(value) == *wanted => {}
                Some((_, wanted, place)) => findings.push(
                    Finding::new(
                        RULE.name,
                        &format!("the parameter {name} has another value than the policy allows"),
                        &format!("build again with {name}={wanted}"),
                    )
                    .wanted(&format!("{name} = {wanted}"), place)
                    .found(&found),
                ),
            }
        }
        for (name, value, place) in &self.listed {
            if provenance.parameters.get(name).is_none() {
                findings.push(
                    Finding::new(
                        RULE.name,
                        &format!("the build was not given the parameter {name}"),
                        &format!("build again with {name}={value}"),
                    )
                    .wanted(&format!("{name} = {value}"), place)
                    .found("no such parameter"),
                );
            }
        }
        findings.into_iter().map(|f| f.within(&describe(evidence))).collect()
    }
}

impl Parameters {
    fn pairs(&self) -> BTreeSet<(&str, &str)> {
        self.listed.iter().map(|(name, value, _)| (name.as_str(), value.as_str())).collect()
    }

    fn shown(&self) -> String {
        let pairs: Vec<String> = self.pairs().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() {
            return "no parameters".to_owned();
        }
        format!("the parameters {}", and_list(&pairs))
    }

    fn listed_names(&self) -> String {
        let names: Vec<&str> = self.listed.iter().map(|(name, ..)| name.as_str()).collect();
        if names.is_empty() { "no parameters".to_owned() } else { format!("only {}", and_list(&names)) }
    }
}
