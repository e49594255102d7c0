//! The provenance is in a format that is new enough.

use attest::Place;
use attest::yaml::{Node, Problems};

use super::range;
use super::version::read_range;
use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "format",
    key: "format",
    summary: "the provenance is in a format that is new enough",
    docs: "Met where the version of the judged provenance's format is in the range. SLSA Provenance v1 is 1.0.0, v0.2 is \
           0.2.0; a JWT says it in `fmt`, and is 1.0.0 without. Chapter 14: so that the format can change without being \
           susceptible to rollback.",
    example: "format: \">=1\"",
    threats: &["T8"],
    reads_provenance: true,
    read: Some(read),
    schema: string_schema,
};

#[derive(Debug)]
struct Format {
    range: semver::VersionReq,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    Some(Box::new(Format { range: problems.keep(read_range(node))?, place: node.place.clone() }))
}

impl Order for Format {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let example = range::beyond(&self.range, &other.range);
        let words = |v| {
            format!("provenance of a format in {} that is not in {}, such as {v}", self.range, other.range)
        };
        example.map(|v| Beyond::only(words(v))).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("provenance of a format outside of {}", self.range)
    }
}

impl Check for Format {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let finding = |message: &str, found: &str| {
            Finding::new(RULE.name, message, "build it again with a current builder")
                .wanted(&format!("format {}", self.range), &self.place)
                .found(found)
        };
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        let dots = provenance.format.matches('.').count();
        let full = format!("{}{}", provenance.format, ".0".repeat(2_usize.saturating_sub(dots)));
        match semver::Version::parse(&full) {
            Ok(version) if self.range.matches(&version) => Vec::new(),
            _ => vec![
                finding("the provenance is in an older format than the policy allows", &provenance.format)
                    .within(&describe(evidence)),
            ],
        }
    }
}
