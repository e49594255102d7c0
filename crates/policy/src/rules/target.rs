//! The target that the policy lists was built.

use attest::Place;
use attest::yaml::{Node, Problems};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "target",
    key: "target",
    summary: "this target of the source was built",
    docs: "Met where the judged provenance says that exactly this target was built. One repository builds many things; \
           without this rule a test binary of the right repository would do.",
    example: "target: //shop:image",
    threats: &["T4", "T9"],
    reads_provenance: true,
    read: Some(read),
    schema: string_schema,
};

#[derive(Debug)]
struct Target {
    target: String,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let target = problems.keep(node.string())?.to_owned();
    Some(Box::new(Target { target, place: node.place.clone() }))
}

impl Order for Target {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let words = format!("what was built as the target {}", self.target);
        (self.target != other.target).then(|| Beyond::only(words)).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("what was not built as the target {}", self.target)
    }
}

impl Check for Target {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let finding = |message: &str, found: &str| {
            Finding::new(RULE.name, message, &format!("build with --target {}", self.target))
                .wanted(&self.target, &self.place)
                .found(found)
        };
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        match provenance.target.as_deref() {
            Some(found) if found == self.target => Vec::new(),
            Some(found) => vec![
                finding("another target was built than the policy allows", found)
                    .within(&describe(evidence))
                    .or(&format!("if it may be deployed here, change {}, and have it reviewed", self.place)),
            ],
            None => {
                let whose = provenance.producer().whose();
                let message = format!("{whose} does not say which target was built");
                vec![finding(&message, "no target").within(&describe(evidence))]
            }
        }
    }
}
