//! Other people than the authors approved every change since the last reviewed commit.

use std::collections::{BTreeMap, BTreeSet};

use attest::claims::Review;
use attest::provenance::{Commit, Source};
use attest::yaml::{Fields, Node, Problems};
use attest::{Evidence, Object, Place, Predicate, Role, TrustRoot};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{
    Beyond, Check, NameKind, NameUse, Order, Rule, Whom, and_list, is_listed, list_schema, object_schema,
    read_names,
};

pub(crate) const RULE: Rule = Rule {
    name: "source-reviewed",
    key: "source.reviewed",
    summary: "people other than the authors approved the source",
    docs: "Only reviews count that are about the commit or tree that the judged provenance names, for the repository \
           that it names, and that are signed by a review authority of the trust root that saw them, or by a person with \
           the role reviewer (each standing in `by`, where that is given). A review authority's review approves by the \
           people it lists as reviewers; a person's own review approves by that person, whoever it lists, and approves \
           only where it has no base (the whole tree was reviewed) or its base is also the base of a counted review by a \
           review authority: else an ancestor was never reviewed. Authors are everybody whom a counted review lists, and \
           everybody whom the builder read from the open commits of the judged provenance's history. A commit is open \
           unless it is the base, or an ancestor of the base, of every counted review; where a counted review has no \
           base, all are open. Identities are mapped to people by the trust root, without regard to the case of ASCII \
           letters. Met where (1) the authors are known: a counted review by a review authority lists some, or there \
           are open commits and every parent of one is in the history or is a base; and no open commit is without \
           people; (2) every author maps to a person; (3) at least `approvals` different people approved who are no \
           authors. An identity that maps to nobody never counts as another person.",
    example: "source: { reviewed: { approvals: 2 } }",
    threats: &["T1", "T2", "T4"],
    reads_provenance: true,
    read: Some(read),
    schema: || {
        let approvals =
            Object::new().with("type", "integer").with("minimum", 1_i64).with("maximum", 10_i64).into();
        object_schema(&[("approvals", approvals), ("by", list_schema())], &["approvals"])
    },
};

/// What a source's reviews must say. The rule asks it of the source that was built, and the hook at the repository of
/// what is pushed: "reviewed" has one meaning.
#[derive(Debug)]
pub struct SourceReviewed {
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
    Some(Box::new(SourceReviewed {
        approvals: problems.keep(approvals.number(1, 10))?,
        by,
        place: node.place.clone(),
    }))
}

impl Order for SourceReviewed {
    /// More reviews are not better: each may list authors, and a base from which on commits are open.
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let (here, there) = (Whom::of(&self.by), Whom::of(&other.by));
        let mut ways = Vec::new();
        if self.approvals < other.approvals {
            let people = match (self.approvals, other.approvals - 1) {
                (1, 1) => "1 person".to_owned(),
                (least, most) if least == most => format!("{most} people"),
                (least, most) => format!("{least} to {most} people"),
            };
            ways.push(Beyond::only(format!("what only {people} other than the authors approved")));
        }
        if let Some(names) = here.beyond(&there) {
            ways.push(Beyond::only(format!("what was approved in reviews by {names} alone")));
        }
        if let Some(names) = there.beyond(&here) {
            ways.push(Beyond::only(format!(
                "what was approved, unless a review by {names} shows more authors"
            )));
        }
        ways
    }

    fn outside(&self) -> String {
        match self.approvals {
            1 => "what nobody but the authors approved".to_owned(),
            n => format!("what fewer than {n} people other than the authors approved"),
        }
    }
}

/// What the counted reviews say together.
#[derive(Default)]
struct Approved {
    /// People who approved, and the base of their own review where it has one.
    people: BTreeMap<String, Option<String>>,
    /// Reviewers that map to nobody.
    strangers: BTreeSet<String>,
    authors: BTreeSet<String>,
    /// The base of each counted review; nothing where the whole tree was reviewed.
    bases: BTreeSet<Option<String>>,
    /// Bases that are known to have been reviewed.
    vouched: BTreeSet<String>,
    /// Commits that are known to have been reviewed without any of these reviews.
    known: BTreeSet<String>,
    /// Whether a review authority says who wrote it.
    authority_lists_authors: bool,
}

