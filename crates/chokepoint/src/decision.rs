//! What a choke point does about a verdict, and why.

use attest::{Json, Object};
use policy::{Mode, Outcome, Verdict};

/// Admit or reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The deployment may go on.
    Admit,
    /// It may not.
    Reject,
}

/// Why the answer is what it is. Auditors look for everything but [`Basis::Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The policy says so.
    Policy,
    /// The policy is in dry run: admitted whatever the verdict.
    DryRun,
    /// Nothing could be decided: rejected.
    CannotDecide,
}

impl Basis {
    /// The word in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::DryRun => "dry-run",
            Self::CannotDecide => "cannot-decide",
        }
    }
}

/// A decision: made only here, from a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    answer: Answer,
    basis: Basis,
    verdict: Verdict,
}

impl Decision {
    /// Decides. Without a policy there is no mode: nothing that nobody claimed is in dry run. What cannot be
    /// decided is rejected in every mode.
    pub(crate) fn of(verdict: Verdict, mode: Option<Mode>) -> Self {
        let (answer, basis) = match (verdict.outcome(), mode) {
            (Outcome::Met, _) => (Answer::Admit, Basis::Policy),
            (Outcome::Unmet, Some(Mode::DryRun)) => (Answer::Admit, Basis::DryRun),
            (Outcome::Unmet, Some(Mode::Enforce) | None) => (Answer::Reject, Basis::Policy),
            (Outcome::CannotDecide(_), _) => (Answer::Reject, Basis::CannotDecide),
        };
        Self { answer, basis, verdict }
    }

    /// Admit or reject.
    #[must_use]
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// Why.
    #[must_use]
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// What the policy says.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The word for the answer: `admit`, `reject` or `cannot-decide`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.answer, self.basis) {
            (_, Basis::CannotDecide) => "cannot-decide",
            (Answer::Admit, _) => "admit",
            (Answer::Reject, _) => "reject",
        }
    }

    /// The JSON form: what is logged, and what a replay must give again byte for byte.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Object::new()
            .with("decision", self.word())
            .with("basis", self.basis.name())
            .with("verdict", self.verdict.to_json())
            .into()
    }
}
