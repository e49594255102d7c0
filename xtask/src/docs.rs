//! The reference, made from the code: rules and schema.

use std::path::Path;

use crate::Outcome;

pub(crate) fn run(root: &Path, only_check: bool) -> Outcome {
    let files = [
        ("docs/reference/rules.md", rules()),
        ("docs/reference/policy.schema.json", format!("{}\n", policy::language::schema().pretty())),
    ];
    for (name, text) in files {
        let path = root.join(name);
        if only_check {
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            if there != text {
                return Err(format!("{name} is not what the code says; run: cargo xtask docs"));
            }
        } else {
            let parent = path.parent().unwrap_or(root);
            std::fs::create_dir_all(parent).map_err(|e| e.to_string())?;
            std::fs::write(&path, text).map_err(|e| format!("{name}: {e}"))?;
        }
    }
    Ok(())
}

fn rules() -> String {
    let mut out = "# The rules\n\nMade from the code by `cargo xtask docs`; `portcullis explain RULE` says the same.\n\
         Findings are shown in this order.\n\n| rule | key under `require` | met when | mitigates |\n|---|---|---|---|\n"
        .to_owned();
    for rule in policy::rules::all() {
        let key = if rule.key.is_empty() { "built in" } else { rule.key };
        out.push_str(&format!(
            "| [{0}](#{0}) | {key} | {1} | {2} |\n",
            rule.name,
            rule.summary,
            rule.threats.join(", ")
        ));
    }
    for rule in policy::rules::all() {
        out.push_str(&format!("\n## {}\n\n{}\n", rule.name, rule.docs));
        if !rule.example.is_empty() {
            out.push_str(&format!("\n```yaml\n{}\n```\n", rule.example));
        }
    }
    out
}
