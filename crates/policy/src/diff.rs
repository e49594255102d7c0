//! What a change of the book newly admits and newly refuses.
//!
//! The language is closed, so this is computed from the two books alone, and holds for every case and every trust root.
//! Both books are cut into regions in which one policy stands against one other, or against nobody; in each region the
//! rules in force are compared, for each span of time in which they stay the same ([`crate::rule::Order`]).
//!
//! What no statement covers is decided alike by both books. The other way round, a statement says that there is
//! something of the kind, as far as its rule is concerned: other rules may stop it.

use attest::{Json, Object};
use jiff::Timestamp;

use crate::book::Book;
use crate::guardrail::Guardrails;

mod force;
mod guardrails;
mod judged;
mod region;
mod setting;
mod statement;

pub use guardrails::GuardrailChange;
pub use region::Region;
pub use statement::{Flip, Kind, Statement, Threats};

/// What changes between two books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    statements: Vec<Statement>,
    guardrails: Vec<GuardrailChange>,
    /// The environments that the two books name.
    environments: Vec<String>,
}

/// Compares two books, over all times.
#[must_use]
pub fn diff(old: &Book, new: &Book) -> Difference {
    let mut statements = Vec::new();
    for before in old.policies() {
        for after in new.policies() {
            if let Some(region) = Region::common(before, after) {
                statements.extend(setting::compare(before, after, &region));
                statements.extend(force::compare(before, after, &region));
            }
        }
    }
    for before in old.policies() {
        statements.extend(Region::left_over(before, new).map(|r| setting::no_longer_guarded(before, r)));
    }
    for after in new.policies() {
        statements.extend(Region::left_over(after, old).map(|r| setting::newly_guarded(after, r)));
    }
    statements.sort_by(|a, b| a.order().cmp(&b.order()));
    let all = old.policies().iter().chain(new.policies());
    let mut environments: Vec<String> = all.map(|p| p.environment().text.clone()).collect();
    environments.sort_unstable();
    environments.dedup();
    Difference { statements, guardrails: Vec::new(), environments }
}

impl Difference {
    /// The same with what changes in the guardrails: rules about what a book may say, which decide nothing themselves.
    #[must_use]
    pub fn with_guardrails(mut self, old: &Guardrails, new: &Guardrails) -> Self {
        self.guardrails = guardrails::compare(old, new);
        self
    }

    /// What of it matters from a time on.
    #[must_use]
    pub fn since(mut self, at: Timestamp) -> Self {
        self.statements.retain(|s| s.until.is_none_or(|until| until > at));
        for statement in &mut self.statements {
            statement.from = statement.from.filter(|from| *from > at);
        }
        self
    }

    /// What of it is about an environment: a name, or a pattern of which some name must be meant.
    #[must_use]
    pub fn within(mut self, environment: &str) -> Self {
        self.statements.retain(|s| s.region.reaches(environment));
        self.environments.retain(|named| region::meet(named, environment).is_some());
        self
    }

    /// All statements, by region.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The environments that the two books name.
    #[must_use]
    pub fn environments(&self) -> &[String] {
        &self.environments
    }

    /// What changes in the guardrails.
    #[must_use]
    pub fn guardrails(&self) -> &[GuardrailChange] {
        &self.guardrails
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.guardrails.is_empty()
    }

    /// Whether something is newly admitted. Where not, whatever the new book admits, the old one admits too.
    #[must_use]
    pub fn admits(&self) -> bool {
        self.statements.iter().any(|s| s.kind == Kind::Admits)
    }

    /// Whether something is newly refused.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.statements.iter().any(|s| s.kind == Kind::Refuses)
    }

    /// One line: `3 environments: newly admits in 1, newly refuses in 2`.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |kind| {
            let of_kind = self.statements.iter().filter(|s| s.kind == kind);
            let mut environments: Vec<&str> = of_kind.map(|s| s.region.environment.as_str()).collect();
            environments.sort_unstable();
            environments.dedup();
            environments.len()
        };
        let kinds = [Kind::Admits, Kind::Refuses, Kind::Otherwise];
        let counted = kinds.into_iter().map(|kind| (kind, count(kind))).filter(|(_, n)| *n > 0);
        let mut parts: Vec<String> = counted.map(|(kind, n)| format!("{} in {n}", kind.words())).collect();
        if parts.is_empty() {
            parts.push("nothing changes".to_owned());
        }
        match self.guardrails.len() {
            0 => {}
            1 => parts.push("1 guardrail changes".to_owned()),
            n => parts.push(format!("{n} guardrails change")),
        }
        let s = if self.environments.len() == 1 { "" } else { "s" };
        format!("{} environment{s}: {}", self.environments.len(), parts.join(", "))
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Object::new()
            .with("summary", self.summary())
            .with("admits", self.admits())
            .with("refuses", self.refuses())
            .with("statements", Json::Array(self.statements.iter().map(Statement::to_json).collect()))
            .with("guardrails", Json::Array(self.guardrails.iter().map(GuardrailChange::to_json).collect()))
            .into()
    }
}
