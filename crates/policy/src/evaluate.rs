//! Step three: the one function that judges. Total and pure; the same at every choke point, in dry run and replay.

use attest::TrustRoot;

use crate::book::Book;
use crate::case::Case;
use crate::facts::gather;
use crate::finding::Finding;
use crate::rules::{self, evidence, policy_missing};
use crate::verdict::{PolicyName, Verdict};

/// Judges a case.
///
/// 1. The book and the trust root are the ones that the case names (a swapped file).
/// 2. Exactly one policy guards the deployment, or `policy-missing` refuses (a deployment nobody claimed).
/// 3. Every envelope is opened and matched with the artifact; one that does not open refuses (CVE-2026-39395:
///    an error that became "verified").
/// 4. Every rule of the policy is asked, whatever the others said, so that one refusal tells everything.
/// 5. `upcoming` rules are asked too: they warn before their date and refuse from it on.
#[must_use]
pub fn evaluate(case: &Case, book: &Book, root: &TrustRoot) -> Verdict {
    if case.frame().book != *book.digest() || case.frame().trust_root != *root.digest() {
        return Verdict::cannot_decide(
            None,
            "the book or trust root is not the one that the case names".to_owned(),
        );
    }
    let Some(policy) = book.select(case.environment(), case.artifact().uri()) else {
        return Verdict::judged(None, vec![policy_missing::finding(case, book)], Vec::new());
    };
    let name = Some(PolicyName { name: policy.name().to_owned(), digest: policy.digest().clone() });
    let gathered = match gather(case, root, policy) {
        Ok(gathered) => gathered,
        Err(why) => return Verdict::cannot_decide(name, why),
    };
    let facts = gathered.facts;
    let mut findings = gathered.findings;
    findings.extend(evidence::ambiguous(&facts));
    findings.extend(policy.require().iter().flat_map(|r| r.check.check(&facts)));
    let mut warnings = Vec::new();
    for upcoming in policy.upcoming() {
        let found = upcoming.require.iter().flat_map(|r| r.check.check(&facts));
        if case.at() >= upcoming.from {
            findings.extend(found);
        } else {
            let day = upcoming.from.to_string();
            let day = day.get(..10).unwrap_or(&day).to_owned();
            warnings.extend(found.map(|f| f.upcoming(&day)));
        }
    }
    if findings.is_empty() {
        findings = gathered.consequences;
    }
    rank(&mut findings);
    rank(&mut warnings);
    Verdict::judged(name, findings, warnings)
}

/// Most useful first: the order of the table of rules. The sort is stable, so the same case gives the same bytes.
fn rank(findings: &mut Vec<Finding>) {
    findings.sort_by_key(|f| rules::rank(f.rule));
    findings.dedup();
}
