//! T11, a backdoored compiler or tool is used: the toolchain is declared by digest in reviewed source, and rebuilt elsewhere.

use std::fs::File;
use std::path::{Path, PathBuf};

use attest::Digest;
use builder::{DEFINITION_FILE, Store};

use super::outcome::{Control, Seen, Trial, Wanted};
use super::stage::{ALICE, Deployment, People, Ran, Rules, Stage, Wish, about, digest, word};
use crate::command::throw_away::payload;
use crate::failure::Failure;
use crate::input;
use crate::keys::{self, listed};

/// The builder that a job claims to be.
const JOB: &str = "https://ci.drill.example/jobs/non-isolated";

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (rules, good) = (stage.rules()?, stage.honest()?);
    let backdoored = Backdoored::make(stage)?;
    let declared = backdoored.declared(stage)?;
    let mut trials = vec![
        backdoored.substituted(stage, &declared)?,
        stage.attack(
            "another compiler is declared, reviewed and used",
            Wanted::rules(&["tools"]),
            (&rules, &declared),
            ("no `tools` in the policy", &rules.without("tools")?),
        )?,
        smuggled_flag(stage, &rules, &good)?,
    ];
    trials.extend(rebuilt(stage, &rules, &good)?);
    trials.push(stage.admit("what the listed toolchain built is admitted", &rules, &good)?);
    Ok(trials)
}

/// This machine's toolchain with one file more.
struct Backdoored {
    archive: PathBuf,
    digest: Digest,
}

impl Backdoored {
    fn make(stage: &Stage<'_>) -> Result<Self, Failure> {
        let honest = stage.at("store/sha256").join(stage.toolchain()?.hex());
        let archive = stage.fresh("toolchain")?.join("toolchain.tar");
        let failed = |e| Failure::io("write", &archive, &e);
        let mut old = tar::Archive::new(File::open(&honest).map_err(failed)?);
        let mut new = tar::Builder::new(File::create(&archive).map_err(failed)?);
        for entry in old.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let mut header = entry.header().clone();
            let path = entry.path().map_err(failed)?.into_owned();
            match entry.link_name().map_err(failed)?.map(std::borrow::Cow::into_owned) {
                Some(link) => new.append_link(&mut header, path, link),
                None => new.append_data(&mut header, path, entry),
            }
            .map_err(failed)?;
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        new.append_data(&mut header, "usr/lib/backdoor", &b"evil"[..]).map_err(failed)?;
        new.into_inner().map_err(failed)?;
        Ok(Self { digest: digest(&archive)?, archive })
    }

    /// Somebody declares it in the source, and bob, who cannot see what a digest hides, approves.
    fn declared(&self, stage: &Stage<'_>) -> Result<Deployment, Failure> {
        Store::new(&stage.at("store"))
            .put(&self.archive)
            .map_err(|e| Failure::new("the toolchain cannot be stored").line("found", &e.to_string()))?;
        let repository = stage.repository()?;
        repository.branch("compiler", "main")?;
        let definition = input::text("build definition", &repository.dir().join(DEFINITION_FILE))?;
        let definition = definition.replace(&stage.toolchain()?.hex(), &self.digest.hex());
        repository.commit(ALICE, &[(DEFINITION_FILE, &definition)], "A newer compiler")?;
        let built = stage.built("compiler")?;
        let people = People { authors: &["alice@drill.example"], reviewers: &["bob@drill.example"] };
        let review = stage.review(&built.commit, None, people)?;
        Ok(stage.deployment(&built)?.with("review", review))
    }

    /// It lies in the store where the declared one should lie.
    fn substituted(&self, stage: &Stage<'_>, declared: &Deployment) -> Result<Trial, Failure> {
        let store = stage.fresh("poisoned")?;
        let place = store.join("sha256").join(stage.toolchain()?.hex());
        keys::folder(&store.join("sha256"))?;
        std::fs::copy(&self.archive, &place).map_err(|e| Failure::io("poison", &place, &e))?;
        let out = stage.fresh("built")?;
        let wish = Wish { store: Some(&store), ..Wish::new(stage.repository()?, "main", &out) };
        let mut seen = stage.try_build(wish)?.seen("is not the one declared");
        if out.join("shop").exists() {
            seen.left.push("an artifact was published".to_owned());
        }
        // a source that declares it has it
        let control = Seen { is_let_through: declared.artifact.exists(), ..Seen::default() };
        Ok(Trial::Attack {
            what: "another compiler lies in the store in place of the declared one",
            wanted: Wanted::failed(&["is not the one declared"]),
            seen,
            control: Control { off: "that compiler declared in the source", seen: control },
        })
    }
}