impl Check for SourceReviewed {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        let Some(source) = provenance.source.as_ref().filter(|s| !s.digests.is_empty()) else {
            let message = "the provenance does not say which commit was built";
            let unknown = Source::default();
            let source = provenance.source.as_ref().unwrap_or(&unknown);
            return vec![self.finding(message, "no commit", source).within(&describe(evidence))];
        };
        self.findings(source, facts.about_source(), &BTreeSet::new(), facts.root())
    }

    fn names(&self) -> &[NameUse] {
        &self.by
    }

    fn approvals(&self) -> Option<u64> {
        Some(self.approvals)
    }
}

impl SourceReviewed {
    /// Asks for this many approvals by whoever may give one; `place` is where that is written.
    #[must_use]
    pub fn new(approvals: u64, place: &Place) -> Self {
        Self { approvals, by: Vec::new(), place: place.clone() }
    }

    /// What is wrong with the reviews of `source`: only those that are evidence about it may be given. A base counts as
    /// reviewed where a review authority says so, or where it is in `reviewed`: commits that the asker knows it of.
    #[must_use]
    pub fn findings(
        &self,
        source: &Source,
        reviews: &[Evidence],
        reviewed: &BTreeSet<String>,
        root: &TrustRoot,
    ) -> Vec<Finding> {
        let mut approved = self.counted(source, reviews, root);
        approved.vouched.extend(reviewed.iter().cloned());
        approved.known.extend(reviewed.iter().cloned());
        self.judge(&approved, source, root)
    }

    fn finding(&self, message: &str, found: &str, source: &Source) -> Finding {
        let commit = source.digests.first().map_or_else(|| "gitCommit:COMMIT".to_owned(), |d| d.to_string());
        let fix = format!(
            "have somebody else review the commit, and submit the review: portcullis attest review {commit} \
             --repository {} --author AUTHOR --reviewer REVIEWER --key FORGE.key --out review.json",
            source.repository
        );
        Finding::new(RULE.name, message, &fix).wanted(&self.wanted(), &self.place).found(found)
    }

    fn wanted(&self) -> String {
        let people = if self.approvals == 1 { "person" } else { "people" };
        format!("approval by {} {people} other than the authors", self.approvals)
    }

    fn counted(&self, source: &Source, reviews: &[Evidence], root: &TrustRoot) -> Approved {
        let mut approved = Approved::default();
        for evidence in reviews {
            let Predicate::Review(review) = evidence.predicate() else { continue };
            if review.repository == source.repository {
                self.count(&mut approved, evidence, review, root);
            }
        }
        approved
    }

