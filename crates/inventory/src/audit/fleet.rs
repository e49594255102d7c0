//! What runs, as the questions that it asks.

use std::collections::BTreeMap;

use attest::{Artifact, Digest};
use policy::Case;

use super::spelling::{Number, Once};

/// Which question, in the order of adding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuestionId(Number);

/// Which set of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvidenceId(pub(super) Number);

/// One question: everything that a verdict may look at but the time and the files in force. Two that run and ask the same
/// get the same verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'f> {
    /// What is deployed.
    pub artifact: &'f Artifact,
    /// Where.
    pub environment: &'f str,
    /// Who asked.
    pub requester: Option<&'f str>,
    /// Which choke point was asked.
    pub chokepoint: &'f str,
    /// The evidence: names and digests.
    pub evidence: EvidenceId,
    /// How many that run ask it.
    pub running: u64,
}

/// 24 bytes a question, beside the texts that many share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Compact {
    evidence: Number,
    artifact: Number,
    environment: Number,
    /// One more than the number; 0 for nobody known.
    requester: Number,
    chokepoint: Number,
}

/// What runs.
#[derive(Debug, Default)]
pub struct Fleet {
    texts: Once<String>,
    artifacts: Once<ByText>,
    evidence: Once<Vec<(String, Digest)>>,
    numbers: BTreeMap<Compact, Number>,
    questions: Vec<(Compact, u32)>,
}

/// An artifact in the order of its JSON, which says everything of it.
#[derive(Debug)]
struct ByText(String, Artifact);

impl PartialEq for ByText {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for ByText {}
impl PartialOrd for ByText {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ByText {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl Fleet {
    /// Nothing runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the question of a case, with `more` evidence than it had then. The question's place; nothing where there are
    /// more than four thousand million.
    pub fn add(&mut self, case: &Case, more: &[(String, Digest)]) -> Option<QuestionId> {
        let request = case.request();
        let mut evidence: Vec<(String, Digest)> =
            request.envelopes.iter().map(|e| (e.name.clone(), Digest::sha256(&e.bytes))).collect();
        let new = more
            .iter()
            .filter(|(_, digest)| request.envelopes.iter().all(|e| Digest::sha256(&e.bytes) != *digest));
        let new: Vec<_> = new.cloned().collect();
        evidence.extend(new);
        self.add_question(
            case.artifact(),
            case.environment(),
            request.requester.as_deref(),
            &request.chokepoint,
            evidence,
        )
    }

    /// Adds a question by its parts.
    pub fn add_question(
        &mut self,
        artifact: &Artifact,
        environment: &str,
        requester: Option<&str>,
        chokepoint: &str,
        evidence: Vec<(String, Digest)>,
    ) -> Option<QuestionId> {
        let requester = match requester {
            Some(text) => self.texts.number(text.to_owned())?.checked_add(1)?,
            None => 0,
        };
        let compact = Compact {
            evidence: self.evidence.number(evidence)?,
            artifact: self.artifacts.number(ByText(artifact.to_json().to_string(), artifact.clone()))?,
            environment: self.texts.number(environment.to_owned())?,
            requester,
            chokepoint: self.texts.number(chokepoint.to_owned())?,
        };
        let next = Number::try_from(self.questions.len()).ok()?;
        let number = *self.numbers.entry(compact).or_insert(next);
        if number == next {
            self.questions.push((compact, 0));
        }
        Some(QuestionId(number))
    }

    /// So many that run ask this.
    pub fn run(&mut self, question: QuestionId, count: u64) {
        let running = usize::try_from(question.0).ok().and_then(|at| self.questions.get_mut(at));
        if let Some((_, running)) = running {
            *running = running.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// Counting begins anew.
    pub fn nobody_runs(&mut self) {
        self.questions.iter_mut().for_each(|(_, running)| *running = 0);
    }

    /// How many different questions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Whether nothing runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// A question.
    #[must_use]
    pub fn question(&self, id: QuestionId) -> Option<Question<'_>> {
        let (compact, running) = self.questions.get(usize::try_from(id.0).ok()?)?;
        let requester = match compact.requester.checked_sub(1) {
            Some(number) => Some(self.texts.get(number)?.as_str()),
            None => None,
        };
        Some(Question {
            artifact: &self.artifacts.get(compact.artifact)?.1,
            environment: self.texts.get(compact.environment)?,
            requester,
            chokepoint: self.texts.get(compact.chokepoint)?,
            evidence: EvidenceId(compact.evidence),
            running: u64::from(*running),
        })
    }

    /// The names and digests of a set of evidence.
    #[must_use]
    pub fn evidence(&self, id: EvidenceId) -> &[(String, Digest)] {
        self.evidence.get(id.0).map(Vec::as_slice).unwrap_or_default()
    }

    /// All questions, those with the same evidence together.
    pub(super) fn in_order(&self) -> Vec<QuestionId> {
        self.numbers.values().copied().map(QuestionId).collect()
    }
}
