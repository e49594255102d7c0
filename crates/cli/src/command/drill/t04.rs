//! T4, a harmful configuration is deployed: a configuration object is an artifact, named by a digest in which every field
//! counts, and needs its own evidence. What changes a database's schema is configuration too.

use attest::Digest;
use attest::claims::{REVIEW, Review};

use super::migration::{Database, HARMFUL, HONEST};
use super::outcome::{Control, Seen, Trial, Wanted};
use super::stage::{Stage, Webhook, digest};
use crate::failure::Failure;
use crate::keys;

/// Who stands for configuration, beside the policy for the image.
const CONFIGURATION: &str = "---
environment: drill/shop
artifact: [\"kubernetes:shop/ConfigMap/*\", \"kubernetes:shop/Deployment/*\"]
mode: enforce
require:
  signed-by: [bob]
on-outage: reject
";
const GUARD: &str = "  guard:\n    - { kinds: [ConfigMap, Deployment], namespaces: [shop] }\n";
const UNGUARDED: &str = "no `guard` in the configuration of the choke point";
const SETTINGS: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings","namespace":"shop"},"data":{"admins":"NAME"}}"#;
pub(super) const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"},"spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"web","image":"registry.example/shop@DIGEST","args":[ARGS]}]}}}}"#;

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (guarded, unguarded) = (choke_point(stage, ("", ""))?, choke_point(stage, (GUARD, ""))?);
    let (settings, harmful) = (SETTINGS.replace("NAME", "alice"), SETTINGS.replace("NAME", "mallory"));
    let image = digest(&stage.honest()?.artifact)?.to_string();
    let web = |args: &str| DEPLOYMENT.replace("DIGEST", &image).replace("ARGS", args);
    let (plain, debug) = (web(""), web(r#""--debug""#));
    attach(stage, &guarded, &settings)?;
    attach(stage, &guarded, &plain)?;
    let attack = |what, new: &str, old: Option<&str>| {
        let seen = guarded.write(new, old)?;
        let control = Control { off: UNGUARDED, seen: unguarded.write(new, old)? };
        Ok::<_, Failure>(Trial::Attack { what, wanted: Wanted::rules(&["signed-by"]), seen, control })
    };
    let honest =
        |what, object: &str| Ok::<_, Failure>(Trial::Honest { what, seen: guarded.write(object, None)? });
    let mut trials = vec![
        attack("a configuration object that nobody reviewed", &harmful, None)?,
        telling(
            attack("`--debug` is added where the image is admitted", &debug, Some(&plain))?,
            "changed   spec.template.spec.containers[web].args: \"--debug\" added",
        ),
        honest("the reviewed configuration is admitted", &settings)?,
        honest("the reviewed workload is admitted", &plain)?,
    ];
    trials.extend(migrations(stage)?);
    Ok(trials)
}

/// A schema is changed by psql, which only an admission starts.
fn migrations(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (attack, honest) = ("a migration that nobody reviewed", "the reviewed migration is applied");
    stage.with_postgresql(&[attack, honest], |server| {
        let database = Database::new(stage, server)?;
        let control = database.migrate("dry-run", HARMFUL, None)?;
        let review = database.reviewed(HONEST)?;
        Ok(vec![
            Trial::Attack {
                what: attack,
                wanted: Wanted::found(&["signed-by"]),
                seen: database.migrate("enforced", HARMFUL, None)?,
                control: Control { off: "the policy in dry run", seen: control },
            },
            Trial::Honest { what: honest, seen: database.migrate("enforced", HONEST, Some(&review))? },
        ])
    })
}

/// A choke point that knows the evidence of the image.
pub(super) fn choke_point(stage: &Stage<'_>, words: (&str, &str)) -> Result<Webhook, Failure> {
    let (rules, good) = (stage.rules()?, stage.honest()?);
    let image = rules.policy.replacen("artifact: shop", "artifact: registry.example/shop", 1);
    let webhook = stage.webhook(&format!("{image}{CONFIGURATION}"), &rules.trust_root, words)?;
    webhook.attach(stage, &digest(&good.artifact)?, &good.bundles())?;
    Ok(webhook)
}

/// Brings bob's word that he has read an object.
pub(super) fn attach(stage: &Stage<'_>, webhook: &Webhook, object: &str) -> Result<(), Failure> {
    webhook.attach(stage, &canonical(stage, object)?, &[&reviewed(stage, object)?])
}

/// What identifies the object, as the command says it.
fn canonical(stage: &Stage<'_>, object: &str) -> Result<Digest, Failure> {
    let file = stage.fresh("object")?.join("object.json");
    keys::write(&file, object)?;
    let said = stage.portcullis(&["kubernetes", "digest", &file.display().to_string()])?.worked()?;
    let first = said.split_whitespace().next().unwrap_or_default();
    Digest::parse(first).map_err(|e| Failure::new("the object has no digest").line("found", &e.to_string()))
}

/// Bob has read it.
fn reviewed(stage: &Stage<'_>, object: &str) -> Result<std::path::PathBuf, Failure> {
    let review = Review {
        repository: stage.repository()?.uri(),
        base: None,
        authors: vec!["alice@drill.example".to_owned()],
        reviewers: vec!["bob@drill.example".to_owned()],
        reviewed: stage.now()?,
    };
    stage.fact(&["bob"], &canonical(stage, object)?, REVIEW, review.to_json())
}

/// Whoever is refused must be told these words.
fn telling(mut trial: Trial, words: &str) -> Trial {
    if let Trial::Attack { seen: Seen { message, left, .. }, .. } = &mut trial
        && !message.contains(words)
    {
        left.push(format!("nobody is told: {words}"));
    }
    trial
}
