//! THREATS.md maps each threat to its drill and to tests; this keeps the map true.

use std::path::Path;

use crate::Outcome;

pub(crate) fn check(root: &Path) -> Outcome {
    let text = std::fs::read_to_string(root.join("THREATS.md")).map_err(|e| format!("THREATS.md: {e}"))?;
    let mut problems = Vec::new();
    for number in 1..=15 {
        let row = text.lines().find(|line| line.starts_with(&format!("| T{number} |")));
        let Some(row) = row else {
            problems.push(format!("THREATS.md has no row T{number}"));
            continue;
        };
        let drill = format!("crates/cli/src/command/drill/t{number:02}.rs::stage");
        if !row.contains(&drill) {
            problems.push(format!("the row T{number} of THREATS.md does not name its drill, {drill}"));
        }
    }
    // tests are named as `path::test` between backquotes
    for word in text.split('`').skip(1).step_by(2).filter(|w| w.contains(".rs::")) {
        let (file, test) = word.split_once("::").unwrap_or((word, ""));
        let source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        if !source.contains(&format!("fn {test}(")) {
            problems.push(format!("THREATS.md names {word}, which does not exist"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}
