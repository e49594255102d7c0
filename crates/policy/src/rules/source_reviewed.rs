//! Other people than the authors approved every change since the last reviewed commit.

use std::collections::{BTreeMap, BTreeSet};

use attest::claims::Review;
use attest::provenance::{Commit, Source};
use attest::yaml::{Fields, Node, Problems};
use attest::{Evidence, Object, Place, Predicate, Role};

use crate::facts::{Facts, describe};
use crate::finding::Finding;
use crate::rule::{Check, NameKind, NameUse, Rule, and_list, is_listed, list_schema, object_schema, read_names};

pub(crate) const RULE: Rule = Rule {
    name: "source-reviewed",
    key: "source.reviewed",
    summary: "people other than the authors approved the source",
    docs: "Only reviews count that are about the commit or tree that the judged provenance names, for the repository \
           that it names, and that are signed by a review authority of the trust root that saw them, or by a person with \
           the role reviewer (each standing in `by`, where that is given). A review authority's review approves by the \
           people it lists as reviewers; a person's own review approves by that person, whoever it lists. \
           Authors are everybody that a counted review lists as author and, for commits of the judged provenance's \
           history that are not ancestors of a counted review's base (all of them, where no counted review has a base), \
           everybody whom the builder read from them. Identities are mapped to people by the trust root; case does not \
           matter. Met where (1) every author identity maps to a person, (2) at least `approvals` different people \
           approved who are no authors, (3) the authors are known: a review authority listed them, or the provenance \
           has a history, and (4) a person's own review either has no base (the whole tree was reviewed), or its base \
           was reviewed as well: it is the base of a review authority's counted review. An identity that maps to \
           nobody never counts as another person.",
    example: "source: { reviewed: { approvals: 2 } }",
    threats: &["T1", "T2", "T4"],
    read: Some(read),
    schema: || {
        let approvals = Object::new().with("type", "integer").with("minimum", 1_i64).with("maximum", 10_i64).into();
        object_schema(&[("approvals", approvals), ("by", list_schema())], &["approvals"])
    },
};

#[derive(Debug)]
struct SourceReviewed {
    approvals: u64,
    by: Vec<NameUse>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let fields = Fields::read(node, "`reviewed`", &["approvals", "by"], problems)?;
    let approvals = fields.required("approvals", problems)?;
    let by = match fields.optional("by") {
        Some(node) => read_names(node, NameKind::Signer, problems)?,
        None => Vec::new(),
    };
    Some(Box::new(SourceReviewed { approvals: problems.keep(approvals.number(1, 10))?, by, place: node.place.clone() }))
}

/// What the counted reviews say together.
#[derive(Default)]
struct Approved {
    /// People who approved, and the base of their own review where it has one.
    people: BTreeMap<String, Option<String>>,
    /// Reviewers that map to nobody.
    strangers: BTreeSet<String>,
    authors: BTreeSet<String>,
    bases: BTreeSet<String>,
    /// Bases that a review authority vouches for.
    vouched: BTreeSet<String>,
    has_authority: bool,
    has_whole_tree: bool,
}

impl Check for SourceReviewed {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let absent = || self.finding("nothing says which commit it was built from", "no provenance about this artifact");
        let (evidence, provenance) = match facts.provenance(absent) {
            Ok(found) => found,
            Err(findings) => return findings,
        };
        let Some(source) = provenance.source.as_ref().filter(|s| !s.digests.is_empty()) else {
            let message = "the provenance does not say which commit was built";
            return vec![self.finding(message, "no commit").within(&describe(evidence))];
        };
        let approved = self.counted(facts, source);
        self.judge(&approved, source, facts)
    }

    fn names(&self) -> &[NameUse] {
        &self.by
    }

    fn approvals(&self) -> Option<u64> {
        Some(self.approvals)
    }
}

impl SourceReviewed {
    fn finding(&self, message: &str, found: &str) -> Finding {
        let fix = "have somebody else review the commit, and submit the review: portcullis attest review";
        Finding::new(RULE.name, message, fix).wanted(&self.wanted(), &self.place).found(found)
    }

    fn wanted(&self) -> String {
        let people = if self.approvals == 1 { "person" } else { "people" };
        format!("approval by {} {people} other than the authors", self.approvals)
    }

    fn counted(&self, facts: &Facts<'_>, source: &Source) -> Approved {
        let mut approved = Approved::default();
        for evidence in facts.about_source() {
            let Predicate::Review(review) = evidence.predicate() else { continue };
            if review.repository == source.repository {
                self.count(&mut approved, evidence, review, facts);
            }
        }
        approved
    }

