//! The build is recent enough.

use attest::Place;
use attest::time::Span;
use attest::yaml::{Node, Problems};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule};

pub(crate) const RULE: Rule = Rule {
    name: "built-within",
    key: "built-within",
    summary: "the build is recent enough",
    docs: "Met where the age of the build is at most the span. The age runs from the oldest of the times that are known: \
           when the provenance says that the build finished, and when a witness saw its signature. A build that claims \
           to have finished more than 60 s after the time of the case, or that does not say when, does not meet it. A day is 24 hours.",
    example: "built-within: 30d",
    threats: &["T8"],
    reads_provenance: true,
    read: Some(read),
    schema: span_schema,
};

/// The schema of a span of time.
pub(crate) fn span_schema() -> attest::Json {
    attest::Object::new().with("type", "string").with("pattern", "^[0-9]{1,6}[dhms]$").into()
}

/// Reads a span of time.
pub(crate) fn read_span(node: &Node) -> Result<Span, attest::LoadError> {
    let wanted = || node.mismatch("a span of time: a number and d, h, m or s, as in 30d");
    Span::parse(node.string()?).ok_or_else(wanted)
}

#[derive(Debug)]
struct BuiltWithin {
    span: Span,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    Some(Box::new(BuiltWithin { span: problems.keep(read_span(node))?, place: node.place.clone() }))
}

impl Order for BuiltWithin {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let words = format!("what was built more than {} ago, and at most {}", other.span, self.span);
        (self.span > other.span).then(|| Beyond::only(words)).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("what was built more than {} ago", self.span)
    }
}

impl Check for BuiltWithin {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let finding = |message: &str, found: &str| {
            Finding::new(RULE.name, message, "build the current commit again, and deploy that")
                .wanted(&format!("built within {}", self.span), &self.place)
                .found(found)
        };
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        let at = facts.case().at();
        let Some(finished) = provenance.finished else {
            return vec![
                finding("the provenance does not say when it was built", "no time")
                    .within(&describe(evidence)),
            ];
        };
        if Span::between(at, finished).as_seconds() > 60 {
            let found = format!("{finished}, and it is {at}");
            return vec![
                finding("the provenance says that the build is not finished yet", &found)
                    .within(&describe(evidence)),
            ];
        }
        let oldest = evidence.attestation().time().map_or(finished, |t| t.min(finished));
        let age = Span::between(oldest, at);
        if age <= self.span {
            return Vec::new();
        }
        let found = format!("built {oldest}, {age} ago");
        vec![finding("the build is too old", &found).within(&describe(evidence))]
    }
}
