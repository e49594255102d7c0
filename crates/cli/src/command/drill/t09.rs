//! T9, CI is misconfigured to build any repository: provenance names the source, and the policy the allowed one.

use super::outcome::{Trial, Wanted};
use super::stage::{ALICE, People, Stage};
use crate::failure::Failure;

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (rules, good) = (stage.rules()?, stage.honest()?);
    let fork = stage.repository()?.fork(&stage.fresh("fork")?.join("source"))?;
    fork.change(ALICE, "puts(\"shop", "puts(\"my shop", "Mine now")?;
    let built = stage.build(&fork, "main")?;
    // whatever else is asked is met there, as well as anybody could want it
    let people = People { authors: &["alice@drill.example"], reviewers: &["bob@drill.example"] };
    let base = stage.repository()?.head("main")?;
    let review = stage.review_at(&fork.uri(), &["forge"], (&built.commit, Some(&base)), people)?;
    let hostile = stage.deployment(&built)?.with("review", review);
    Ok(vec![
        stage.attack(
            "honest provenance of a hostile repository",
            Wanted::rules(&["source-repository"]),
            (&rules, &hostile),
            ("no `repository` in the policy", &rules.without("repository")?),
        )?,
        stage.admit("an artifact of the allowed repository is admitted", &rules, &good)?,
    ])
}
