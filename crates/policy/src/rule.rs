//! What a rule is. One rule, one file below `rules/`; the table there generates reference, `explain` and schema.

use std::fmt;

use attest::yaml::{Node, Problems};
use attest::{Json, Object, Place, Role};

use crate::facts::Facts;
use crate::finding::Finding;

mod order;

pub use order::{Beyond, Compared, Order};
pub(crate) use order::{Whom, names_beyond};

/// Reads a rule's value; problems are told with their places.
pub type ReadRule = fn(&Node, &mut Problems) -> Option<Box<dyn Check>>;

/// A rule: its name says the good state.
pub struct Rule {
    /// Its name in messages, kebab-case; never changes once released.
    pub name: &'static str,
    /// Its key under `require`, `source.` in front where it stands under `source`; empty for built-in rules.
    pub key: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What exactly is met and unmet.
    pub docs: &'static str,
    /// An example as it stands in a policy.
    pub example: &'static str,
    /// The threats of THREATS.md that it mitigates.
    pub threats: &'static [&'static str],
    /// Whether it reads the judged provenance: then the policy must have `built-by`, which says whose to believe.
    pub reads_provenance: bool,
    /// Reads its value; nothing for built-in rules, which no policy can leave out.
    pub read: Option<ReadRule>,
    /// The JSON Schema of its value.
    pub schema: fn() -> Json,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A rule with its value, ready to judge. Pure and total: no clock, no I/O, no panic.
pub trait Check: Compared + fmt::Debug + Send + Sync {
    /// What is wrong; nothing where the rule is met.
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding>;

    /// The names of the trust root that the rule uses, and the role that each must hold.
    fn names(&self) -> &[NameUse] {
        &[]
    }

    /// How many approvals it asks for, where it asks for any.
    fn approvals(&self) -> Option<u64> {
        None
    }

    /// Whether more that a builder says counts for it, or against it, where `built-by` accepts that builder too.
    fn reads_builders(&self) -> bool {
        false
    }
}

/// A name of the trust root in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameUse {
    /// The name.
    pub name: String,
    /// What it must be there.
    pub kind: NameKind,
    /// Where it stands.
    pub place: Place,
}

/// What a name must be in the trust root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// Somebody who signs, whatever the role.
    Signer,
    /// Somebody who holds a role.
    Role(Role),
    /// A group of people.
    Group,
    /// A log.
    Log,
}

/// A rule as one policy requires it.
#[derive(Debug)]
pub struct Requirement {
    /// The rule.
    pub rule: &'static Rule,
    /// Where its value stands.
    pub place: Place,
    /// The rule with its value.
    pub check: Box<dyn Check>,
}

/// Reads a list of names of one kind.
pub(crate) fn read_names(node: &Node, kind: NameKind, problems: &mut Problems) -> Option<Vec<NameUse>> {
    let names = problems.keep(node.strings())?;
    Some(names.into_iter().map(|(name, place)| NameUse { name, kind, place }).collect())
}

/// Whether a signer may speak: it holds the role, and stands in `by` where that is not empty.
pub(crate) fn is_listed(by: &[NameUse], name: &str) -> bool {
    by.is_empty() || by.iter().any(|b| b.name == name)
}

/// `a, b and c`.
pub(crate) fn and_list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// `a, b or c`.
pub(crate) fn or_list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", first.join(", "), last.as_ref())
        }
    }
}

pub(crate) fn names_of(uses: &[NameUse]) -> Vec<&str> {
    uses.iter().map(|u| u.name.as_str()).collect()
}

/// The schema of a text.
pub(crate) fn string_schema() -> Json {
    Object::new().with("type", "string").with("minLength", 1_i64).into()
}

/// The schema of a list of texts.
pub(crate) fn list_schema() -> Json {
    Object::new()
        .with("type", "array")
        .with("items", string_schema())
        .with("minItems", 1_i64)
        .with("uniqueItems", true)
        .into()
}

/// The schema of a map with known keys.
pub(crate) fn object_schema(fields: &[(&str, Json)], required: &[&str]) -> Json {
    let properties: Object = fields.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let mut object = Object::new()
        .with("type", "object")
        .with("properties", properties)
        .with("additionalProperties", false);
    if !required.is_empty() {
        object.set("required", required.to_vec());
    }
    object.into()
}

/// The schema of one of several shapes.
pub(crate) fn any_of(schemas: Vec<Json>) -> Json {
    Object::new().with("anyOf", schemas).into()
}
