//! Built from the branch that the policy lists.

use attest::Place;
use attest::yaml::{Node, Problems};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "source-branch",
    key: "source.branch",
    summary: "it was built from this branch",
    docs: "Met where the judged provenance says that `refs/heads/` and this name was built. A tag meets it only where \
           the builder read from the forge's event that it was pushed from this branch; a commit without a branch does not: the builder resolved the branch itself, and says so.",
    example: "source: { branch: main }",
    threats: &["T1", "T3"],
    reads_provenance: true,
    read: Some(read),
    schema: string_schema,
};

#[derive(Debug)]
struct SourceBranch {
    branch: String,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let branch = problems.keep(node.string())?;
    if branch.starts_with("refs/") || branch.contains('*') {
        problems.push(node.mismatch("the name of a branch").fix("write the name alone, as in `main`"));
        return None;
    }
    Some(Box::new(SourceBranch { branch: branch.to_owned(), place: node.place.clone() }))
}

impl Order for SourceBranch {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let words = format!("what was built from the branch {}", self.branch);
        (self.branch != other.branch).then(|| Beyond::only(words)).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("what was not built from the branch {}", self.branch)
    }
}

impl Check for SourceBranch {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let finding = |message: &str, found: &str| {
            Finding::new(
                RULE.name,
                message,
                &format!("merge the change and build with --ref refs/heads/{}", self.branch),
            )
            .wanted(&format!("refs/heads/{}", self.branch), &self.place)
            .found(found)
        };
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        let source = provenance.source.as_ref();
        if source.and_then(|s| s.branch()) == Some(self.branch.as_str()) {
            return Vec::new();
        }
        let found = source.and_then(|s| s.reference.as_deref());
        vec![match found {
            Some(found) => {
                finding("built from another branch than the policy allows", found).within(&describe(evidence))
            }
            None => {
                let whose = provenance.producer().whose();
                finding(&format!("{whose} does not say which branch was built"), "no ref")
                    .within(&describe(evidence))
            }
        }]
    }
}
