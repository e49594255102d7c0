//! Step three: the one function that judges. Total and pure; the same at every choke point, in dry run and replay.

use attest::{Directly, Opener, TrustRoot};

use crate::book::Book;
use crate::case::Case;
use crate::facts::{Undecided, check_clock, gather};
use crate::finding::Finding;
use crate::policy::Policy;
use crate::rules::{self, digest_required, evidence, policy_missing, request_readable};
use crate::verdict::{PolicyName, Verdict};
use crate::{grant, outage};

/// Judges a case.
///
/// 1. The book and the trust root are the ones that the case names (a swapped file).
/// 2. The request could be read, or `request-readable` refuses, and nothing else is said.
/// 3. Exactly one policy guards the deployment, or `policy-missing` refuses (a deployment nobody claimed).
/// 4. The artifact has a digest, or `digest-required` refuses, and nothing is said about evidence.
/// 5. Every envelope is opened and matched with the artifact; one that does not open refuses (CVE-2026-39395:
///    an error that became "verified").
/// 6. Every rule of the policy is asked, whatever the others said, so that one refusal tells everything.
/// 7. `upcoming` rules are asked too: they warn before their date and refuse from it on.
/// 8. Where a part of ours failed, what is only missing is no finding: then it cannot be decided. Where it is the
///    decision log, nothing is missing, and what meets the policy cannot be admitted.
/// 9. A breakglass grant that the request names is judged beside all this, and changes none of it.
#[must_use]
pub fn evaluate(case: &Case, book: &Book, root: &TrustRoot) -> Verdict {
    evaluate_with(case, book, root, &Directly)
}

/// Judges a case as [`evaluate`] does, opening envelopes with `opener`. The rules are asked anew every time.
#[must_use]
pub fn evaluate_with(case: &Case, book: &Book, root: &TrustRoot, opener: &dyn Opener) -> Verdict {
    if case.frame().book != *book.digest() || case.frame().trust_root != *root.digest() {
        return Verdict::cannot_decide(
            None,
            "the book or trust root is not the one that the case names".to_owned(),
        );
    }
    let policy = book.select(case.environment(), case.artifact().uri());
    let name = policy.map(|p| PolicyName { name: p.name().to_owned(), digest: p.digest().clone() });
    let refused = refused(case, policy, book);
    let verdict = match policy {
        Some(policy) if refused.is_empty() => match judge(case, policy, root, opener) {
            Ok(Judgement { findings, warnings, is_out_of_reach: false }) => {
                Verdict::judged(name, findings, warnings)
            }
            Ok(Judgement { warnings, .. }) => Verdict::out_of_reach(name, case.request().outage, warnings),
            // with a wrong clock nobody knows whether a grant holds
            Err(Undecided::Clock(why)) => return Verdict::cannot_decide(name, why),
        },
        // a grant may hold against what cannot be read, and with a wrong clock nobody knows whether it does
        Some(_) if !case.request().unreadable.is_empty() => match check_clock(case, &[]) {
            Ok(()) => Verdict::judged(name, refused, Vec::new()),
            Err(why) => return Verdict::cannot_decide(name, why),
        },
        _ => Verdict::judged(name, refused, Vec::new()),
    };
    if case.artifact().digests().is_empty() {
        // a grant for no bytes would be one for anything
        return verdict;
    }
    verdict.with_grant(grant::hold(case, policy, root, opener))
}

/// What is wrong before any evidence is looked at.
fn refused(case: &Case, policy: Option<&Policy>, book: &Book) -> Vec<Finding> {
    let unreadable = request_readable::findings(case);
    if !unreadable.is_empty() {
        return unreadable;
    }
    let mut refused: Vec<Finding> = digest_required::finding(case).into_iter().collect();
    if policy.is_none() {
        refused.push(policy_missing::finding(case, book));
    }
    refused
}

/// What the rules of a policy say.
struct Judgement {
    findings: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Whether nothing is wrong but what is missing because a part of ours failed.
    is_out_of_reach: bool,
}

fn judge(
    case: &Case,
    policy: &Policy,
    root: &TrustRoot,
    opener: &dyn Opener,
) -> Result<Judgement, Undecided> {
    let gathered = gather(case, root, policy, opener)?;
    let facts = gathered.facts;
    let hiding = case.request().outage.filter(|outage| outage.hides_evidence());
    let mut findings = gathered.findings;
    findings.extend(evidence::ambiguous(&facts));
    findings.extend(policy.require().iter().flat_map(|r| r.check.check(&facts)));
    let mut warnings = Vec::new();
    for upcoming in policy.upcoming() {
        let found: Vec<Finding> = upcoming.require.iter().flat_map(|r| r.check.check(&facts)).collect();
        if case.at() >= upcoming.from {
            findings.extend(found);
        } else {
            let day = upcoming.from.to_string();
            let day = day.get(..10).unwrap_or(&day).to_owned();
            let found = match hiding {
                Some(outage) => outage::settled(found, outage),
                None => found,
            };
            warnings.extend(found.into_iter().map(|f| f.upcoming(&day)));
        }
    }
    let mut is_out_of_reach = false;
    if let Some(outage) = hiding {
        let is_unmet = !findings.is_empty() || !gathered.consequences.is_empty();
        findings = outage::settled(findings, outage);
        is_out_of_reach = is_unmet && findings.is_empty();
    } else if findings.is_empty() {
        findings = gathered.consequences;
        is_out_of_reach = case.request().outage.is_some() && findings.is_empty();
    }
    rank(&mut findings);
    rank(&mut warnings);
    Ok(Judgement { findings, warnings, is_out_of_reach })
}

/// Most useful first: the order of the table of rules. The sort is stable, so the same case gives the same bytes.
pub(crate) fn rank(findings: &mut Vec<Finding>) {
    findings.sort_by_key(|f| rules::rank(f.rule));
    findings.dedup();
}
