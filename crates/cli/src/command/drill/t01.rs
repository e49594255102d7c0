//! T1, a change accidentally introduces a vulnerability: review and tests are required, and each is missed by its own name.

use super::outcome::{Trial, Wanted};
use super::stage::{ALICE, People, Stage};
use crate::failure::Failure;

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (rules, good) = (stage.rules()?, stage.honest()?);
    let without_review = rules.without("reviewed")?;
    let without_tests = rules.without("tests")?;
    let repository = stage.repository()?;

    // alice is in a hurry, and nobody looks at it
    repository.branch("hasty", "main")?;
    repository.change(ALICE, "return 0", "return  0", "A quick fix")?;
    let hasty = stage.deployment(&stage.built("hasty")?)?;

    // bob looked at it, and did not see what the test sees
    repository.branch("broken", "main")?;
    repository.change(ALICE, "shop is open", "shop is shut", "Other words")?;
    let built = stage.built("broken")?;
    let people = People { authors: &["alice@drill.example"], reviewers: &["bob@drill.example"] };
    let review = stage.review(&built.commit, None, people)?;
    let broken = stage.deployment(&built)?.with("review", review);
    let untested = good.clone().without("test")?;

    let reviewed = ("no `reviewed` in the policy", &without_review);
    let tested = ("no `tests` in the policy", &without_tests);
    Ok(vec![
        stage.attack(
            "an artifact of a commit that nobody reviewed",
            Wanted::rules(&["source-reviewed"]),
            (&rules, &hasty),
            reviewed,
        )?,
        stage.attack(
            "an artifact whose test failed",
            Wanted::rules(&["tests"]),
            (&rules, &broken),
            tested,
        )?,
        stage.attack(
            "an artifact whose test never ran",
            Wanted::rules(&["tests"]),
            (&rules, &untested),
            tested,
        )?,
        stage.admit("the reviewed and tested artifact is admitted", &rules, &good)?,
    ])
}
