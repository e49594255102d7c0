//! Steps one and two for every envelope of a case, and which provenance is judged.

use std::collections::{BTreeMap, BTreeSet};

use attest::parts;
use attest::{
    Artifact, Attestation, Digest, DigestSet, Evidence, Opener, Predicate, Provenance, Role, TrustRoot,
    Unopened,
};
use jiff::Timestamp;

use crate::case::Case;
use crate::finding::Finding;
use crate::policy::Policy;
use crate::rules::{built_by, evidence};

/// Everything that rules may look at: proven evidence, the trust root, and the frozen case.
#[derive(Debug)]
pub struct Facts<'a> {
    case: &'a Case,
    root: &'a TrustRoot,
    /// Proven to be about the artifact.
    about_artifact: Vec<Evidence>,
    /// Proven to be about the commit or tree that the judged provenance names.
    about_source: Vec<Evidence>,
    /// Reviews of packages, proven to be about one that the artifact is made of.
    about_imports: Vec<Evidence>,
    choice: Choice,
    /// Whether there is evidence about some commit, and no provenance that says whether it is this artifact's.
    has_unplaced: bool,
}

/// The provenance that rules read, and the builders whose word it is.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'e> {
    /// The evidence.
    pub evidence: &'e Evidence,
    /// What it says.
    pub provenance: &'e Provenance,
    /// The names in the trust root that `built-by` accepted, each of which would do alone. What a rule asks of the builder
    /// itself is met where one of them meets it.
    pub builders: &'e [String],
}

/// Which provenance is judged.
#[derive(Debug)]
enum Choice {
    /// None was submitted.
    None,
    /// Two or more were, and nothing says which one to judge.
    Ambiguous,
    /// One was, and these builders may speak for this policy. An index into `about_artifact`.
    One(usize, Vec<String>),
    /// One was, and its signer may not.
    Refused(usize),
}

/// More pieces of evidence than any policy asks for; each costs a signature check.
const MAX_ENVELOPES: usize = 64;

/// What opening gave: facts, findings about envelopes, or that it cannot be decided.
pub(crate) struct Gathered<'a> {
    pub(crate) facts: Facts<'a>,
    pub(crate) findings: Vec<Finding>,
    /// Findings that are told only where nothing else is wrong: consequences of another one.
    pub(crate) consequences: Vec<Finding>,
}

/// Why nothing can be decided.
pub(crate) enum Undecided {
    /// The clock is behind something that has happened.
    Clock(String),
}

/// Opens every envelope and sorts the evidence.
///
/// # Errors
/// [`Undecided`] for a clock that is behind a witness.
pub(crate) fn gather<'a>(
    case: &'a Case,
    root: &'a TrustRoot,
    policy: &Policy,
    opener: &dyn Opener,
) -> Result<Gathered<'a>, Undecided> {
    let mut findings = Vec::new();
    let mut attestations = Vec::new();
    let count = case.request().envelopes.len();
    if count > MAX_ENVELOPES {
        findings.push(evidence::too_many(count, MAX_ENVELOPES));
    }
    for (submitted, digest) in case.envelopes().take(MAX_ENVELOPES) {
        match opener.open_as(root, &submitted.bytes, digest, case.at()) {
            Ok(attestation) => attestations.push((submitted.name.as_str(), attestation)),
            Err(Unopened::Unreadable(e)) => findings.push(evidence::unreadable(&submitted.name, &e)),
            Err(Unopened::Refused(e)) => findings.push(evidence::not_authentic(&submitted.name, &e)),
        }
    }
    check_clock(case, &attestations).map_err(Undecided::Clock)?;
    let (about_artifact, elsewhere) = split(attestations, case.artifact());
    let choice = choose(&about_artifact, policy, case, root);
    let (about_source, about_imports) = (Vec::new(), Vec::new());
    let mut facts =
        Facts { case, root, about_artifact, about_source, about_imports, choice, has_unplaced: false };
    let source = facts.provenance().and_then(|judged| judged.evidence.source_artifact());
    let consequences = facts.place_elsewhere(elsewhere, source.as_ref(), &mut findings);
    Ok(Gathered { facts, findings, consequences })
}