/// A job of another CI system, which is trusted to be honest and to take parameters, says which it was given.
fn smuggled_flag(stage: &Stage<'_>, rules: &Rules, good: &Deployment) -> Result<Trial, Failure> {
    let job = format!(
        "builders:\n  job:\n    ids: [\"{JOB}\"]\n    keys:\n{}",
        listed(stage.key("workstation")?, 6)
    );
    let rules = rules
        .trust_root_with("builders:\n", &job)?
        .policy_with("built-by: [ci]", "built-by: [job]")?
        .without("hermetic")?
        .without("tools")?
        .without("logged")?;
    let repository = stage.repository()?;
    let (out, key) = (stage.fresh("job")?, word(&stage.key_file("workstation")));
    let (commit, uri) = (repository.head("main")?.hex(), repository.uri());
    let what = ["attest", "build", &word(&good.artifact), "--repository", &uri, "--ref", "refs/heads/main"];
    let how =
        ["--commit", &commit, "--target", "shop", "--parameter", "flags=-DBACKDOOR", "--builder-id", JOB];
    stage.portcullis(&[&what[..], &how, &["--key", &key, "--out", &word(&out)]].concat())?.worked()?;
    let flagged = good.clone().with("provenance", out.join("shop.sigstore.json"));
    let listed =
        rules.policy_with("  target: shop\n", "  target: shop\n  parameters: { flags: -DBACKDOOR }\n")?;
    stage.attack(
        "a flag is smuggled in as a parameter of the build",
        Wanted::rules(&["parameters"]),
        (&rules, &flagged),
        ("the flag listed in the policy", &listed),
    )
}

/// The builder's own compiler lies: nothing that it signs shows it, and whoever builds the same again gets something else.
fn rebuilt(stage: &Stage<'_>, rules: &Rules, good: &Deployment) -> Result<Vec<Trial>, Failure> {
    // what the lying builder signs is no other drill's, and its log and tests would be its own too
    let alone = rules.without("logged")?.without("tests")?;
    let voted =
        alone.policy_with("  target: shop\n", "  target: shop\n  rebuilt: { at-least: 1, by: [lab] }\n")?;
    let evil = stage.fresh("evil")?.join("shop");
    keys::write(&evil, "what a compiler made that knows a shop when it sees one\n")?;
    let found = digest(&evil)?;
    let provenance = stage.sign(&["builder"], &about(&found, &payload(good.evidence("provenance")?)?)?)?;
    let (_, again) = rebuild(stage, &provenance, &evil)?;
    if again.exit != 1 || !again.text.contains("DIFFERENT") {
        return Err(Failure::new("a rebuild does not see the difference").line("found", again.text.trim()));
    }
    let mut lying = good.clone().with("provenance", provenance);
    lying.artifact = evil;
    let scan = stage.scan(&found, stage.now()?, None)?;
    let lying = lying.with("scan", scan).with("release", stage.release(&found, "1.4.2")?).without("test")?;
    let (vote, agreed) = rebuild(stage, good.evidence("provenance")?, &good.artifact)?;
    agreed.worked()?;
    let mut attack = stage.attack(
        "the builder's compiler lies, and a rebuilder gets something else",
        Wanted::rules(&["rebuilt"]),
        (&voted, &lying),
        ("no `rebuilt` in the policy", &alone),
    )?;
    if let Trial::Attack { seen, .. } = &mut attack {
        seen.message.push_str(&format!("\nthe rebuilder said:\n{}", again.text));
    }
    let with_vote = good.clone().with("vote", vote);
    Ok(vec![attack, stage.admit("what a rebuilder got as well is admitted", &voted, &with_vote)?])
}

/// Builds again what provenance describes, and gives where the vote is.
fn rebuild(stage: &Stage<'_>, provenance: &Path, artifact: &Path) -> Result<(PathBuf, Ran), Failure> {
    let out = stage.fresh("vote")?;
    let root = out.join("trust-root.yaml");
    keys::write(&root, &stage.rules()?.trust_root)?;
    let key = word(&stage.key_file("rebuilder"));
    let what = ["rebuild", &word(provenance), "--artifact", &word(artifact), "--trust-root", &word(&root)];
    let with = [
        "--key",
        &key,
        "--state",
        &word(&stage.at("builder")),
        "--store",
        &word(&stage.at("store")),
        "--offline",
    ];
    let ran = stage.portcullis(&[&what[..], &with, &["--out", &word(&out)]].concat())?;
    Ok((out.join("shop.rebuild.sigstore.json"), ran))
}
