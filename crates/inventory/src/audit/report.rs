//! What a re-judgement came to, grouped by what would mend it.

use std::collections::BTreeMap;

use attest::{Json, Object};
use chokepoint::{Answer, Decision};
use policy::{Finding, Outcome};

use super::spelling::Once;

/// So many are named in a group; the others are counted.
const NAMED: usize = 20;

/// Who asked a question, as people know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// What runs it; or the artifact where that is not known.
    pub name: String,
    /// The artifact.
    pub artifact: String,
    /// The record that let it in, or refused it.
    pub record: Option<u64>,
}

/// How a decision turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// It was let in, and would not be.
    Breaks,
    /// It was refused, and would be let in.
    Opens,
    /// It is as it was, and was let in although its policy was not met, or would be.
    Tolerated,
    /// It is as it was.
    Same,
    /// Nothing can be said.
    CannotDecide,
}

impl Turn {
    /// How a decision turns.
    #[must_use]
    pub fn of(was_admitted: bool, now: &Decision) -> Self {
        match (was_admitted, now.answer(), now.verdict().outcome()) {
            (_, Answer::Reject, Outcome::CannotDecide(_)) => Self::CannotDecide,
            (true, Answer::Reject, _) => Self::Breaks,
            (false, Answer::Admit, _) => Self::Opens,
            (true, Answer::Admit, Outcome::Unmet | Outcome::CannotDecide(_)) => Self::Tolerated,
            (true, Answer::Admit, Outcome::Met) | (false, Answer::Reject, _) => Self::Same,
        }
    }

    /// The word in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Breaks => "breaks",
            Self::Opens => "opens",
            Self::Tolerated => "tolerated",
            Self::Same => "same",
            Self::CannotDecide => "cannot-decide",
        }
    }
}

/// All that one way of mending would mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How it turns.
    pub turn: Turn,
    /// Where.
    pub environment: String,
    /// One of the findings: they differ in what was found only. Nothing where nothing was found wrong.
    pub example: Option<Finding>,
    /// Why nothing can be said, where that is so.
    pub why: String,
    /// How many there are.
    pub count: u64,
    /// Some of them.
    pub named: Vec<Subject>,
}

/// What a re-judgement came to.
#[derive(Debug, Default)]
pub struct Report {
    counts: BTreeMap<Turn, u64>,
    keys: Once<Key>,
    groups: Vec<Group>,
}

/// How it turns, the environment, the rule, and the way to mend it or the reason.
type Key = (Turn, String, String, String);
/// A group's number.
pub type GroupId = u32;

impl Report {
    /// Nothing was judged.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what came of one question about an artifact that so many ask; the groups that they are in.
    pub fn add(
        &mut self,
        environment: &str,
        artifact: &str,
        running: u64,
        turn: Turn,
        now: &Decision,
    ) -> Vec<GroupId> {
        *self.counts.entry(turn).or_default() += running;
        let why = match now.verdict().outcome() {
            Outcome::CannotDecide(why) => why.as_str(),
            Outcome::Met | Outcome::Unmet => "",
        };
        let findings: Vec<Option<&Finding>> = match turn {
            Turn::Same => return Vec::new(),
            Turn::Breaks | Turn::Tolerated if !now.verdict().findings().is_empty() => {
                now.verdict().findings().iter().map(Some).collect()
            }
            Turn::Breaks | Turn::Tolerated | Turn::Opens | Turn::CannotDecide => vec![None],
        };
        let group = |finding| self.group((turn, environment, artifact), running, finding, why);
        findings.into_iter().filter_map(group).collect()
    }

    /// Counts what could not be judged again.
    pub fn add_unjudged(&mut self, environment: &str, running: u64, why: &str) -> Vec<GroupId> {
        *self.counts.entry(Turn::CannotDecide).or_default() += running;
        self.group((Turn::CannotDecide, environment, ""), running, None, why).into_iter().collect()
    }