    fn count(&self, approved: &mut Approved, evidence: &Evidence, review: &Review, root: &TrustRoot) {
        let listed = |role| evidence.signers_with(role).filter(|s| is_listed(&self.by, &s.name));
        let authority = listed(Role::ReviewAuthority).next().is_some();
        let people: Vec<&str> = listed(Role::Reviewer).map(|s| s.name.as_str()).collect();
        if !authority && people.is_empty() {
            return;
        }
        if authority {
            approved.authority_lists_authors |= !review.authors.is_empty();
            approved.vouched.extend(review.base.clone());
            for reviewer in &review.reviewers {
                match root.person(reviewer) {
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
        approved.bases.insert(review.base.clone());
        approved.authors.extend(review.authors.iter().cloned());
    }

    fn judge(&self, approved: &Approved, source: &Source, root: &TrustRoot) -> Vec<Finding> {
        let commit = source.digests.first().map_or_else(String::new, |d| d.short());
        if approved.people.is_empty() && approved.strangers.is_empty() {
            return vec![self.finding(
                "nobody has approved the source that it was built from",
                &format!("no review of {commit}"),
                source,
            )];
        }
        let open = open_commits(&source.history, &approved.bases);
        if !approved.authority_lists_authors && !is_complete(&open, source, approved) {
            let found =
                format!("no review of {commit} that lists authors, and no whole history since the base");
            return vec![self.finding("nothing says who wrote the source", &found, source)];
        }
        if let Some(nobody) = open.iter().find(|c| c.people.is_empty()) {
            let found = format!("commit {} without an author", nobody.id);
            return vec![self.finding("nothing says who wrote part of the source", &found, source)];
        }
        let mut authors = approved.authors.clone();
        authors.extend(open.iter().flat_map(|c| c.people.iter().cloned()));
        let mapped: BTreeMap<&str, Option<&str>> =
            authors.iter().map(|a| (a.as_str(), root.person(a))).collect();
        let unmapped: Vec<&str> = mapped.iter().filter(|(_, p)| p.is_none()).map(|(a, _)| *a).collect();
        let mut findings = Vec::new();
        if !unmapped.is_empty() {
            findings.push(
                Finding::new(
                    RULE.name,
                    "an author is nobody the trust root knows, and may be one of the reviewers",
                    &format!(
                        "add {} to the identities of a person in the trust root, and have it reviewed",
                        and_list(&unmapped)
                    ),
                )
                .wanted("authors that are people of the trust root", &self.place)
                .found(&and_list(&unmapped)),
            );
        }
        let writers: BTreeSet<&str> = mapped.values().flatten().copied().collect();
        let unreviewed = |base: &Option<String>| base.as_ref().is_some_and(|b| !approved.vouched.contains(b));
        let own: Vec<&str> =
            approved.people.keys().map(String::as_str).filter(|p| writers.contains(p)).collect();
        let partial: Vec<&String> = approved.people.values().filter(|b| unreviewed(b)).flatten().collect();
        let others =
            approved.people.iter().filter(|(p, base)| !writers.contains(p.as_str()) && !unreviewed(base));
        let count = u64::try_from(others.count()).unwrap_or(u64::MAX);
        if count < self.approvals {
            let (message, found) = self.too_few(count, &own, &partial, approved);
            findings.push(self.finding(message, &found, source));
        }
        findings
    }

    /// What is wrong with the approvals, and what was found.
    fn too_few(
        &self,
        count: u64,
        own: &[&str],
        partial: &[&String],
        approved: &Approved,
    ) -> (&'static str, String) {
        let mut notes = vec![format!("{count} of {}", self.approvals)];
        if !own.is_empty() {
            notes.push(format!("{} wrote part of it and cannot approve it", and_list(own)));
        }
        if !approved.strangers.is_empty() {
            let strangers: Vec<&String> = approved.strangers.iter().collect();
            notes.push(format!("{} is nobody the trust root knows", and_list(&strangers)));
        }
        if let Some(base) = partial.first() {
            notes.push(format!(
                "{} was approved since {base}, and nothing says that {base} was reviewed",
                "a part"
            ));
        }
        let message = if own.is_empty() && partial.is_empty() {
            "too few people have approved the source that it was built from"
        } else if partial.is_empty() {
            "the people who approved the source also wrote it"
        } else {
            "an ancestor of the source was never reviewed"
        };
        (message, notes.join("; "))
    }
}

/// The commits that some counted review had before it: all but the bases and ancestors that every one had behind it.
fn open_commits<'h>(history: &'h [Commit], bases: &BTreeSet<Option<String>>) -> Vec<&'h Commit> {
    let parents: BTreeMap<&str, &[String]> =
        history.iter().map(|c| (c.id.as_str(), c.parents.as_slice())).collect();
    let behind: Vec<BTreeSet<&str>> = bases
        .iter()
        .map(|base| {
            let (mut seen, mut queue) =
                (BTreeSet::new(), base.iter().map(String::as_str).collect::<Vec<_>>());
            while let Some(id) = queue.pop() {
                if seen.insert(id) {
                    queue.extend(parents.get(id).into_iter().flat_map(|p| p.iter()).map(String::as_str));
                }
            }
            seen
        })
        .collect();
    history.iter().filter(|c| !behind.iter().all(|seen| seen.contains(c.id.as_str()))).collect()
}

/// Whether the history shows every open commit: each parent of one is in the history, is a base, or is known.
fn is_complete(open: &[&Commit], source: &Source, approved: &Approved) -> bool {
    let is_base = |id: &String| approved.known.contains(id) || approved.bases.contains(&Some(id.clone()));
    let is_known = |id: &String| source.history.iter().any(|c| c.id == *id) || is_base(id);
    !open.is_empty() && open.iter().all(|c| c.parents.iter().all(is_known))
}
