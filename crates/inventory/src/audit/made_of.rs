//! What everything that runs is made of, as far as somebody proves it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use advisory::dependencies::{is_bom, of_provenance, of_statement};
use advisory::{Component, Wanted};
use attest::{Agreement, Artifact, Attestation, Digest, Opener, Predicate, TrustRoot};
use jiff::Timestamp;

use super::fleet::{EvidenceId, Fleet, QuestionId};
use super::judge::{in_parts, load};
use super::spelling::{Number, Once};
use super::verify::{EvidenceSource, Gathered, threads};
use crate::facts::believed;

/// What everything that runs is made of. A component is held once, however many artifacts have it.
#[derive(Debug, Default)]
pub struct MadeOf {
    components: Once<Component>,
    artifacts: Vec<Made>,
    of_question: BTreeMap<QuestionId, usize>,
}

/// What one artifact is made of.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) artifact: Artifact,
    /// What its builder calls it: VEX may speak of that.
    pub(super) names: Vec<String>,
    components: Vec<Number>,
    /// Why that is not all, or nothing.
    pub(super) not_told: Option<NotTold>,
}

/// Why nobody can tell what something that runs is made of, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotTold {
    /// Nothing that is proven lists a package of an ecosystem that has advisories.
    Unlisted,
    /// A signed list has another shape.
    Unreadable,
    /// Evidence on record is not there.
    Missing,
    /// The case of the record that let it in cannot be had.
    Lost,
}

impl NotTold {
    /// The word in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlisted => "unlisted",
            Self::Unreadable => "unreadable",
            Self::Missing => "missing",
            Self::Lost => "lost",
        }
    }

    /// Whether something that was told once is not there any more, or cannot be read.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self != Self::Unlisted
    }
}

impl fmt::Display for NotTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unlisted => "no proven provenance or list of parts names a package",
            Self::Unreadable => "a signed list of parts cannot be read",
            Self::Missing => "evidence on record is not there: restore it from a backup",
            Self::Lost => "the case of its record cannot be read",
        })
    }
}

impl Gathered {
    /// Opens all evidence of what runs under a trust root, and keeps what it says of components. Provenance counts where
    /// its builder may say it, a list of parts where anybody signed it whom the trust root knows: a list can only add.
    #[must_use]
    pub fn made_of(
        &self,
        root: &TrustRoot,
        at: Timestamp,
        opener: &(dyn Opener + Sync),
        evidence: &dyn EvidenceSource,
    ) -> MadeOf {
        let made = Mutex::new(MadeOf::default());
        let fetch = |digest: &Digest| evidence.fetch(digest);
        in_parts(&self.fleet, threads(), &|part| {
            let opening = Opening { root, at, opener, fetch: &fetch };
            opening.read(&self.fleet, part, &made);
        });
        made.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MadeOf {
    /// The packages to look up.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted::of(self.components.iter())
    }

    /// How many different components there are.
    #[must_use]
    pub fn components(&self) -> usize {
        self.components.len()
    }

    /// How many different artifacts run.
    #[must_use]
    pub fn artifacts(&self) -> usize {
        self.artifacts.len()
    }

    pub(super) fn all(&self) -> &[Made] {
        &self.artifacts
    }

    pub(super) fn parts(&self, made: &Made) -> Vec<Component> {
        made.components.iter().filter_map(|number| self.components.get(*number)).cloned().collect()
    }

    /// The place of what a question asks about.
    pub(super) fn of(&self, question: QuestionId) -> Option<usize> {
        self.of_question.get(&question).copied()
    }

    fn add(&mut self, question: QuestionId, artifact: &Artifact, told: Told) -> usize {
        let place = self.artifacts.len();
        let numbers = told.components.into_iter().filter_map(|one| self.components.number(one));
        let components: Vec<Number> = numbers.collect();
        let unlisted = components.is_empty().then_some(NotTold::Unlisted);
        let (artifact, not_told) = (artifact.clone(), told.not_told.or(unlisted));
        self.artifacts.push(Made { artifact, names: told.names, components, not_told });
        self.of_question.insert(question, place);
        place
    }
}

/// How evidence is opened.
struct Opening<'a> {
    root: &'a TrustRoot,
    at: Timestamp,
    opener: &'a (dyn Opener + Sync),
    fetch: &'a (dyn Fn(&Digest) -> Option<Vec<u8>> + Sync),
}

/// What one set of evidence says, of whatever artifacts.
#[derive(Default)]
struct Opened {
    lists: Vec<(Attestation, Vec<Component>)>,
    not_told: Option<NotTold>,
}

/// What is said of one artifact.
struct Told {
    components: BTreeSet<Component>,
    names: Vec<String>,
    not_told: Option<NotTold>,
}

impl Opening<'_> {
    fn read(&self, fleet: &Fleet, part: &[QuestionId], made: &Mutex<MadeOf>) {
        let mut held: Option<(EvidenceId, Opened)> = None;
        let mut last: Option<(EvidenceId, &Artifact, usize)> = None;
        for id in part {
            let Some(question) = fleet.question(*id).filter(|question| question.running > 0) else {
                continue;
            };
            let set = question.evidence;
            if let Some((_, _, place)) = last.filter(|(of, a, _)| *of == set && *a == question.artifact) {
                let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                made.of_question.insert(*id, place);
                continue;
            }
            if held.as_ref().is_none_or(|(of, _)| *of != set) {
                held = Some((set, self.open(fleet, set)));
            }
            let Some((_, opened)) = &held else { continue };
            let told = opened.of(question.artifact, self.root);
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            last = Some((set, question.artifact, made.add(*id, question.artifact, told)));
        }
    }

    fn open(&self, fleet: &Fleet, set: EvidenceId) -> Opened {
        let mut opened = Opened::default();
        let Ok(envelopes) = load(fleet, set, self.fetch) else {
            return Opened { not_told: Some(NotTold::Missing), ..opened };
        };
        let opener: &dyn Opener = self.opener;
        for envelope in envelopes {
            // what is not proven says nothing
            let Ok(attestation) = opener.open(self.root, &envelope.bytes, self.at) else { continue };
            let statement = attestation.statement();
            let components = match &statement.predicate {
                Predicate::Provenance(provenance) => of_provenance(provenance.as_ref()),
                Predicate::Other(_) if is_bom(&statement.predicate_type) => match of_statement(statement) {
                    Ok(bom) => bom.components,
                    Err(_) => {
                        opened.not_told = Some(NotTold::Unreadable);
                        continue;
                    }
                },
                _ => continue,
            };
            opened.lists.push((attestation, components));
        }
        opened
    }
}

impl Opened {
    fn of(&self, artifact: &Artifact, root: &TrustRoot) -> Told {
        let mut told = Told { components: BTreeSet::new(), names: Vec::new(), not_told: self.not_told };
        for (attestation, components) in &self.lists {
            let Ok(evidence) = attestation.about(artifact) else { continue };
            if matches!(evidence.predicate(), Predicate::Provenance(_)) {
                if believed(&evidence, root).is_none() {
                    continue;
                }
                let subjects = attestation.statement().subjects.iter();
                let own = subjects.filter(|s| s.digests.agrees(artifact.digests()) == Agreement::Same);
                told.names.extend(own.map(|subject| subject.name.clone()));
            }
            // of no ecosystem: no advisory can be looked up for it
            told.components.extend(components.iter().filter(|c| c.ecosystem.is_some()).cloned());
        }
        told
    }
}
