//! What a re-judgement came to, grouped by what would mend it.

use std::collections::BTreeMap;

use attest::{Json, Object};
use chokepoint::{Answer, Decision};
use policy::{Finding, Outcome};

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
    /// One of the findings: they differ in what was found only.
    pub example: Finding,
    /// How many have it.
    pub count: u64,
    /// Some of them.
    pub named: Vec<Subject>,
}

/// What a re-judgement came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    counts: BTreeMap<Turn, u64>,
    groups: BTreeMap<Turn, BTreeMap<Key, Group>>,
    /// Newly let in: environment and policy, and who.
    opened: BTreeMap<String, (u64, Vec<Subject>)>,
    undecided: BTreeMap<String, (u64, Vec<Subject>)>,
}

/// Environment, the rule's rank and name, and the way to mend it.
type Key = (String, String, String);

impl Report {
    /// Nothing was judged.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what came of one question that so many ask.
    pub fn add(&mut self, environment: &str, subject: &Subject, running: u64, turn: Turn, now: &Decision) {
        *self.counts.entry(turn).or_default() += running;
        match turn {
            Turn::Same => {}
            Turn::Opens => note(self.opened.entry(environment.to_owned()).or_default(), subject, running),
            Turn::CannotDecide => {
                let why = match now.verdict().outcome() {
                    Outcome::CannotDecide(why) => why.clone(),
                    Outcome::Met | Outcome::Unmet => String::new(),
                };
                note(self.undecided.entry(why).or_default(), subject, running);
            }
            Turn::Breaks | Turn::Tolerated => {
                for finding in now.verdict().findings() {
                    self.group(environment, subject, running, turn, finding);
                }
            }
        }
    }

    /// Counts what could not be judged again.
    pub fn add_unjudged(&mut self, subject: &Subject, running: u64, why: &str) {
        *self.counts.entry(Turn::CannotDecide).or_default() += running;
        note(self.undecided.entry(why.to_owned()).or_default(), subject, running);
    }

    fn group(&mut self, environment: &str, subject: &Subject, running: u64, turn: Turn, finding: &Finding) {
        let fix = finding.fixes().first().map(|fix| general(fix, subject)).unwrap_or_default();
        let key = (environment.to_owned(), finding.rule.to_owned(), fix);
        let group = self.groups.entry(turn).or_default().entry(key).or_insert_with(|| Group {
            example: finding.clone(),
            count: 0,
            named: Vec::new(),
        });
        group.count += running;
        name(&mut group.named, subject);
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

    /// The groups of a turn, the largest first: environment and group.
    #[must_use]
    pub fn groups(&self, turn: Turn) -> Vec<(&str, &Group)> {
        let mut all: Vec<(&str, &Group)> = self
            .groups
            .get(&turn)
            .into_iter()
            .flatten()
            .map(|(key, group)| (key.0.as_str(), group))
            .collect();
        all.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
        all
    }

    /// What would be let in that was refused, by environment.
    pub fn opened(&self) -> impl Iterator<Item = (&str, u64, &[Subject])> {
        self.opened
            .iter()
            .map(|(environment, (count, named))| (environment.as_str(), *count, named.as_slice()))
    }

    /// What nothing can be said of, by the reason.
    pub fn undecided(&self) -> impl Iterator<Item = (&str, u64, &[Subject])> {
        self.undecided.iter().map(|(why, (count, named))| (why.as_str(), *count, named.as_slice()))
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let turns = [Turn::Breaks, Turn::Opens, Turn::Tolerated, Turn::Same, Turn::CannotDecide];
        let mut counts = Object::new();
        for turn in turns {
            counts.set(turn.name(), number(self.count(turn)));
        }
        let groups = |turn| {
            let group = |(environment, group): (&str, &Group)| {
                Json::from(
                    Object::new()
                        .with("environment", environment)
                        .with("count", number(group.count))
                        .with("finding", group.example.to_json())
                        .with("named", subjects(&group.named)),
                )
            };
            Json::Array(self.groups(turn).into_iter().map(group).collect())
        };
        let counted = |(what, count, named): (&str, u64, &[Subject])| {
            Json::from(
                Object::new().with("of", what).with("count", number(count)).with("named", subjects(named)),
            )
        };
        Object::new()
            .with("judged", number(self.judged()))
            .with("counts", counts)
            .with("breaks", groups(Turn::Breaks))
            .with("tolerated", groups(Turn::Tolerated))
            .with("opens", Json::Array(self.opened().map(counted).collect()))
            .with("cannot_decide", Json::Array(self.undecided().map(counted).collect()))
            .into()
    }
}

fn note((count, named): &mut (u64, Vec<Subject>), subject: &Subject, running: u64) {
    *count += running;
    name(named, subject);
}

fn name(named: &mut Vec<Subject>, subject: &Subject) {
    if named.len() < NAMED && !named.contains(subject) {
        named.push(subject.clone());
    }
}

/// A fix without what is of one artifact alone: its name, and whatever is a digest.
fn general(fix: &str, subject: &Subject) -> String {
    let is_digest = |word: &str| word.len() >= 12 && word.chars().all(|c| c.is_ascii_hexdigit());
    let fix = fix.replace(&subject.artifact, "ARTIFACT");
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
