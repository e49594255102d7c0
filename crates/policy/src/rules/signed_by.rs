//! The chapter's simplest policy: signed by one of these keys; or by so many of them.

use std::collections::BTreeSet;

use attest::yaml::{Fields, Node, Problems, Value};
use attest::{Object, Place, Predicate};

use crate::facts::{Facts, describe};
use crate::finding::Finding;
use crate::rule::{
    Beyond, Check, NameKind, NameUse, Order, Rule, and_list, any_of, list_schema, names_beyond, names_of,
    object_schema, or_list, read_names,
};

pub(crate) const RULE: Rule = Rule {
    name: "signed-by",
    key: "signed-by",
    summary: "somebody who is listed signed the artifact, or so many of those who are",
    docs: "Met where at least one submitted attestation or signature about the artifact is signed by one of the listed \
           names, whatever it says (a failed test, too; but not a breakglass grant) and whatever role the name holds. This is the chapter's simplest policy: one check \
           that is all three steps. With `at-least` it is a quorum: so many different names of `of` must have signed, in one \
           piece of evidence or in several. A name is one, however many of its keys signed. \
           A policy must have `signed-by`, `built-by` or `verified-by`.",
    example: "signed-by: { at-least: 2, of: [alice, bob, carol] }",
    threats: &["T5", "T15"],
    reads_provenance: false,
    read: Some(read),
    schema: || any_of(vec![list_schema(), quorum_schema()]),
};

/// More than any group of people that signs one thing.
const MOST: u64 = 64;

#[derive(Debug)]
struct SignedBy {
    names: Vec<NameUse>,
    /// How many of them; 1 where a list stands alone.
    at_least: usize,
    place: Place,
}

fn quorum_schema() -> attest::Json {
    let at_least = Object::new().with("type", "integer").with("minimum", 1_i64);
    let at_least = at_least.with("maximum", i64::try_from(MOST).unwrap_or(i64::MAX)).into();
    object_schema(&[("at-least", at_least), ("of", list_schema())], &["at-least", "of"])
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    if !matches!(node.value, Value::Map(_)) {
        let names = read_names(node, NameKind::Signer, problems)?;
        let place = names.first().map_or_else(|| node.place.clone(), |first| first.place.clone());
        return Some(Box::new(SignedBy { names, at_least: 1, place }));
    }
    let fields = Fields::read(node, "`signed-by`", &["at-least", "of"], problems)?;
    let (at_least, of) = (fields.required("at-least", problems), fields.required("of", problems));
    let names = read_names(of?, NameKind::Signer, problems)?;
    // more than there are would be a policy that nothing meets
    let most = u64::try_from(names.len()).unwrap_or(MOST).min(MOST);
    let at_least = problems.keep(at_least?.number(1, most))?;
    let at_least = usize::try_from(at_least).unwrap_or(usize::MAX);
    Some(Box::new(SignedBy { names, at_least, place: node.place.clone() }))
}

impl Order for SignedBy {
    /// Whoever signs here and counts less there: as few as possible of those who count in both.
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let more = names_of(&self.names).into_iter().filter(|n| !names_of(&other.names).contains(n)).count();
        if self.at_least.saturating_sub(more) >= other.at_least {
            return Vec::new();
        }
        let words = match (names_beyond(&self.names, &other.names), self.at_least, other.at_least) {
            (Some(names), 1, 1) => format!("what only {names} signed"),
            _ => format!("what {} signed, and not {}", self.whom(), other.whom()),
        };
        vec![Beyond::only(words)]
    }

    fn outside(&self) -> String {
        format!("what was not signed by {}", self.whom())
    }
}

impl SignedBy {
    fn whom(&self) -> String {
        match self.at_least {
            1 => or_list(&names_of(&self.names)),
            all if all == self.names.len() => and_list(&names_of(&self.names)),
            some => format!("{some} of {}", and_list(&names_of(&self.names))),
        }
    }

    fn missing(&self, signed: &BTreeSet<&str>, evidence: &[attest::Evidence]) -> Finding {
        let found: Vec<String> = evidence.iter().map(describe).collect();
        let found =
            if found.is_empty() { "no evidence about this artifact".to_owned() } else { found.join("; ") };
        let left: Vec<&str> = names_of(&self.names).into_iter().filter(|n| !signed.contains(n)).collect();
        let (message, fix) = match self.at_least.saturating_sub(signed.len()) {
            _ if self.at_least == 1 => (
                "not signed by anybody the policy lists".to_owned(),
                format!("have it signed by {}", or_list(&left)),
            ),
            more => (
                format!("signed by {} of the {} that the policy asks for", signed.len(), self.at_least),
                format!("have it signed by {more} more, of {}", or_list(&left)),
            ),
        };
        let wanted = match self.at_least {
            1 => format!("a signature by {}", self.whom()),
            _ => format!("signatures by {}", self.whom()),
        };
        Finding::new(RULE.name, &message, &fix)
            .wanted(&wanted, &self.place)
            .found(&found)
            .or(&format!("allow another signer: add it at {}, and have it reviewed", self.place))
    }
}

impl Check for SignedBy {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let evidence = facts.about_artifact();
        // a breakglass grant says that the policy is not met: it must not meet it
        let vouches = |e: &&attest::Evidence| {
            !matches!(e.predicate(), Predicate::Breakglass(_) | Predicate::BreakglassReview(_))
        };
        let has_signed = |name: &&str| evidence.iter().filter(vouches).any(|e| e.is_signed_by(name));
        let signed: BTreeSet<&str> = names_of(&self.names).into_iter().filter(has_signed).collect();
        if signed.len() >= self.at_least {
            return Vec::new();
        }
        vec![self.missing(&signed, evidence)]
    }

    fn names(&self) -> &[NameUse] {
        &self.names
    }
}
