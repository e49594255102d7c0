//! T7, the signing key is stolen: what it signs must be in the log, and nothing counts that it signed after the point
//! from which it is revoked, whatever time the thief writes into it. What was signed before stands.

use std::path::PathBuf;

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::open::leaf_body;
use attest::{Digest, Signer as _};

use super::outcome::{Trial, Wanted};
use super::stage::{BUILDS, Deployment, Rules, Stage, about, digest, word};
use crate::command::throw_away::payload;
use crate::failure::Failure;
use crate::keys;

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let good = stage.honest()?.without("test")?;
    // tests are the thief's to sign as well, and another drill's
    let rules = stage.rules()?.without("tests")?;
    let unlogged = rules.without("logged")?;
    let size = builds(stage)?.size();

    let evil = Evil::make(stage, &good)?;
    let (stolen, logged) = (evil.deployment(stage, false)?, evil.deployment(stage, true)?);
    let revoked = revoked(stage, &rules, size)?;
    let unlogged_and_revoked = revoked.without("logged")?;

    Ok(vec![
        stage.attack(
            "the thief signs provenance, and keeps it out of the log",
            Wanted::rules(&["logged"]),
            (&rules, &stolen),
            ("no `logged` in the policy", &unlogged),
        )?,
        stage.attack(
            "once it is revoked, the thief signs with a time before that",
            Wanted::rules(&["evidence-authentic", "built-by"]),
            (&unlogged_and_revoked, &stolen),
            ("the key not revoked", &unlogged),
        )?,
        stage.attack(
            "the same, and brought into the log afterwards",
            Wanted::rules(&["evidence-authentic", "built-by"]),
            (&revoked, &logged),
            ("the key not revoked", &rules),
        )?,
        stage.admit("what the key signed before, and the log knows, is admitted still", &revoked, &good)?,
    ])
}

/// The trust root as `portcullis trust-root revoke` writes it, by the key's position in the log.
fn revoked(stage: &Stage<'_>, rules: &Rules, size: u64) -> Result<Rules, Failure> {
    let dir = stage.fresh("revoked")?;
    let (old, new) = (dir.join("trust-root.yaml"), dir.join("revoked.yaml"));
    keys::write(&old, &rules.trust_root)?;
    let from = stage.now()?.to_string();
    let key = word(&stage.at("builder/local-demo.pub"));
    let what = ["trust-root", "revoke", &word(&old), "--key", &key, "--from", &from];
    let why = ["--reason", "the key was stolen", "--log", "builds", "--size", &size.to_string()];
    stage.portcullis(&[&what[..], &why, &["--out", &word(&new)]].concat())?.worked()?;
    Ok(Rules { trust_root: crate::input::text("trust root", &new)?, ..rules.clone() })
}

fn builds(stage: &Stage<'_>) -> Result<tlog::Log<tlog::Files>, Failure> {
    keys::log(&stage.at("builder/builds"), BUILDS, &stage.at("builder/builds-log.key"))
}

/// What the thief wants to be believed: the builder's words about another artifact.
struct Evil {
    artifact: PathBuf,
    good: Deployment,
    statement: String,
}

impl Evil {
    fn make(stage: &Stage<'_>, good: &Deployment) -> Result<Self, Failure> {
        let artifact = stage.fresh("evil")?.join("shop");
        keys::write(&artifact, "the shop, with a door at its back\n")?;
        let statement = about(&digest(&artifact)?, &payload(good.evidence("provenance")?)?)?;
        Ok(Self { artifact, good: good.clone(), statement })
    }

    /// With everything that machines say of any artifact that they are shown.
    fn deployment(&self, stage: &Stage<'_>, is_logged: bool) -> Result<Deployment, Failure> {
        let digest = digest(&self.artifact)?;
        let mut deployment = self.good.clone();
        deployment.artifact.clone_from(&self.artifact);
        let scan = stage.scan(&digest, stage.now()?, None)?;
        let release = stage.release(&digest, "1.4.2")?;
        let provenance =
            if is_logged { self.in_log(stage)? } else { stage.sign(&["builder"], &self.statement)? };
        Ok(deployment.with("scan", scan).with("release", release).with("provenance", provenance))
    }

    /// Signed with the stolen key, and brought into the log by whoever writes to it.
    fn in_log(&self, stage: &Stage<'_>) -> Result<PathBuf, Failure> {
        let failed = |e: &dyn std::fmt::Display| {
            Failure::new("the thief cannot write to the log").line("found", &e.to_string())
        };
        let key = stage.key("builder")?;
        let dsse = Dsse::sign(IN_TOTO, self.statement.as_bytes(), &[key]).map_err(|e| failed(&e))?;
        let envelope = Digest::sha256(dsse.to_json().to_string().as_bytes());
        let body = leaf_body(&dsse, &envelope, key.public());
        let receipt = builds(stage)?.append(&body).map_err(|e| failed(&e))?;
        let path = self.artifact.with_extension("logged.json");
        keys::write(
            &path,
            &Bundle::write(&dsse, &key.public().id(), &[receipt.to_entry(&body)]).to_string(),
        )?;
        Ok(path)
    }
}
