//! The rules that are in force in a region, compared for each span of time in which they stay the same.

use jiff::Timestamp;

use super::judged;
use super::region::Region;
use super::setting::both_enforce;
use super::statement::{Flip, Kind, Statement, Threats};
use crate::policy::Policy;
use crate::rule::{Beyond, Requirement, Rule};

/// The rules of two policies that are in force at a time.
pub(super) struct InForce<'a> {
    pub(super) before: Vec<&'a Requirement>,
    pub(super) after: Vec<&'a Requirement>,
    pub(super) policies: (&'a Policy, &'a Policy),
    pub(super) region: &'a Region,
}

/// What changes in the rules of a region.
pub(super) fn compare(before: &Policy, after: &Policy, region: &Region) -> Vec<Statement> {
    let upcoming = || before.upcoming().iter().chain(after.upcoming());
    let mut starts: Vec<Option<Timestamp>> = upcoming().map(|u| Some(u.from)).chain([None]).collect();
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain([None]);
    let mut all: Vec<Statement> = Vec::new();
    for (from, until) in starts.iter().copied().zip(ends) {
        let in_force =
            InForce { before: at(before, from), after: at(after, from), policies: (before, after), region };
        for statement in in_force.compare() {
            let statement = Statement { from, until, ..statement };
            match all.iter_mut().find(|s| goes_on(s, &statement)) {
                Some(earlier) => earlier.until = until,
                None => all.push(statement),
            }
        }
    }
    all
}

/// What a policy requires from a time on, until its next date.
fn at(policy: &Policy, from: Option<Timestamp>) -> Vec<&Requirement> {
    let in_force = policy.upcoming().iter().filter(|u| from.is_some_and(|from| u.from <= from));
    policy.require().iter().chain(in_force.flat_map(|u| &u.require)).collect()
}

/// Whether a statement says the same right after another one.
fn goes_on(earlier: &Statement, later: &Statement) -> bool {
    let same = Statement { from: earlier.from, until: earlier.until, ..later.clone() };
    earlier.until.is_some() && earlier.until == later.from && *earlier == same
}

impl InForce<'_> {
    fn compare(&self) -> Vec<Statement> {
        let mut statements: Vec<Statement> =
            self.before.iter().flat_map(|r| self.passes(Flip::Met, r, &self.after)).collect();
        statements.extend(self.after.iter().flat_map(|r| self.passes(Flip::Unmet, r, &self.before)));
        statements.extend(judged::compare(self));
        statements.dedup();
        statements
    }

    /// What fails a requirement of one side, and passes the other side.
    fn passes(&self, flip: Flip, failed: &Requirement, others: &[&Requirement]) -> Vec<Statement> {
        let rule = failed.rule;
        let same: Vec<&&Requirement> = others.iter().filter(|r| r.rule.name == rule.name).collect();
        let ways = match same.as_slice() {
            [] => vec![(Beyond::only(failed.check.outside()), None)],
            same => not_implied(failed, same).into_iter().map(|(b, r)| (b, Some(r))).collect(),
        };
        let threats = Threats {
            touched: rule.threats.to_vec(),
            alone: if same.is_empty() { alone(rule, others) } else { Vec::new() },
        };
        let say = |(beyond, passed): (Beyond, Option<&Requirement>)| {
            let passed = passed.map(|r| r.place.clone());
            let failed = Some(failed.place.clone());
            let (old, new) = if flip == Flip::Met { (failed, passed) } else { (passed, failed) };
            let threats = threats.clone();
            Statement {
                old,
                new,
                threats,
                ..self.statement(flip, rule.name, beyond.words, rules_of(rule, !same.is_empty()))
            }
        };
        ways.into_iter().map(say).collect()
    }

    /// A statement about the verdict of this region.
    pub(super) fn statement(
        &self,
        flip: Flip,
        about: &'static str,
        words: String,
        rules: Vec<&'static str>,
    ) -> Statement {
        let (before, after) = self.policies;
        let kind = match flip {
            _ if !both_enforce(before, after) => Kind::Otherwise,
            Flip::Met => Kind::Admits,
            Flip::Unmet => Kind::Refuses,
        };
        Statement {
            kind,
            region: self.region.clone(),
            about,
            words,
            flip: Some(flip),
            rules,
            old: None,
            new: None,
            from: None,
            until: None,
            threats: Threats::default(),
        }
    }
}

/// The ways in which something fails a requirement and passes all of the others. What passes all of them fails it in a
/// way in which each of them can be passed: one such entry of the first tells about all.
fn not_implied<'r>(failed: &Requirement, others: &[&'r &'r Requirement]) -> Vec<(Beyond, &'r Requirement)> {
    let Some((first, rest)) = others.split_first() else { return Vec::new() };
    let mut ways: Vec<(Beyond, &Requirement)> =
        first.check.beyond(failed.check.as_ref()).into_iter().map(|b| (b, **first)).collect();
    for other in rest {
        let more = other.check.beyond(failed.check.as_ref());
        ways.retain(|(beyond, _)| more.iter().any(|m| m.way == beyond.way));
    }
    ways
}

/// The rules whose findings go with those of a rule that both sides have: where another builder's provenance is not judged,
/// others miss what it would tell. Where one side judges none at all, [`judged::compare`] says what they miss.
fn rules_of(rule: &Rule, is_in_both: bool) -> Vec<&'static str> {
    let mut rules = vec![rule.name];
    if rule.name == "built-by" && is_in_both {
        rules.extend(judged::DEPENDENT);
    }
    rules
}

/// The threats that a rule mitigates and that nothing on the other side does, where the rule is not.
fn alone(rule: &Rule, others: &[&Requirement]) -> Vec<&'static str> {
    let is_mitigated = |threat: &str| others.iter().any(|r| r.rule.threats.contains(&threat));
    rule.threats.iter().filter(|threat| !is_mitigated(threat)).copied().collect()
}
