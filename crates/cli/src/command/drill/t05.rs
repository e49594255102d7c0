//! T5, a modified binary is deployed: what is deployed is compared by its digest, and needs provenance of its own. What a database
//! runs are the bytes that were judged.

use super::migration::{AS_JUDGED, Database, Given, HARMFUL, HONEST};
use super::outcome::{Control, Trial, Wanted};
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
    let mut trials = vec![
        stage.attack(
            "one byte is flipped after the build",
            // the review alone is about the source, which is the same
            Wanted::rules(&["evidence-applies", "built-by", "tests", "version", "scanned"]),
            (&rules, &modified),
            ("the policy in dry run", &dry_run),
        )?,
        stage.admit("the bytes that were built are admitted", &rules, &good)?,
    ];
    trials.extend(migrations(stage)?);
    Ok(trials)
}

fn migrations(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (changed, swapped) =
        ("a migration is changed after its review", "a migration is swapped once it was admitted");
    stage.with_postgresql(&[changed, swapped], |server| {
        let database = Database::new(stage, server)?;
        let review = database.reviewed(HONEST)?;
        let dry_run = database.migrate("dry-run", HARMFUL, Some(&review))?;
        let by_name = database.swap(Given::Path, &review)?;
        Ok(vec![
            Trial::Attack {
                what: changed,
                wanted: Wanted::found(&["evidence-applies", "signed-by"]),
                seen: database.migrate("enforced", HARMFUL, Some(&review))?,
                control: Control { off: "the policy in dry run", seen: dry_run },
            },
            Trial::Attack {
                what: swapped,
                wanted: AS_JUDGED,
                seen: database.swap(Given::Judged, &review)?,
                control: Control { off: "psql given the file's name, and not the open file", seen: by_name },
            },
        ])
    })
}
