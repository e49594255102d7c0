//! T8, an old version with a known vulnerability is deployed: four ways to be old, and a message for each.

use attest::claims::Severity;

use super::outcome::{Trial, Wanted};
use super::stage::{Stage, digest, later};
use crate::failure::Failure;

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (rules, good) = (stage.rules()?, stage.honest()?);
    let (now, shop) = (stage.now()?, digest(&good.artifact)?);
    let scanned = |hours, found| stage.scan(&shop, later(now, hours)?, found);
    let stale = good.clone().with("scan", scanned(-8 * 24, None)?);
    let unscanned = good.clone().without("scan")?;
    let vulnerable = good.clone().with("scan", scanned(0, Some(Severity::High))?);
    let old = good.clone().with("release", stage.release(&shop, "1.4.1")?);
    let aged = good.clone().with("scan", scanned(31 * 24, None)?).hours_later(31 * 24)?;

    let (no_scan, no_version) = (rules.without("scanned")?, rules.without("version")?);
    let no_scan = ("no `scanned` in the policy", &no_scan);
    let wanted = Wanted::rules(&["scanned"]);
    Ok(vec![
        stage.attack("the scan is older than the policy allows", wanted, (&rules, &stale), no_scan)?,
        stage.attack("nobody scanned it", wanted, (&rules, &unscanned), no_scan)?,
        stage.attack("the scan found something bad", wanted, (&rules, &vulnerable), no_scan)?,
        stage.attack(
            "a version below the floor",
            Wanted::rules(&["version"]),
            (&rules, &old),
            ("no `version` in the policy", &no_version),
        )?,
        stage.attack(
            "a build of last month",
            Wanted::rules(&["built-within"]),
            (&rules, &aged),
            ("no `built-within` in the policy", &rules.without("built-within")?),
        )?,
        stage.admit("the current version is admitted", &rules, &good)?,
    ])
}
