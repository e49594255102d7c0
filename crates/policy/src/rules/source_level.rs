//! A verifier of sources says which SLSA Source level the commit has, and which properties, on the branch that was built.

use attest::claims::Summary;
use attest::provenance::Source;
use attest::yaml::{Fields, Node, Problems, Value};
use attest::{Evidence, LoadError, Object, Place, Predicate, Role};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, and_list, any_of, list_schema, object_schema, or_list};

pub(crate) const RULE: Rule = Rule {
    name: "source-level",
    key: "source.level",
    summary: "a verifier says that the commit has this SLSA Source level",
    docs: "Met where at least one verification summary (SLSA VSA v1) about the commit or tree that the judged provenance names \
           is signed by a name that holds the role verifier in the trust root, and all of this is true of it: (1) its \
           `verifier.id` is one of the `ids` that the trust root lists for one of these names that signed it; (2) its result \
           is PASSED, and FAILED is none of its levels; (3) its `resourceUri` is the repository that the provenance names, \
           or that with `git+` in front; (4) it has one subject, whose annotation `sourceRefs` (or `source_refs`) lists the \
           ref that the provenance names; (5) one of its levels is SLSA_SOURCE_LEVEL_N with an N from this level to 4; (6) \
           each of `properties` is exactly one of its levels, as in SLSA_SOURCE_TWO_PARTY_REVIEWED or the ORG_SOURCE_ words of \
           an organisation; (7) its `portcullis_expires`, where it has one, is not before the time of the case. A number alone \
           is `at-least` without properties. What a commit was when it came onto its branch does not age.",
    example: "source: { level: { at-least: 3, properties: [ORG_SOURCE_TESTED] } }",
    threats: &["T1", "T2", "T3"],
    reads_provenance: true,
    read: Some(read),
    schema: || {
        let number = || Object::new().with("type", "integer").with("minimum", 1_i64).with("maximum", 4_i64);
        let both =
            object_schema(&[("at-least", number().into()), ("properties", list_schema())], &["at-least"]);
        any_of(vec![number().into(), both])
    },
};

const HIGHEST: u64 = 4;
const LEVEL: &str = "SLSA_SOURCE_LEVEL_";

#[derive(Debug)]
struct SourceLevel {
    level: u64,
    properties: Vec<String>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    if !matches!(node.value, Value::Map(_)) {
        let level = problems.keep(node.number(1, HIGHEST))?;
        return Some(Box::new(SourceLevel { level, properties: Vec::new(), place: node.place.clone() }));
    }
    let fields = Fields::read(node, "`level`", &["at-least", "properties"], problems)?;
    let level = fields.required("at-least", problems)?;
    let mut properties = Vec::new();
    if let Some(node) = fields.optional("properties") {
        for (word, place) in problems.keep(node.strings())? {
            // a level has an order, and no property has
            if word.starts_with(LEVEL) {
                let wanted = "properties, as in SLSA_SOURCE_TWO_PARTY_REVIEWED and ORG_SOURCE_TESTED";
                let error = LoadError::new(&place, "a level is no property").wanted(wanted).found(&word);
                problems.push(error.fix("ask for the level with `at-least`"));
                return None;
            }
            properties.push(word);
        }
    }
    let level = problems.keep(level.number(1, HIGHEST))?;
    Some(Box::new(SourceLevel { level, properties, place: node.place.clone() }))
}

impl Order for SourceLevel {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let words = match other.level - self.level.min(other.level) {
            0 => None,
            1 => Some(format!("source of the SLSA Source level {}", self.level)),
            _ => Some(format!("source of the SLSA Source levels {} to {}", self.level, other.level - 1)),
        };
        let level = words.map(|words| Beyond::only(format!("what was built from {words}")));
        let missing = other.properties.iter().filter(|property| !self.properties.contains(property));
        let missing = missing.map(|property| {
            Beyond::by(property, format!("what was built from source that no verifier says is {property}"))
        });
        level.into_iter().chain(missing).collect()
    }

    fn outside(&self) -> String {
        let mut words =
            format!("what no verifier says was built from source of SLSA Source level {}", self.level);
        if !self.properties.is_empty() {
            words.push_str(&format!(" that is {}", and_list(&self.properties)));
        }
        words
    }
}

