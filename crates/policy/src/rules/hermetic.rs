//! Every input was declared before the build.

use attest::Place;
use attest::yaml::{Node, Problems};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule};

pub(crate) const RULE: Rule = Rule {
    name: "hermetic",
    key: "hermetic",
    summary: "every input of the build was declared before it ran",
    docs: "Met where the judged provenance claims to be hermetic *and* the trust root grants that to this version of the \
           builder that `built-by` accepted; a build without a version is granted nothing. The claim alone is worth nothing: any builder can make it.",
    example: "hermetic: true",
    threats: &["T10", "T11"],
    reads_provenance: true,
    read: Some(read),
    schema: || attest::Object::new().with("const", true).into(),
};

#[derive(Debug)]
struct Hermetic(Place);

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    if !problems.keep(node.boolean())? {
        problems.push(node.mismatch("true").fix("leave the line out, if builds need not be hermetic"));
        return None;
    }
    Some(Box::new(Hermetic(node.place.clone())))
}

impl Order for Hermetic {
    /// It has one value. Which builder's word it is asked of is another matter: see `diff::judged`.
    fn beyond(&self, _other: &Self) -> Vec<Beyond> {
        Vec::new()
    }

    fn outside(&self) -> String {
        "what was not built hermetically".to_owned()
    }
}

impl Check for Hermetic {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let finding = |message: &str, found: &str, fix: &str| {
            Finding::new(RULE.name, message, fix)
                .wanted("a hermetic build, by a builder that the trust root grants it", &self.0)
                .found(found)
        };
        let Some(Judged { evidence, provenance, builder }) = facts.provenance() else { return Vec::new() };
        if !provenance.hermetic {
            let fix = "build with a builder that fetches every input by digest: portcullis build";
            return vec![
                finding("the build does not claim to be hermetic", "no claim", fix)
                    .within(&describe(evidence)),
            ];
        }
        let version = provenance.builder_version.as_deref();
        let parsed = version.and_then(|v| semver::Version::parse(v).ok());
        let builder = facts.root().principal(builder).and_then(|p| p.builder.as_ref());
        let granted = builder
            .zip(parsed.as_ref())
            .is_some_and(|(b, v)| b.hermetic.iter().any(|range| range.matches(v)));
        if granted {
            return Vec::new();
        }
        let found =
            format!("a claim by {}, version {}", evidence.signer_names(), version.unwrap_or("unknown"));
        let fix = "build with a version of the builder that the trust root grants it";
        vec![
            finding("the trust root does not grant this builder that its builds are hermetic", &found, fix)
                .within(&describe(evidence))
                .or("grant it: add the version under `hermetic` of the builder in the trust root, and have it reviewed"),
        ]
    }
}
