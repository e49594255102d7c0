//! Only listed toolchains took part in the build.

use attest::yaml::{Fields, Node, Problems};
use attest::{Digest, LoadError, Object, Place};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, and_list, object_schema, or_list, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "tools",
    key: "tools",
    summary: "every tool of the build is one that is listed, by identifier and digest",
    docs: "Met where the judged provenance names at least one dependency as a tool, and every one that it names has the \
           URI and the digest of a listed one.",
    example: "tools: [{ uri: \"toolchain:gcc-12\", digest: \"sha256:…\" }]",
    threats: &["T11"],
    reads_provenance: true,
    read: Some(read),
    schema: || {
        let tool =
            object_schema(&[("uri", string_schema()), ("digest", string_schema())], &["uri", "digest"]);
        Object::new().with("type", "array").with("items", tool).with("minItems", 1_i64).into()
    },
};

#[derive(Debug)]
struct Tools {
    listed: Vec<(String, Digest)>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let mut listed = Vec::new();
    for item in problems.keep(node.list())? {
        let fields = Fields::read(item, "a tool", &["uri", "digest"], problems)?;
        let uri = fields.required("uri", problems)?;
        let digest = fields.required("digest", problems)?;
        let text = problems.keep(digest.string())?;
        let parsed = Digest::parse(text).map_err(|e| {
            LoadError::new(&digest.place, &e.to_string())
                .fix("write sha256: and what `sha256sum FILE` prints")
        });
        listed.push((problems.keep(uri.string())?.to_owned(), problems.keep(parsed)?));
    }
    if listed.is_empty() {
        problems.push(node.mismatch("at least one tool").found("an empty list"));
        return None;
    }
    Some(Box::new(Tools { listed, place: node.place.clone() }))
}

impl Order for Tools {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let more: Vec<String> = self.listed.iter().filter(|t| !other.listed.contains(t)).map(shown).collect();
        let words = format!("what was built with {}", or_list(&more));
        (!more.is_empty()).then(|| Beyond::only(words)).into_iter().collect()
    }

    fn outside(&self) -> String {
        let listed: Vec<String> = self.listed.iter().map(shown).collect();
        format!("what was built with anything else than {}", and_list(&listed))
    }
}

fn shown((uri, digest): &(String, Digest)) -> String {
    format!("{uri} {}", digest.short())
}

impl Check for Tools {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let wanted: Vec<String> = self.listed.iter().map(shown).collect();
        let finding = |message: &str, found: &str| {
            Finding::new(RULE.name, message, "declare a listed tool in the build definition, and build again")
                .wanted(&wanted.join(", "), &self.place)
                .found(found)
        };
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        let tools: Vec<_> = provenance.dependencies.iter().filter(|d| d.is_tool).collect();
        if tools.is_empty() {
            return vec![finding("the provenance names no tools", "none").within(&describe(evidence))];
        }
        let is_allowed = |uri: &str, digests: &attest::DigestSet| {
            self.listed.iter().any(|(u, d)| u == uri && digests.get(d.algorithm()).as_ref() == Some(d))
        };
        tools
            .into_iter()
            .filter(|tool| !is_allowed(&tool.uri, &tool.digests))
            .map(|tool| {
                let digest = tool.digests.first().map_or("no digest".to_owned(), |d| d.to_string());
                finding("built with a tool that the policy does not list", &format!("{} {digest}", tool.uri))
                    .within(&describe(evidence))
                    .or(&format!("allow the tool: add it at {}, and have it reviewed", self.place))
            })
            .collect()
    }
}
