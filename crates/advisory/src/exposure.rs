//! The seam for everybody who asks whether something is affected: one function over components, advisories and VEX.

use attest::claims::Severity;

use crate::component::Component;
use crate::database::{Certainty, Database, Match};
use crate::vex::{About, Statement, Status};

/// A component with one advisory about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The component.
    pub component: Component,
    /// The advisory.
    pub found: Match,
    /// What a trusted author says of it, the last word.
    pub vex: Option<Statement>,
}

impl Exposure {
    /// Whether a trusted author says that it does not matter here, or no longer.
    #[must_use]
    pub fn is_suppressed(&self) -> bool {
        self.vex.as_ref().is_some_and(|s| matches!(s.status, Status::NotAffected(_) | Status::Fixed))
    }

    /// Whether somebody must look: nothing suppresses it, and it is at least this bad, or nobody knows how bad.
    #[must_use]
    pub fn is_at_least(&self, worst: Severity) -> bool {
        !self.is_suppressed() && self.found.weight() >= worst
    }
}

/// Every advisory about every component: the worst first, certain ones before others, then by names.
#[must_use]
pub fn judge(components: &[Component], database: &Database, vex: &About<'_>) -> Vec<Exposure> {
    let mut exposures = Vec::new();
    for component in components {
        for found in database.affecting(component) {
            let vex = vex.last_word(component, &found).cloned();
            exposures.push(Exposure { component: component.clone(), found, vex });
        }
    }
    let rank = |e: &Exposure| {
        let certain = e.found.certainty == Certainty::Affected;
        let order = (std::cmp::Reverse(e.found.weight()), std::cmp::Reverse(certain));
        (e.is_suppressed(), order, e.component.label(), e.found.id.clone())
    };
    exposures.sort_by_cached_key(rank);
    exposures.dedup();
    exposures
}
