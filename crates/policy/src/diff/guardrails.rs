//! What changes in the guardrails: what a book may newly say, and may no longer.

use std::collections::BTreeSet;
use std::fmt;

use attest::time::Span;
use attest::{Json, Object, Place};

use super::region::is_within;
use crate::finding::place_json;
use crate::guardrail::{Guardrail, Guardrails};

/// What changes about the guardrails of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardrailChange {
    /// The name.
    pub name: String,
    /// What policies may newly do.
    pub allows: Vec<String>,
    /// What policies may no longer do.
    pub forbids: Vec<String>,
    /// Where it stood.
    pub old: Option<Place>,
    /// Where it stands.
    pub new: Option<Place>,
}

impl GuardrailChange {
    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let place = |place: &Option<Place>| place.as_ref().map_or(Json::Null, place_json);
        Object::new()
            .with("guardrail", self.name.as_str())
            .with("allows", self.allows.clone())
            .with("forbids", self.forbids.clone())
            .with("old", place(&self.old))
            .with("new", place(&self.new))
            .into()
    }
}

/// One thing that no policy for an environment may do.
struct Ban<'a> {
    environment: &'a str,
    what: What<'a>,
}

#[derive(PartialEq, Eq)]
enum What<'a> {
    LeaveOut(&'a str),
    FewerApprovalsThan(u64),
    DryRun,
    AdmitOnOutage,
    StandLongerThan(Span),
}

/// What changes, by name. What another guardrail still forbids is not newly allowed.
pub(super) fn compare(old: &Guardrails, new: &Guardrails) -> Vec<GuardrailChange> {
    let names: BTreeSet<&str> = old.all().iter().chain(new.all()).map(|g| g.name.as_str()).collect();
    let changes = names.into_iter().map(|name| GuardrailChange {
        name: name.to_owned(),
        allows: lost(name, old, new),
        forbids: lost(name, new, old),
        old: place(name, old),
        new: place(name, new),
    });
    changes.filter(|c| !c.allows.is_empty() || !c.forbids.is_empty()).collect()
}

fn place(name: &str, all: &Guardrails) -> Option<Place> {
    all.all().iter().find(|g| g.name == name).map(|g| g.environment.place.clone())
}

/// The bans of a name that no ban of the other guardrails contains.
fn lost(name: &str, here: &Guardrails, there: &Guardrails) -> Vec<String> {
    let own = here.all().iter().filter(|g| g.name == name).flat_map(bans);
    let others: Vec<Ban<'_>> = there.all().iter().flat_map(bans).collect();
    own.filter(|ban| !others.iter().any(|other| other.contains(ban))).map(|ban| ban.to_string()).collect()
}

fn bans(guardrail: &Guardrail) -> Vec<Ban<'_>> {
    let mut what: Vec<What<'_>> = guardrail.require.iter().map(|rule| What::LeaveOut(&rule.text)).collect();
    what.extend((guardrail.approvals > 0).then_some(What::FewerApprovalsThan(guardrail.approvals)));
    what.extend(guardrail.must_enforce.then_some(What::DryRun));
    what.extend(guardrail.must_reject_on_outage.then_some(What::AdmitOnOutage));
    what.extend(guardrail.standing.map(What::StandLongerThan));
    let environment = guardrail.environment.text.as_str();
    what.into_iter().map(|what| Ban { environment, what }).collect()
}

impl Ban<'_> {
    /// Whether whatever the other one forbids is forbidden by this one.
    fn contains(&self, other: &Self) -> bool {
        let is_wider = is_within(other.environment, self.environment);
        let forbids_more = match (&self.what, &other.what) {
            (What::FewerApprovalsThan(own), What::FewerApprovalsThan(others)) => own >= others,
            (What::StandLongerThan(own), What::StandLongerThan(others)) => own <= others,
            (own, others) => own == others,
        };
        is_wider && forbids_more
    }
}

impl fmt::Display for Ban<'_> {
    /// Follows "policies may newly" and "policies may no longer".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::LeaveOut(rule) => write!(f, "leave out {rule}"),
            What::FewerApprovalsThan(1) => f.write_str("ask for no approval"),
            What::FewerApprovalsThan(n) => write!(f, "ask for fewer than {n} approvals"),
            What::DryRun => f.write_str("be in dry run"),
            What::AdmitOnOutage => f.write_str("admit on outage"),
            What::StandLongerThan(most) if *most > Span::seconds(0) => {
                write!(f, "let things stand for longer than {most}")
            }
            What::StandLongerThan(_) => f.write_str("let things stand"),
        }?;
        write!(f, " in {}", self.environment)
    }
}