/// A clock that is behind something that has happened decides nothing.
pub(crate) fn check_clock(case: &Case, attestations: &[(&str, Attestation)]) -> Result<(), String> {
    const TOLERANCE: i64 = 60;
    let is_behind = |seen: Timestamp| seen.as_second().saturating_sub(case.at().as_second()) > TOLERANCE;
    if let Some(seen) = case.frame().last_seen.filter(|t| is_behind(*t)) {
        return Err(format!(
            "the clock says {} and the newest record is of {seen}: set the clock",
            case.at()
        ));
    }
    match attestations.iter().find_map(|(name, a)| a.time().filter(|t| is_behind(*t)).map(|t| (name, t))) {
        Some((name, seen)) => {
            Err(format!("the clock says {} and a witness saw {name} at {seen}: set the clock", case.at()))
        }
        None => Ok(()),
    }
}

type Named<'n> = (&'n str, Attestation);

fn split<'n>(attestations: Vec<Named<'n>>, artifact: &Artifact) -> (Vec<Evidence>, Vec<Named<'n>>) {
    let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
    for (name, attestation) in attestations {
        match attestation.about(artifact) {
            Ok(evidence) => here.push(evidence),
            Err(_) => elsewhere.push((name, attestation)),
        }
    }
    (here, elsewhere)
}

/// The one provenance that is judged: whatever is not a rebuilder's. Two are ambiguous, and none is picked.
fn choose(evidence: &[Evidence], policy: &Policy, case: &Case, root: &TrustRoot) -> Choice {
    let is_candidate =
        |e: &&Evidence| matches!(e.predicate(), Predicate::Provenance(_)) && !only_rebuilds(e.attestation());
    let mut candidates = evidence.iter().enumerate().filter(|(_, e)| is_candidate(e));
    let Some((index, evidence)) = candidates.next() else { return Choice::None };
    if candidates.next().is_some() {
        return Choice::Ambiguous;
    }
    // without `built-by` nobody is believed: the language refuses rules that read provenance then
    let builders = policy.names_of("built-by");
    match built_by::accept(builders, evidence, case, root) {
        Ok(builders) => Choice::One(index, builders),
        Err(_) => Choice::Refused(index),
    }
}

/// Whether nobody signed it who may say how something was built first.
pub(crate) fn only_rebuilds(attestation: &Attestation) -> bool {
    let only = |roles: &BTreeSet<Role>| roles.contains(&Role::Rebuilder) && !roles.contains(&Role::Builder);
    attestation.signers().iter().all(|s| only(&s.roles))
}

impl<'a> Facts<'a> {
    /// Sorts what is not about the artifact: about its source, or about something else.
    fn place_elsewhere(
        &mut self,
        elsewhere: Vec<Named<'_>>,
        source: Option<&Artifact>,
        findings: &mut Vec<Finding>,
    ) -> Vec<Finding> {
        let mut consequences = Vec::new();
        let parts = if elsewhere.is_empty() { Parts::default() } else { Parts::of(self) };
        for (name, attestation) in elsewhere {
            let is_import = matches!(attestation.statement().predicate, Predicate::Import(_));
            if let Some(evidence) = parts.find(&attestation).filter(|_| is_import) {
                self.about_imports.push(evidence);
                continue;
            }
            match source.map(|source| attestation.about(source)) {
                Some(Ok(evidence)) => self.about_source.push(evidence),
                _ => {
                    let finding = evidence::not_about(name, &attestation, self.case.artifact(), source);
                    let is_of_commit = attestation.statement().subjects.iter().all(|s| {
                        s.digests
                            .iter()
                            .all(|d| d.bytes().len() == 20 || d.algorithm().name().starts_with("git"))
                    });
                    // without a judged provenance nothing says which commit the artifact came from
                    if source.is_none() && is_of_commit {
                        self.has_unplaced = true;
                        consequences.push(finding);
                    } else if is_import && self.provenance().is_none() {
                        // nor what it was made of
                        consequences.push(finding);
                    } else {
                        findings.push(finding);
                    }
                }
            }
        }
        consequences
    }

