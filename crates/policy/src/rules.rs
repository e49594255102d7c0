//! The table of rules. Its order is the order of findings: most useful first.
//!
//! Reference docs, `explain`, the JSON Schema and the threat map are all made from it. Adding a rule touches one
//! file, one line here, and its golden cases.

use crate::rule::Rule;

pub(crate) mod breakglass_grant;
pub(crate) mod built_by;
pub(crate) mod built_within;
mod command;
mod dependencies;
pub(crate) mod digest_required;
pub(crate) mod evidence;
mod format;
mod hermetic;
mod logged;
mod package;
pub(crate) mod parameters;
pub(crate) mod policy_missing;
mod range;
mod rebuilt;
mod released_for;
pub(crate) mod request_readable;
mod requested_by;
mod scanned;
mod signed_by;
mod source_branch;
mod source_level;
mod source_repository;
mod source_reviewed;
mod source_tag;
mod target;
mod tests;
mod tools;
mod verified_by;
mod version;
mod workflow;

pub use source_reviewed::SourceReviewed;
pub use version::{is_newer, released_versions};

/// Every rule, built-in ones included.
pub static ALL: [Rule; 33] = [
    digest_required::RULE,
    request_readable::RULE,
    policy_missing::RULE,
    breakglass_grant::RULE,
    evidence::READABLE,
    evidence::AUTHENTIC,
    evidence::APPLIES,
    evidence::UNAMBIGUOUS,
    signed_by::RULE,
    built_by::RULE,
    verified_by::RULE,
    source_repository::RULE,
    source_branch::RULE,
    source_tag::RULE,
    source_level::RULE,
    source_reviewed::RULE,
    target::RULE,
    workflow::RULE,
    parameters::RULE,
    command::RULE,
    hermetic::RULE,
    tools::RULE,
    dependencies::RULE,
    tests::RULE,
    released_for::RULE,
    version::RULE,
    package::RULE,
    built_within::RULE,
    scanned::RULE,
    rebuilt::RULE,
    format::RULE,
    logged::RULE,
    // people last: "Verify Artifacts, Not Just People"
    requested_by::RULE,
];

/// All rules in order.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    ALL.iter()
}

/// The rule of a name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Rule> {
    all().find(|r| r.name == name)
}

/// The rule of a key under `require`.
pub(crate) fn by_key(key: &str) -> Option<&'static Rule> {
    all().find(|r| r.key == key && r.read.is_some())
}

/// The place of a rule in the order.
pub(crate) fn rank(name: &str) -> usize {
    all().position(|r| r.name == name).unwrap_or(usize::MAX)
}
