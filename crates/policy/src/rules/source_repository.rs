//! Built from the repository that the policy lists.

use attest::Place;
use attest::yaml::{Node, Problems};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "source-repository",
    key: "source.repository",
    summary: "it was built from this repository",
    docs: "Met where the judged provenance names exactly this source repository: the same text, without a `git+` in \
           front or a ref behind. No pattern, no case folding: a fork is another repository.",
    example: "source: { repository: \"https://github.com/acme/shop\" }",
    threats: &["T3", "T9"],
    reads_provenance: true,
    read: Some(read),
    schema: string_schema,
};

#[derive(Debug)]
struct SourceRepository {
    repository: String,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let repository = problems.keep(node.string())?.to_owned();
    if repository.contains('*') {
        problems.push(node.mismatch("one repository, without a pattern").fix("write the repository out"));
        return None;
    }
    Some(Box::new(SourceRepository { repository, place: node.place.clone() }))
}

impl Order for SourceRepository {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let words = format!("what was built from {}", self.repository);
        (self.repository != other.repository).then(|| Beyond::only(words)).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("what was not built from {}", self.repository)
    }
}

impl Check for SourceRepository {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        let finding = |message: &str, found: &str| {
            let mut fix = "rebuild from the allowed repository".to_owned();
            if !provenance.is_foreign() {
                let command =
                    format!("portcullis build {} --ref REF --target TARGET --out DIR", self.repository);
                fix = format!("{fix}: {command}");
            }
            Finding::new(RULE.name, message, &fix).wanted(&self.repository, &self.place).found(found)
        };
        match provenance.source.as_ref().map(|s| s.repository.as_str()) {
            Some(found) if found == self.repository => Vec::new(),
            Some(found) => vec![
                finding("built from another repository than the policy allows", found)
                    .within(&describe(evidence))
                    .or(&format!("allow the other one: add it at {}, and have it reviewed", self.place)),
            ],
            None => {
                let whose = provenance.producer().whose();
                let message = format!("{whose} does not say which repository it was built from");
                vec![finding(&message, "no source").within(&describe(evidence))]
            }
        }
    }
}
