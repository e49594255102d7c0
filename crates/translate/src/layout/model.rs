//! What a layout says.

use std::collections::BTreeMap;

use attest::PublicKey;
use jiff::Timestamp;

use super::key::KeyRefused;
use super::rule::Rule;

/// A layout, unproven.
#[derive(Clone, Debug)]
pub struct Layout {
    /// From when on it counts no more.
    pub expires: Timestamp,
    /// The steps in their order, at least one; their names are unique, inspections' among them.
    pub steps: Vec<Step>,
    /// What a verifier would have to run.
    pub inspections: Vec<Inspection>,
    /// Functionaries' keys by the ids that steps call them by.
    pub keys: BTreeMap<String, LayoutKey>,
    /// Whether it names certificate authorities (ITE-7).
    pub has_authorities: bool,
}

/// A key of a layout: usable, or with a reason why not.
pub type LayoutKey = Result<PublicKey, KeyRefused>;

/// A step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name, which is also part of its links' file names.
    pub name: String,
    /// Who may do it: ids in [`Layout::keys`].
    pub pubkeys: Vec<String>,
    /// How many of them must have done it, from 1.
    pub threshold: usize,
    /// What they should have run; empty where nothing is asked.
    pub command: Vec<String>,
    /// Rules about what went in.
    pub materials: Vec<Rule>,
    /// Rules about what came out.
    pub products: Vec<Rule>,
    /// Whether others may do it by certificate (ITE-7).
    pub has_constraints: bool,
}

/// An inspection. It is never run; one that only unpacks the artifact is read instead.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its name.
    pub name: String,
    /// What would be run.
    pub run: Vec<String>,
    /// Rules about what went in.
    pub materials: Vec<Rule>,
    /// Rules about what came out.
    pub products: Vec<Rule>,
}
