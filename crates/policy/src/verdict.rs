//! What the policy says about a case. What a choke point then does is a `Decision`, and another word.

use attest::{Digest, Json, Object};

use crate::finding::Finding;

/// The verdict on one case: made only by `evaluate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    policy: Option<PolicyName>,
    outcome: Outcome,
    findings: Vec<Finding>,
    warnings: Vec<Finding>,
}

/// Which policy judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyName {
    /// Its file.
    pub name: String,
    /// The digest of its text.
    pub digest: Digest,
}

/// Whether the policy is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every rule is met.
    Met,
    /// At least one rule is not.
    Unmet,
    /// It cannot be said; the field says why. Never "not signed", never "admit".
    CannotDecide(String),
}

impl Verdict {
    pub(crate) fn judged(policy: Option<PolicyName>, findings: Vec<Finding>, warnings: Vec<Finding>) -> Self {
        let is_met = findings.is_empty() && policy.is_some();
        let outcome = if is_met { Outcome::Met } else { Outcome::Unmet };
        Self { policy, outcome, findings, warnings }
    }

    pub(crate) fn cannot_decide(policy: Option<PolicyName>, why: String) -> Self {
        Self { policy, outcome: Outcome::CannotDecide(why), findings: Vec::new(), warnings: Vec::new() }
    }

    /// Whether every rule is met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.outcome == Outcome::Met
    }

    /// The outcome.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The policy that judged; none where none guards this deployment.
    #[must_use]
    pub fn policy(&self) -> Option<&PolicyName> {
        self.policy.as_ref()
    }

    /// Everything that is wrong, most useful first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What will be wrong once an `upcoming` requirement is in force.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let list = |findings: &[Finding]| Json::Array(findings.iter().map(Finding::to_json).collect());
        let mut object = Object::new();
        match &self.outcome {
            Outcome::Met => object.set("outcome", "met"),
            Outcome::Unmet => object.set("outcome", "unmet"),
            Outcome::CannotDecide(why) => {
                object.set("outcome", "cannot-decide");
                object.set("why", why.as_str());
            }
        }
        object.set("policy", self.policy.as_ref().map_or(Json::Null, PolicyName::to_json));
        object.with("findings", list(&self.findings)).with("warnings", list(&self.warnings)).into()
    }
}

impl PolicyName {
    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Object::new().with("name", self.name.as_str()).with("digest", self.digest.to_string()).into()
    }
}
