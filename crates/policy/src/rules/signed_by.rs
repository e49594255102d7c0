//! The chapter's simplest policy: signed by one of these keys.

use attest::Predicate;
use attest::yaml::{Node, Problems};

use crate::facts::{Facts, describe};
use crate::finding::Finding;
use crate::rule::{
    Beyond, Check, NameKind, NameUse, Order, Rule, list_schema, names_beyond, names_of, or_list, read_names,
};

pub(crate) const RULE: Rule = Rule {
    name: "signed-by",
    key: "signed-by",
    summary: "somebody who is listed signed the artifact",
    docs: "Met where at least one submitted attestation or signature about the artifact is signed by one of the listed \
           names, whatever it says (a failed test, too; but not a breakglass grant) and whatever role the name holds. This is the chapter's simplest policy: one check \
           that is all three steps. A policy must have `signed-by` or `built-by`.",
    example: "signed-by: [release-key]",
    threats: &["T5"],
    reads_provenance: false,
    read: Some(read),
    schema: list_schema,
};

#[derive(Debug)]
struct SignedBy(Vec<NameUse>);

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    Some(Box::new(SignedBy(read_names(node, NameKind::Signer, problems)?)))
}

impl Order for SignedBy {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let more = names_beyond(&self.0, &other.0);
        more.map(|names| Beyond::only(format!("what only {names} signed"))).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("what was not signed by {}", or_list(&names_of(&self.0)))
    }
}

impl Check for SignedBy {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let evidence = facts.about_artifact();
        // a breakglass grant says that the policy is not met: it must not meet it
        let vouches = |e: &&attest::Evidence| !matches!(e.predicate(), Predicate::Breakglass(_));
        if evidence.iter().filter(vouches).any(|e| self.0.iter().any(|n| e.is_signed_by(&n.name))) {
            return Vec::new();
        }
        let Some(first) = self.0.first() else { return Vec::new() };
        let found: Vec<String> = evidence.iter().map(describe).collect();
        let found =
            if found.is_empty() { "no evidence about this artifact".to_owned() } else { found.join("; ") };
        let names = or_list(&names_of(&self.0));
        vec![
            Finding::new(
                RULE.name,
                "not signed by anybody the policy lists",
                &format!("have it signed by {names}"),
            )
            .wanted(&format!("a signature by {names}"), &first.place)
            .found(&found)
            .or(&format!("allow another signer: add it at {}, and have it reviewed", first.place)),
        ]
    }

    fn names(&self) -> &[NameUse] {
        &self.0
    }
}