    fn group(
        &mut self,
        (turn, environment, artifact): (Turn, &str, &str),
        running: u64,
        finding: Option<&Finding>,
        why: &str,
    ) -> Option<GroupId> {
        let rule = finding.map(|f| f.rule.to_owned()).unwrap_or_default();
        let fix = finding.and_then(|f| f.fixes().first()).map(|fix| general(fix, artifact));
        let key = (turn, environment.to_owned(), rule, fix.unwrap_or_else(|| why.to_owned()));
        let number = self.keys.number(key)?;
        let at = usize::try_from(number).ok()?;
        if at == self.groups.len() {
            self.groups.push(Group {
                turn,
                environment: environment.to_owned(),
                example: finding.cloned(),
                why: why.to_owned(),
                count: 0,
                named: Vec::new(),
            });
        }
        self.groups.get_mut(at)?.count += running;
        Some(number)
    }

    /// Names somebody who is in these groups.
    pub fn name(&mut self, groups: &[GroupId], subject: &Subject) {
        for number in groups {
            let group = usize::try_from(*number).ok().and_then(|at| self.groups.get_mut(at));
            if let Some(group) = group.filter(|g| g.named.len() < NAMED && !g.named.contains(subject)) {
                group.named.push(subject.clone());
            }
        }
    }

    /// A group.
    #[must_use]
    pub fn get(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(usize::try_from(id).ok()?)
    }

    /// How many turn in a way.
    #[must_use]
    pub fn count(&self, turn: Turn) -> u64 {
        self.counts.get(&turn).copied().unwrap_or(0)
    }

    /// How many were judged.
    #[must_use]
    pub fn judged(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The groups of a turn, the largest first.
    #[must_use]
    pub fn groups(&self, turn: Turn) -> Vec<&Group> {
        let mut all: Vec<&Group> = self.groups.iter().filter(|g| g.turn == turn).collect();
        all.sort_by_key(|group| std::cmp::Reverse(group.count));
        all
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let turns = [Turn::Breaks, Turn::Opens, Turn::Tolerated, Turn::Same, Turn::CannotDecide];
        let mut counts = Object::new();
        for turn in turns {
            counts.set(turn.name(), number(self.count(turn)));
        }
        let mut object = Object::new().with("judged", number(self.judged())).with("counts", counts);
        for turn in [Turn::Breaks, Turn::Opens, Turn::Tolerated, Turn::CannotDecide] {
            let groups = self.groups(turn).into_iter().map(Group::to_json);
            object.set(turn.name(), Json::Array(groups.collect()));
        }
        object.into()
    }
}

impl Group {
    fn to_json(&self) -> Json {
        let mut object = Object::new().with("environment", self.environment.as_str());
        object.set("count", number(self.count));
        object.set_some("finding", self.example.as_ref().map(Finding::to_json));
        object.set_some("why", (!self.why.is_empty()).then_some(self.why.as_str()));
        object.with("named", subjects(&self.named)).into()
    }
}

/// A fix without what is of one artifact alone: its name, and whatever is a digest.
fn general(fix: &str, artifact: &str) -> String {
    let is_digest = |word: &str| word.len() >= 12 && word.chars().all(|c| c.is_ascii_hexdigit());
    let fix = if artifact.is_empty() { fix.to_owned() } else { fix.replace(artifact, "ARTIFACT") };
    let word = |word: &str| {
        if word.split([':', '@', '…']).any(is_digest) { "DIGEST".to_owned() } else { word.to_owned() }
    };
    fix.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn subjects(named: &[Subject]) -> Json {
    let subject = |s: &Subject| {
        let mut object = Object::new().with("name", s.name.as_str()).with("artifact", s.artifact.as_str());
        object.set_some("record", s.record.map(number));
        Json::from(object)
    };
    Json::Array(named.iter().map(subject).collect())
}

fn number(n: u64) -> Json {
    Json::Int(i64::try_from(n).unwrap_or(i64::MAX))
}
