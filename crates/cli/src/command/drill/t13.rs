//! T13, breakglass is abused: a grant ends, and is flagged until somebody else than who gave or used it has looked at it.

use std::path::{Path, PathBuf};

use super::outcome::{Control, Seen, Trial, Wanted};
use super::stage::{Deployment, Rules, Stage, later, word};
use crate::failure::Failure;
use crate::keys::{self, listed};

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let rules = stage.rules()?;
    let longer = rules.policy_with("expires: 4h", "expires: 8h")?;
    // an emergency: nobody has time to wait for the scan
    let urgent = stage.honest()?.without("scan")?;
    let granted = |rules: &Rules, expires| grant(stage, rules, &urgent, expires);
    let (short, long) = (granted(&rules, "4h")?, granted(&longer, "8h")?);
    let refused = Wanted::rules(&["breakglass-grant", "scanned"]);
    let over = stage.decide(&rules, &short.clone().hours_later(5)?)?;
    let longer_over = stage.decide(&longer, &long.clone().hours_later(5)?)?;
    let mut trials = vec![
        Trial::Attack {
            what: "a grant is used after its end",
            wanted: refused,
            seen: over,
            control: Control { off: "grants that hold for eight hours", seen: longer_over },
        },
        stage.attack(
            "a grant that holds for longer than the policy says",
            refused,
            (&rules, &long),
            ("eight hours in the policy", &longer),
        )?,
        stage.attack(
            "a deployment without a grant",
            Wanted::rules(&["scanned"]),
            (&rules, &urgent),
            ("no `scanned` in the policy", &rules.without("scanned")?),
        )?,
    ];
    let (dir, seen) = used(stage, &rules, &short)?;
    trials.push(Trial::Honest { what: "a grant that holds lets it in, on record", seen });
    trials.extend(reviews(stage, &rules, &dir, &short)?);
    Ok(trials)
}

/// What is flagged, and what takes the flag away.
fn reviews(stage: &Stage<'_>, rules: &Rules, dir: &Path, short: &Deployment) -> Result<Vec<Trial>, Failure> {
    let patient = rules.policy_with("reviewed-within: 24h", "reviewed-within: 720h")?;
    let (patient_dir, _) = used(stage, &patient, short)?;
    let twice = twice(stage, rules)?;
    let unreviewed = flagged(stage, dir, rules)?;
    let own = review(stage, dir, rules, "bob-second")?;
    // whoever knows bob twice takes his second key for somebody else
    let (twice_dir, _) = used(stage, &twice, short)?;
    let as_robert = review(stage, &twice_dir, &twice, "bob-second")?;
    let by_carol = review(stage, dir, rules, "carol")?;
    Ok(vec![
        Trial::Attack {
            what: "nobody looks at what a grant let in",
            wanted: Wanted::found(&["overdue"]),
            seen: unreviewed,
            control: Control {
                off: "thirty days for the review",
                seen: flagged(stage, &patient_dir, &patient)?,
            },
        },
        Trial::Attack {
            what: "who gave the grant reviews it, with another key",
            wanted: Wanted::found(&["somebody else reviews it"]),
            seen: own,
            control: Control { off: "a trust root that takes one person for two", seen: as_robert },
        },
        Trial::Honest { what: "a second person reviews it", seen: by_carol },
        Trial::Honest { what: "and it is not flagged any more", seen: flagged(stage, dir, rules)? },
    ])
}

/// Bob under a second name.
fn twice(stage: &Stage<'_>, rules: &Rules) -> Result<Rules, Failure> {
    let second = listed(stage.key("bob-second")?, 6);
    let robert = format!("  robert:\n    identities: [robert@drill.example]\n    keys:\n{second}");
    rules
        .trust_root_with(&second, "")?
        .trust_root_with(", robert@drill.example", "")?
        .trust_root_with("people:\n", &format!("people:\n{robert}"))
}

/// A grant of bob's, as the command gives it.
fn grant(
    stage: &Stage<'_>,
    rules: &Rules,
    urgent: &Deployment,
    expires: &str,
) -> Result<Deployment, Failure> {
    let dir = stage.fresh("grant")?;
    let (root, out) = (dir.join("trust-root.yaml"), dir.join("grant.json"));
    keys::write(&root, &rules.trust_root)?;
    let key = word(&stage.key_file("bob"));
    let what = ["breakglass", "open", "--environment", "drill/shop", "--reason", "the shop is down"];
    let who = ["--ticket", "INC-42", "--expires", expires, "--key", &key, "--trust-root", &word(&root)];
    stage.portcullis(&[&what[..], &who, &["--out", &word(&out)]].concat())?.worked()?;
    let mut deployment = urgent.clone();
    deployment.grant = Some(out);
    Ok(deployment)
}

/// A log in which the grant let something in.
fn used(stage: &Stage<'_>, rules: &Rules, granted: &Deployment) -> Result<(PathBuf, Seen), Failure> {
    let dir = stage.fresh("breakglass")?;
    let mut seen = stage.decide_in(&dir, rules, granted)?;
    if seen.basis != "breakglass" {
        seen.is_let_through = false;
        seen.reasons.push(format!("the basis {}", seen.basis));
    }
    Ok((dir, seen))
}

/// What is said of it a day later and an hour.
fn flagged(stage: &Stage<'_>, dir: &Path, rules: &Rules) -> Result<Seen, Failure> {
    let (log, root) = (word(&dir.join("log")), dir.join("trust-root.yaml"));
    keys::write(&root, &rules.trust_root)?;
    let at = later(stage.now()?, 25)?.to_string();
    let words = ["breakglass", "list", "--log", &log, "--trust-root", &word(&root), "--at", &at];
    Ok(stage.portcullis(&words)?.seen("overdue"))
}

fn review(stage: &Stage<'_>, dir: &Path, rules: &Rules, key: &str) -> Result<Seen, Failure> {
    let (log, root) = (word(&dir.join("log")), dir.join("trust-root.yaml"));
    keys::write(&root, &rules.trust_root)?;
    let (own, key) = (word(&stage.key_file("decisions-log")), word(&stage.key_file(key)));
    let what = ["breakglass", "review", "2", "--verdict", "justified", "--comment", "the shop was down"];
    let who = ["--key", &key, "--trust-root", &word(&root), "--log", &log, "--log-signing-key", &own];
    Ok(stage.portcullis(&[&what[..], &who].concat())?.seen("somebody else reviews it"))
}
