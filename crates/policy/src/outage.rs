//! When a part of ours failed, evidence that is not there may only be out of reach. What is there still counts.

use crate::finding::Finding;
use crate::request::Outage;
use crate::rules;

/// Rules that read provenance, and that more evidence could still meet.
const MENDED_BY_MORE: [&str; 2] = ["source-reviewed", "rebuilt"];

/// The findings that no evidence could take back, however much of it were within reach. The others are no findings
/// during an outage: nobody may be told "not tested" because a store did not answer. Where this is in doubt a finding
/// is settled, since `on-outage: admit` admits what is not.
pub(crate) fn settled(findings: Vec<Finding>, outage: Outage) -> Vec<Finding> {
    findings.into_iter().filter(|finding| is_settled(finding, outage)).collect()
}

fn is_settled(finding: &Finding, outage: Outage) -> bool {
    let Some(rule) = rules::by_name(finding.rule) else { return true };
    // a controller asks in its own name where the owner, and with it who asked for that, could not be looked up
    let knows_requester = outage != Outage::ClusterApi;
    let is_about_the_request = rule.read.is_none() || (rule.name == "requested-by" && knows_requester);
    let is_about_judged_provenance = rule.reads_provenance && !MENDED_BY_MORE.contains(&rule.name);
    is_about_the_request || is_about_judged_provenance || finding.evidence.is_some()
}

/// Why nothing can be decided.
pub(crate) fn why(outage: Outage) -> String {
    if !outage.hides_evidence() {
        return format!("{} has no room, and what is admitted must be on record", outage.part());
    }
    format!("{} did not answer, and what was submitted is not enough without it", outage.part())
}
