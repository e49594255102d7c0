//! T15, the policy or trust root is weakened: a file comes into force through the choke point, or not at all.

use std::path::PathBuf;

use server::webhook::{Judge as _, Kubernetes};

use super::outcome::{Control, Seen, Trial, Wanted};
use super::stage::{Stage, open, word, words_of};
use crate::failure::Failure;
use crate::{clock, input, keys};

const POLICY: &str = "book/prod/shop.yaml";
const TRUST_ROOT: &str = "trust-root.yaml";
const UNGOVERNED: &str = "no `governance` and no `guardrails` in the configuration";
/// What the configuration says between these words governs.
const GOVERNANCE: (&str, &str) = ("guardrails: guardrails.yaml\n", "log: { path");

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (governed, alone) = (Place::new(stage, true)?, Place::new(stage, false)?);
    let first = input::text("policy", &governed.at(POLICY))?;
    let root = input::text("trust root", &governed.at(TRUST_ROOT))?;
    let attack = |what, reasons, name: &str, text: &str, signed: Option<(&str, &[&str])>| {
        let wanted = Wanted { reasons, basis: "not in force" };
        let seen = governed.put(name, text, signed)?;
        let control = Control { off: UNGOVERNED, seen: alone.put(name, text, None)? };
        Ok::<_, Failure>(Trial::Attack { what, wanted, seen, control })
    };
    let both: &[&str] = &["release-desk", "bob"];
    let newer = format!("{first}# reviewed once more\n");
    Ok(vec![
        attack(
            "a weaker book on the disk that nobody reviewed",
            &["signed-by", "released-for", "version"],
            POLICY,
            &first.replacen("worst: medium", "worst: high", 1),
            None,
        )?,
        attack(
            "a reviewed book that breaks a guardrail",
            &["policy-invalid"],
            POLICY,
            &first.replacen("mode: enforce", "mode: dry-run", 1),
            Some(("1.0.0", both)),
        )?,
        {
            let seen = governed.put(POLICY, &newer, Some(("1.0.0", both)))?;
            alone.put(POLICY, &newer, None)?;
            Trial::Honest { what: "a reviewed and released book comes into force", seen }
        },
        attack(
            "the book that it replaced, reviewed again",
            &["rolled-back"],
            POLICY,
            &first,
            Some(("2.0.0", both)),
        )?,
        attack(
            "a trust root that fewer signed for than the one before asks",
            &["signed-by"],
            TRUST_ROOT,
            &root.replacen("version: 1", "version: 2", 1).replacen(
                "sre-oncall: [bob]",
                "sre-oncall: [alice, bob]",
                1,
            ),
            Some(("2.0.0", &["bob"])),
        )?,
    ])
}

/// What `portcullis init` writes, and the choke point over it.
struct Place<'s> {
    stage: &'s Stage<'s>,
    dir: PathBuf,
    judge: Kubernetes,
}

impl<'s> Place<'s> {
    fn new(stage: &'s Stage<'s>, is_governed: bool) -> Result<Self, Failure> {
        let dir = stage.fresh("governance")?.join("deploy");
        stage.portcullis(&["init", &word(&dir)])?.worked()?;
        let file = dir.join("serve.yaml");
        let mut text =
            input::text("configuration", &file)?.replacen("log.key }", "log.key, spool: 16MiB }", 1);
        if !is_governed {
            let (from, to) = GOVERNANCE;
            let (before, rest) = text.split_once(from).ok_or_else(|| Failure::new("nothing governs"))?;
            let (_, after) = rest.split_once(to).ok_or_else(|| Failure::new("nothing governs"))?;
            text = format!("{before}{to}{after}");
        }
        keys::write(&file, &text)?;
        Ok(Self { stage, judge: open(&file)?.0, dir })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file, with the signatures of some under a version, and has the process look at its files.
    fn put(&self, name: &str, text: &str, signed: Option<(&str, &[&str])>) -> Result<Seen, Failure> {
        let before = self.judge.look(clock::now(None)?).digests;
        keys::write(&self.at(name), text)?;
        if let Some((version, keys)) = signed {
            self.sign(name, version, keys)?;
        }
        let told = self.judge.reload(clock::now(None)?);
        let is_let_through = told.iter().any(|told| told.result.is_ok());
        let message: Vec<String> = told.into_iter().filter_map(|told| told.result.err()).collect();
        let message = message.join("\n");
        let mut seen = Seen {
            is_let_through,
            reasons: words_of(&message),
            basis: if is_let_through { "in force" } else { "not in force" }.to_owned(),
            message,
            left: Vec::new(),
        };
        let is_changed = self.judge.look(clock::now(None)?).digests != before;
        if is_changed != is_let_through {
            seen.left.push("what is in force is something else than was said".to_owned());
        }
        Ok(seen)
    }

    /// Signs for a file as it is on disk, and brings what was signed.
    fn sign(&self, name: &str, version: &str, keys: &[&str]) -> Result<(), Failure> {
        let part = self.at(name.split('/').next().unwrap_or(name));
        let digest = self.stage.portcullis(&["policy", "digest", &word(&part)])?.worked()?;
        let (digest, store) = (digest.trim(), word(&self.at("evidence")));
        let purl = format!("pkg:generic/files@{version}");
        let signed = self.stage.fresh("signed")?;
        for key in keys {
            let (key, out) =
                (word(&self.at(&format!("keys/{key}.key"))), word(&signed.join(format!("{key}.json"))));
            let what = ["attest", "release", digest, "--purl", &purl, "--for", "portcullis"];
            self.stage.portcullis(&[&what[..], &["--key", &key, "--out", &out]].concat())?.worked()?;
        }
        let bundles: Vec<String> = keys.iter().map(|key| word(&signed.join(format!("{key}.json")))).collect();
        let mut attach = vec!["attach", digest, "--store", &store];
        attach.extend(bundles.iter().flat_map(|bundle| ["--bundle", bundle]));
        self.stage.portcullis(&attach)?.worked().map(drop)
    }
}