impl Check for SourceLevel {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let Some(Judged { provenance, .. }) = facts.provenance() else { return Vec::new() };
        let unknown = Source::default();
        let source = provenance.source.as_ref().unwrap_or(&unknown);
        let mut nearest: Option<Finding> = None;
        for evidence in facts.about_source() {
            let Predicate::Summary(summary) = evidence.predicate() else { continue };
            if evidence.signers_with(Role::Verifier).next().is_none() {
                continue;
            }
            match self.wrong(evidence, summary, source, facts) {
                None => return Vec::new(),
                Some(wrong) => nearest = nearest.or(Some(wrong.within(&describe(evidence)))),
            }
        }
        vec![nearest.unwrap_or_else(|| self.absent(source))]
    }
}

impl SourceLevel {
    fn finding(&self, message: &str, wanted: &str, found: &str) -> Finding {
        let fix = "submit the summary that the verifier of the repository made of the commit on its branch";
        Finding::new(RULE.name, message, fix).wanted(wanted, &self.place).found(found)
    }

    fn absent(&self, source: &Source) -> Finding {
        let commit = source.digests.first().map_or("a commit".to_owned(), |commit| commit.short());
        let wanted = format!(
            "a verification summary of SLSA_SOURCE_LEVEL_{} or higher, signed by a verifier",
            self.level
        );
        let message = "no verifier says which SLSA Source level the source has";
        self.finding(message, &wanted, &format!("no summary of {commit}"))
            .or("build a commit of a repository that a verifier of sources watches")
    }

    /// The first thing that is wrong with a summary of a verifier.
    fn wrong(
        &self,
        evidence: &Evidence,
        summary: &Summary,
        source: &Source,
        facts: &Facts<'_>,
    ) -> Option<Finding> {
        let signers = evidence.signers_with(Role::Verifier).filter_map(|s| facts.root().principal(&s.name));
        let ids: Vec<&str> = signers.flat_map(|p| &p.verifier_ids).map(String::as_str).collect();
        if !ids.contains(&summary.verifier.as_str()) {
            let wanted = if ids.is_empty() {
                "ids under `verifiers` in the trust root".to_owned()
            } else {
                or_list(&ids)
            };
            let message = "the summary claims a verifier that its signer may not speak for";
            return Some(self.finding(message, &format!("verifier.id {wanted}"), &summary.verifier));
        }
        if !summary.passed || summary.levels.iter().any(|level| level == "FAILED") {
            return Some(self.finding("the verifier says that the source failed", "PASSED", "FAILED"));
        }
        let resource = summary.resource.strip_prefix("git+").unwrap_or(&summary.resource);
        if resource != source.repository {
            let message = "the summary is for another repository than the one that was built";
            return Some(self.finding(message, &source.repository, &summary.resource));
        }
        let Some(reference) = &source.reference else {
            let message = "the provenance does not say which branch was built";
            return Some(self.finding(message, "a ref for which the summary is", "no ref"));
        };
        if !summary.source_refs.contains(reference) {
            let found = or_list(&summary.source_refs);
            let found = if found.is_empty() { "no sourceRefs" } else { &found };
            return Some(self.finding(
                "the summary is for another branch than the one that was built",
                reference,
                found,
            ));
        }
        if let Some(wrong) = self.unreached(&summary.levels) {
            return Some(wrong);
        }
        let at = facts.case().at();
        let expires = summary.expires.filter(|expires| *expires < at)?;
        let found = format!("it ended at {expires}, and it is {at}");
        Some(self.finding("the summary has expired", "a summary that has not ended", &found))
    }

    /// The level, or the properties, that a summary does not give.
    fn unreached(&self, levels: &[String]) -> Option<Finding> {
        let found = if levels.is_empty() { "no level".to_owned() } else { levels.join(", ") };
        if !levels.iter().any(|level| self.is_reached_by(level)) {
            let message = "the source has a lower SLSA Source level than is asked for";
            return Some(self.finding(message, &format!("{LEVEL}{} or higher", self.level), &found));
        }
        let missing: Vec<&String> = self.properties.iter().filter(|word| !levels.contains(word)).collect();
        let message = "the verifier does not say that the source has a property that is asked for";
        (!missing.is_empty()).then(|| self.finding(message, &and_list(&missing), &found))
    }

    fn is_reached_by(&self, level: &str) -> bool {
        let number = level.strip_prefix(LEVEL);
        (self.level..=HIGHEST).any(|n| number == Some(n.to_string().as_str()))
    }
}
