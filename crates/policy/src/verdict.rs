//! What the policy says about a case. What a choke point then does is a `Decision`, and another word.

use attest::{Digest, Json, Object};

use crate::evaluate::rank;
use crate::finding::Finding;
use crate::grant::HeldGrant;
use crate::outage;
use crate::request::Outage;

/// The verdict on one case: made only by `evaluate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    policy: Option<PolicyName>,
    outcome: Outcome,
    findings: Vec<Finding>,
    warnings: Vec<Finding>,
    grant: Option<HeldGrant>,
    outage: Option<Outage>,
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

impl Outcome {
    /// The word in JSON and messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Unmet => "unmet",
            Self::CannotDecide(_) => "cannot-decide",
        }
    }
}

impl Verdict {
    pub(crate) fn judged(policy: Option<PolicyName>, findings: Vec<Finding>, warnings: Vec<Finding>) -> Self {
        let is_met = findings.is_empty() && policy.is_some();
        let outcome = if is_met { Outcome::Met } else { Outcome::Unmet };
        Self { policy, outcome, findings, warnings, grant: None, outage: None }
    }

    pub(crate) fn cannot_decide(policy: Option<PolicyName>, why: String) -> Self {
        let outcome = Outcome::CannotDecide(why);
        Self { policy, outcome, findings: Vec::new(), warnings: Vec::new(), grant: None, outage: None }
    }

    /// Nothing is wrong but what is missing, and a part of ours failed.
    pub(crate) fn out_of_reach(
        policy: Option<PolicyName>,
        outage: Option<Outage>,
        warnings: Vec<Finding>,
    ) -> Self {
        let why = outage.map(outage::why).unwrap_or_default();
        Self { outage, warnings, ..Self::cannot_decide(policy, why) }
    }

    /// Adds what came of the grant that the request names. The outcome stays: what a grant does is a decision.
    pub(crate) fn with_grant(mut self, grant: Option<Result<HeldGrant, Finding>>) -> Self {
        match grant {
            None => {}
            Some(Ok(held)) => self.grant = Some(held),
            Some(Err(finding)) if self.is_met() => self.warnings.push(finding),
            Some(Err(finding)) => {
                self.findings.push(finding);
                rank(&mut self.findings);
            }
        }
        self
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

    /// The breakglass grant that holds for this case.
    #[must_use]
    pub fn grant(&self) -> Option<&HeldGrant> {
        self.grant.as_ref()
    }

    /// The part of ours whose failure alone is why it cannot be decided.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        self.outage
    }

    /// What will be wrong once an `upcoming` requirement is in force; and, where the policy is met without it, what is
    /// wrong with a breakglass grant.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let list = |findings: &[Finding]| Json::Array(findings.iter().map(Finding::to_json).collect());
        let mut object = Object::new().with("outcome", self.outcome.name());
        if let Outcome::CannotDecide(why) = &self.outcome {
            object.set("why", why.as_str());
        }
        object.set_some("outage", self.outage.map(Outage::name));
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
