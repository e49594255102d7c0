//! T5, a modified binary is deployed: what is deployed is compared by its digest, and needs provenance of its own.

use super::outcome::{Trial, Wanted};
use super::stage::Stage;
use crate::failure::Failure;

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (rules, good) = (stage.rules()?, stage.honest()?);
    let mut bytes =
        std::fs::read(&good.artifact).map_err(|e| Failure::io("read the artifact", &good.artifact, &e))?;
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    let flipped = stage.fresh("flipped")?.join("shop");
    tlog::write_durably(&flipped, &bytes).map_err(|e| Failure::io("write", &flipped, &e))?;
    let mut modified = good.clone();
    modified.artifact = flipped;
    let dry_run = rules.policy_with("mode: enforce", "mode: dry-run")?;
    Ok(vec![
        stage.attack(
            "one byte is flipped after the build",
            // the review alone is about the source, which is the same
            Wanted::rules(&["evidence-applies", "built-by", "tests", "version", "scanned"]),
            (&rules, &modified),
            ("the policy in dry run", &dry_run),
        )?,
        stage.admit("the bytes that were built are admitted", &rules, &good)?,
    ])
}
