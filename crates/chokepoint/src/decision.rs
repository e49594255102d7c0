//! What a choke point does about a verdict, and why.

use attest::time::Span;
use attest::{Json, Object};
use policy::{Case, HeldGrant, Mode, OnOutage, Outage, Outcome, Policy, Standing, Verdict};

/// Two choke points' clocks may differ by so many seconds.
const TOLERANCE: i64 = 60;

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
    /// A person's breakglass grant holds: admitted whatever the verdict.
    Breakglass,
    /// A part of ours failed, and the policy admits then: admitted although nothing could be decided.
    Outage,
    /// It runs already: admitted although the policy is not met.
    Standing,
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
            Self::Breakglass => "breakglass",
            Self::Outage => "outage",
            Self::Standing => "standing",
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
    /// Which standing it is, where that is the basis.
    standing: Option<&'static str>,
    verdict: Verdict,
}

impl Decision {
    /// Decides, by the first of these that holds: the policy is met; a breakglass grant; an outage of ours under a policy
    /// that admits then; what runs already; dry run. Without a policy there is no mode, no outage that admits and nothing
    /// that is made again: nothing that nobody claimed is in dry run. What cannot be decided for another reason than an
    /// outage of ours is rejected in every mode. Where the decision log has no room, what stands or is in dry run is not
    /// admitted: its record would have no place but the one that is kept for grants and outages.
    pub(crate) fn of(verdict: Verdict, case: &Case, policy: Option<&Policy>) -> Self {
        let is_recordable = case.request().outage != Some(Outage::DecisionLog);
        let standing = standing(&verdict, case, policy).filter(|_| is_recordable);
        let is_outage = verdict.outage().is_some();
        let admits_on_outage = is_outage && policy.is_some_and(|p| p.on_outage() == OnOutage::Admit);
        let is_dry_run = is_recordable && policy.is_some_and(|p| p.mode() == Mode::DryRun);
        let (answer, basis) = match verdict.outcome() {
            Outcome::Met => (Answer::Admit, Basis::Policy),
            _ if verdict.grant().is_some() => (Answer::Admit, Basis::Breakglass),
            Outcome::CannotDecide(_) if admits_on_outage => (Answer::Admit, Basis::Outage),
            // a node that is drained while a store of ours is down must not lose what ran on it, and a dry run stops nobody
            Outcome::CannotDecide(_) if is_outage && standing.is_some() => (Answer::Admit, Basis::Standing),
            Outcome::CannotDecide(_) if is_outage && is_dry_run => (Answer::Admit, Basis::DryRun),
            Outcome::CannotDecide(_) => (Answer::Reject, Basis::CannotDecide),
            Outcome::Unmet if standing.is_some() => (Answer::Admit, Basis::Standing),
            Outcome::Unmet if is_dry_run => (Answer::Admit, Basis::DryRun),
            Outcome::Unmet => (Answer::Reject, Basis::Policy),
        };
        let standing = standing.filter(|_| basis == Basis::Standing).map(Standing::name);
        Self { answer, basis, standing, verdict }
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

    /// Which standing admitted it: `unchanged` or `recreated`.
    #[must_use]
    pub fn standing(&self) -> Option<&'static str> {
        self.standing
    }

    /// The breakglass grant that holds, whether or not it was needed.
    #[must_use]
    pub fn grant(&self) -> Option<&HeldGrant> {
        self.verdict.grant()
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
        let mut object = Object::new().with("decision", self.word()).with("basis", self.basis.name());
        object.set_some("standing", self.standing);
        object.set_some("grant", self.grant().map(HeldGrant::to_json));
        object.with("verdict", self.verdict.to_json()).into()
    }
}

/// The standing that holds against this verdict, where the case has one.
///
/// - What stays as it is brings nothing new in, so it needs no policy, and no finding ends it: an update of a label must
///   not fail because a policy is missing, and one that scales down what a revoked key signed must go through, or nobody
///   could take it away. What is made of it later is judged then.
/// - What is made again runs again: it needs a policy that lets it stand, for no longer than that policy says, and a
///   digest, since a tag can mean other bytes today. Never against a finding of a revocation or a recall, nor against
///   evidence that came with the request and is malformed or false.
fn standing<'c>(verdict: &Verdict, case: &'c Case, policy: Option<&Policy>) -> Option<&'c Standing> {
    let standing = case.request().standing.as_ref()?;
    let is_ended = || verdict.findings().iter().any(policy::Finding::ends_standing);
    match standing {
        Standing::Unchanged => Some(standing),
        Standing::Recreated { at, .. } => {
            let span = policy?.standing()?;
            let age = Span::between(*at, case.at());
            let is_past = age >= Span::seconds(-TOLERANCE);
            let has_digest = !case.artifact().digests().is_empty();
            (is_past && age <= span && has_digest && !is_ended()).then_some(standing)
        }
    }
}

#[cfg(test)]
mod tests;