    /// The case.
    #[must_use]
    pub fn case(&self) -> &'a Case {
        self.case
    }

    /// The trust root.
    #[must_use]
    pub fn root(&self) -> &'a TrustRoot {
        self.root
    }

    /// The evidence about the artifact.
    #[must_use]
    pub fn about_artifact(&self) -> &[Evidence] {
        &self.about_artifact
    }

    /// The evidence about the artifact and that about its source.
    pub fn all(&self) -> impl Iterator<Item = &Evidence> {
        self.about_artifact.iter().chain(&self.about_source)
    }

    /// Whether evidence about a commit was submitted that nothing ties to the artifact.
    #[must_use]
    pub fn has_unplaced(&self) -> bool {
        self.has_unplaced
    }

    /// The reviews of the source.
    pub fn about_source(&self) -> &[Evidence] {
        &self.about_source
    }

    /// The reviews of packages that the artifact is made of.
    pub fn about_imports(&self) -> &[Evidence] {
        &self.about_imports
    }

    /// The one provenance that was submitted, whether or not its signer may speak.
    #[must_use]
    pub fn submitted_provenance(&self) -> Option<&Evidence> {
        match self.choice {
            Choice::One(index, _) | Choice::Refused(index) => self.about_artifact.get(index),
            Choice::None | Choice::Ambiguous => None,
        }
    }

    /// Whether two provenance records were submitted.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self.choice, Choice::Ambiguous)
    }

    /// The provenance that rules read. Where there is none, `built-by` or `evidence-unambiguous` refuses for that very
    /// reason, and a rule that reads provenance has nothing to add.
    #[must_use]
    pub fn provenance(&self) -> Option<Judged<'_>> {
        let Choice::One(index, builders) = &self.choice else { return None };
        let evidence = self.about_artifact.get(*index)?;
        let Predicate::Provenance(provenance) = evidence.predicate() else { return None };
        Some(Judged { evidence, provenance, builders })
    }
}

/// What the artifact is made of, as its evidence says, by digests.
#[derive(Default)]
struct Parts(BTreeMap<Digest, DigestSet>);

impl Parts {
    fn of(facts: &Facts<'_>) -> Self {
        let mut sets: Vec<DigestSet> = Vec::new();
        if let Some(judged) = facts.provenance() {
            sets.extend(judged.provenance.dependencies.iter().map(|d| d.digests.clone()));
        }
        for evidence in &facts.about_artifact {
            let kind = evidence.attestation().statement().predicate_type.as_str();
            if let (Predicate::Other(body), true) = (evidence.predicate(), parts::is_list(kind)) {
                // one that cannot be read is told by the rule that asks for it
                sets.extend(parts::read(body).unwrap_or_default().into_iter().map(|part| part.digests));
            }
        }
        let by_digest = |set: DigestSet| set.iter().map(|digest| (digest, set.clone())).collect::<Vec<_>>();
        Self(sets.into_iter().flat_map(by_digest).collect())
    }

    /// The attestation as evidence about the first part that it is about.
    fn find(&self, attestation: &Attestation) -> Option<Evidence> {
        let digests = attestation.statement().subjects.iter().flat_map(|s| s.digests.iter());
        let mut parts = digests.filter_map(|digest| self.0.get(&digest));
        parts.find_map(|part| attestation.about(&Artifact::new("", part.clone())).ok())
    }
}

/// `provenance, signed by official-ci`.
pub(crate) fn describe(evidence: &Evidence) -> String {
    format!("{}, signed by {}", evidence.predicate().kind(), evidence.signer_names())
}
