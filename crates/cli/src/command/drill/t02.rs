//! T2, a change adds a backdoor: somebody else than every author must have approved, and a person is one person.

use super::outcome::{Trial, Wanted};
use super::stage::{ALICE, BOB, Deployment, People, Stage};
use crate::failure::Failure;

const ALICES: &str = "alice@drill.example";
const BOBS: &str = "bob@drill.example";

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let rules = stage.rules()?;
    let (none, two) = (rules.without("reviewed")?, rules.policy_with("approvals: 1", "approvals: 2")?);
    let change = Change::of(stage)?;
    let (stack, ancestor) = stacked(stage)?;
    let unreviewed = ("no `reviewed` in the policy", &none);
    let refused = Wanted::rules(&["source-reviewed"]);
    Ok(vec![
        stage.attack(
            "the author approves the own change",
            refused,
            (&rules, &change.approved_by(&[ALICES])?),
            unreviewed,
        )?,
        stage.attack(
            "two approvals are needed, and one person gives both",
            refused,
            (&two, &change.approved_by(&[BOBS, "robert@drill.example"])?),
            ("one approval instead of two in the policy", &rules),
        )?,
        stage.attack(
            "the same person approves with two keys",
            refused,
            (&two, &change.signed_twice()?),
            ("one approval instead of two in the policy", &rules),
        )?,
        stage.attack(
            "somebody approves whom nobody knows",
            refused,
            (&rules, &change.approved_by(&["reviewer@evil.example"])?),
            unreviewed,
        )?,
        stage.attack(
            "the last commit is reviewed, and the one before it is not",
            refused,
            (&rules, &stack),
            unreviewed,
        )?,
        stage.attack(
            "who wrote the commit before approves both",
            refused,
            (&rules, &ancestor),
            unreviewed,
        )?,
        stage.admit("a second person approves, and it is admitted", &rules, &change.approved_by(&[BOBS])?)?,
    ])
}

/// Alice's change to what was reviewed.
struct Change<'s> {
    stage: &'s Stage<'s>,
    deployment: Deployment,
    commit: attest::Digest,
    base: attest::Digest,
}

impl<'s> Change<'s> {
    fn of(stage: &'s Stage<'s>) -> Result<Self, Failure> {
        let repository = stage.repository()?;
        repository.branch("backdoor", "main")?;
        repository.change(ALICE, "puts(\"shop", "puts(\"the shop", "Nothing to see here")?;
        let built = stage.built("backdoor")?;
        let base = repository.head("main")?;
        Ok(Self { stage, deployment: stage.deployment(&built)?, commit: built.commit, base })
    }

    /// With the forge's word that these approved.
    fn approved_by(&self, reviewers: &[&str]) -> Result<Deployment, Failure> {
        let people = People { authors: &[ALICES], reviewers };
        let review = self.stage.review(&self.commit, Some(&self.base), people)?;
        Ok(self.deployment.clone().with("review", review))
    }

    /// With bob's own word, under both of his keys.
    fn signed_twice(&self) -> Result<Deployment, Failure> {
        let people = People { authors: &[ALICES], reviewers: &[BOBS] };
        let review = self.stage.review_by(&["bob", "bob-second"], &self.commit, None, people)?;
        Ok(self.deployment.clone().with("review", review))
    }
}

/// Bob's unreviewed commit below alice's: approved by bob as if his own had been reviewed, and by bob for both.
fn stacked(stage: &Stage<'_>) -> Result<(Deployment, Deployment), Failure> {
    let repository = stage.repository()?;
    repository.branch("stacked", "main")?;
    repository.change(BOB, "#include <stdio.h>", "#include <stdio.h>\n", "Space")?;
    let below = repository.head("stacked")?;
    repository.change(ALICE, "puts(\"shop", "puts(\"A shop", "A word")?;
    let built = stage.built("stacked")?;
    let deployment = stage.deployment(&built)?;
    let people = People { authors: &[ALICES], reviewers: &[BOBS] };
    let top = stage.review_by(&["bob"], &built.commit, Some(&below), people)?;
    let both = People { authors: &[ALICES, BOBS], reviewers: &[BOBS] };
    let both = stage.review(&built.commit, Some(&repository.head("main")?), both)?;
    Ok((deployment.clone().with("review", top), deployment.with("review", both)))
}
