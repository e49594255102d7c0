//! Built from the tag that the policy lists.

use attest::Place;
use attest::yaml::{Node, Problems};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "source-tag",
    key: "source.tag",
    summary: "it was built from this tag",
    docs: "Met where the judged provenance says that `refs/tags/` and exactly this name was built. A branch does not meet \
           it, and neither does a tag that begins alike; `version` compares tags as versions.",
    example: "source: { tag: v1.4.2 }",
    threats: &["T1", "T3"],
    reads_provenance: true,
    read: Some(read),
    schema: string_schema,
};

#[derive(Debug)]
struct SourceTag {
    tag: String,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let tag = problems.keep(node.string())?;
    if tag.starts_with("refs/") || tag.contains('*') {
        problems.push(
            node.mismatch("the name of a tag")
                .fix("write the name alone, as in `v1.4.2`; `version` takes a range"),
        );
        return None;
    }
    Some(Box::new(SourceTag { tag: tag.to_owned(), place: node.place.clone() }))
}

impl Order for SourceTag {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let words = format!("what was built from the tag {}", self.tag);
        (self.tag != other.tag).then(|| Beyond::only(words)).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("what was not built from the tag {}", self.tag)
    }
}

impl Check for SourceTag {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        let finding = |message: &str, found: &str| {
            let fix = match provenance.is_foreign() {
                true => format!("run the build again on the tag {}", self.tag),
                false => format!("build the tag: portcullis build … --ref refs/tags/{}", self.tag),
            };
            Finding::new(RULE.name, message, &fix)
                .wanted(&format!("refs/tags/{}", self.tag), &self.place)
                .found(found)
        };
        let source = provenance.source.as_ref();
        if source.and_then(|s| s.tag()) == Some(self.tag.as_str()) {
            return Vec::new();
        }
        let finding = match source.and_then(|s| s.reference.as_deref()) {
            Some(found) => finding("built from something else than the tag that the policy allows", found),
            None => {
                let whose = provenance.producer().whose();
                finding(&format!("{whose} does not say which tag was built"), "no ref")
            }
        };
        vec![finding.within(&describe(evidence))]
    }
}