    fn count(&self, approved: &mut Approved, evidence: &Evidence, review: &Review, facts: &Facts<'_>) {
        let listed = |role| evidence.signers_with(role).filter(|s| is_listed(&self.by, &s.name));
        let authority = listed(Role::ReviewAuthority).next().is_some();
        let people: Vec<&str> = listed(Role::Reviewer).map(|s| s.name.as_str()).collect();
        if !authority && people.is_empty() {
            return;
        }
        if authority {
            approved.has_authority = true;
            approved.vouched.extend(review.base.clone());
            for reviewer in &review.reviewers {
                match facts.root().person(reviewer) {
                    Some(person) => {
                        approved.people.insert(person.to_owned(), None);
                    }
                    None => {
                        approved.strangers.insert(reviewer.clone());
                    }
                }
            }
        }
        for person in people {
            approved.people.entry(person.to_owned()).or_insert_with(|| review.base.clone());
        }
        approved.has_whole_tree |= review.base.is_none();
        approved.bases.extend(review.base.clone());
        approved.authors.extend(review.authors.iter().cloned());
    }

    fn judge(&self, approved: &Approved, source: &Source, facts: &Facts<'_>) -> Vec<Finding> {
        let commit = source.digests.first().map_or_else(String::new, |d| d.short());
        if approved.people.is_empty() && approved.strangers.is_empty() {
            return vec![self.finding("nobody has approved the source that it was built from", &format!("no review of {commit}"))];
        }
        if !approved.has_authority && source.history.is_empty() {
            let found = format!("a review of {commit} by the reviewer alone, and provenance without a history");
            return vec![self.finding("nothing says who wrote the source", &found)];
        }
        let mut authors = approved.authors.clone();
        authors.extend(authors_since(&source.history, approved));
        let mapped: BTreeMap<&str, Option<&str>> =
            authors.iter().map(|a| (a.as_str(), facts.root().person(a))).collect();
        let unmapped: Vec<&str> = mapped.iter().filter(|(_, p)| p.is_none()).map(|(a, _)| *a).collect();
        let mut findings = Vec::new();
        if !unmapped.is_empty() {
            findings.push(
                Finding::new(
                    RULE.name,
                    "an author is nobody the trust root knows, and may be one of the reviewers",
                    &format!("add {} to the identities of a person in the trust root, and have it reviewed", and_list(&unmapped)),
                )
                .wanted("authors that are people of the trust root", &self.place)
                .found(&and_list(&unmapped)),
            );
        }
        let writers: BTreeSet<&str> = mapped.values().flatten().copied().collect();
        let unreviewed = |base: &Option<String>| base.as_ref().is_some_and(|b| !approved.vouched.contains(b));
        let own: Vec<&str> = approved.people.keys().map(String::as_str).filter(|p| writers.contains(p)).collect();
        let partial: Vec<&String> = approved.people.values().filter(|b| unreviewed(b)).flatten().collect();
        let others = approved.people.iter().filter(|(p, base)| !writers.contains(p.as_str()) && !unreviewed(base));
        let count = u64::try_from(others.count()).unwrap_or(u64::MAX);
        if count < self.approvals {
            findings.push(self.too_few(count, &own, &partial, approved));
        }
        findings
    }

    fn too_few(&self, count: u64, own: &[&str], partial: &[&String], approved: &Approved) -> Finding {
        let mut notes = vec![format!("{count} of {}", self.approvals)];
        if !own.is_empty() {
            notes.push(format!("{} wrote part of it and cannot approve it", and_list(own)));
        }
        if !approved.strangers.is_empty() {
            let strangers: Vec<&String> = approved.strangers.iter().collect();
            notes.push(format!("{} is nobody the trust root knows", and_list(&strangers)));
        }
        if let Some(base) = partial.first() {
            notes.push(format!("{} was approved since {base}, and nothing says that {base} was reviewed", "a part"));
        }
        let message = if own.is_empty() && partial.is_empty() {
            "too few people have approved the source that it was built from"
        } else if partial.is_empty() {
            "the people who approved the source also wrote it"
        } else {
            "an ancestor of the source was never reviewed"
        };
        self.finding(message, &notes.join("; "))
    }
}

/// Who wrote commits that no counted review had behind it: everything but the ancestors of the bases, and the bases.
fn authors_since(history: &[Commit], approved: &Approved) -> BTreeSet<String> {
    let mut reviewed: BTreeSet<&str> = BTreeSet::new();
    if !approved.has_whole_tree || approved.has_authority {
        let parents: BTreeMap<&str, &[String]> =
            history.iter().map(|c| (c.id.as_str(), c.parents.as_slice())).collect();
        let mut queue: Vec<&str> = approved.bases.iter().map(String::as_str).collect();
        while let Some(id) = queue.pop() {
            if reviewed.insert(id) {
                queue.extend(parents.get(id).into_iter().flat_map(|p| p.iter()).map(String::as_str));
            }
        }
    }
    let open = history.iter().filter(|c| !reviewed.contains(c.id.as_str()));
    open.flat_map(|c| c.people.iter().cloned()).collect()
}
