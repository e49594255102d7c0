//! T3, a build from a locally modified tree: the builder fetches the commit itself, and only its provenance counts.

use std::path::Path;
use std::process::{Command, Stdio};

use super::outcome::{Control, Seen, Trial, Wanted};
use super::stage::{Stage, Wish};
use crate::command::throw_away::payload;
use crate::failure::Failure;
use crate::keys::{self, listed};

/// Alice as a builder.
const BUILDER: &str = "builders:
  alice:
    ids: [\"https://portcullis.dev/builders/local-demo\"]
    hermetic: [\">=0.1.0\"]
    keys:
";
/// What the modified tree would print.
const MODIFIED: &str = "shop is mine";

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (rules, good) = (stage.rules()?, stage.honest()?);
    // the builder's own words, signed on alice's workstation
    let signed = stage.sign(&["alice"], &payload(good.evidence("provenance")?)?)?;
    let forged = good.clone().with("provenance", signed);
    let trusting = rules
        .trust_root_with("builders:\n", &format!("{BUILDER}{}", listed(stage.key("alice")?, 6)))?
        .policy_with("built-by: [ci]", "built-by: [ci, alice]")?
        .without("logged")?;
    Ok(vec![
        stage.attack(
            "provenance that was signed on a workstation",
            // without provenance that counts, nothing says of which build a test is
            Wanted::rules(&["built-by", "tests"]),
            (&rules, &forged),
            ("the workstation's key trusted as a builder's, and no `logged`", &trusting),
        )?,
        modified_tree(stage)?,
        stage.admit("what the builder built is admitted", &rules, &good)?,
    ])
}

/// A build request names a commit: what lies beside it in the folder cannot even be asked for.
fn modified_tree(stage: &Stage<'_>) -> Result<Trial, Failure> {
    let tree = stage.repository()?.fork(&stage.fresh("modified")?.join("source"))?;
    let file = tree.dir().join("shop.c");
    let text = crate::input::text("source file", &file)?;
    keys::write(&file, &text.replace("shop is open", MODIFIED))?;
    let out = stage.fresh("built")?;
    let ran = stage.try_build(Wish::new(&tree, "main", &out))?;
    let mut seen = ran.seen("is not in commit");
    seen.is_let_through = is_modified(&out.join("shop"))?;
    let by_hand = out.join("by-hand");
    let made = Command::new("gcc").arg("-o").arg(&by_hand).arg(&file).stdin(Stdio::null()).status();
    made.map_err(|e| Failure::new("gcc cannot be started").line("found", &e.to_string()))?;
    let by_hand = Seen { is_let_through: is_modified(&by_hand)?, ..Seen::default() };
    Ok(Trial::Attack {
        what: "a build of a tree with a change that is in no commit",
        wanted: Wanted { reasons: &["is not in commit"], basis: "exit 0" },
        seen,
        control: Control { off: "the compiler called by hand, in the tree", seen: by_hand },
    })
}

/// Whether the change went into the artifact.
fn is_modified(artifact: &Path) -> Result<bool, Failure> {
    let bytes = std::fs::read(artifact).map_err(|e| Failure::io("read the artifact", artifact, &e))?;
    Ok(bytes.windows(MODIFIED.len()).any(|part| part == MODIFIED.as_bytes()))
}
