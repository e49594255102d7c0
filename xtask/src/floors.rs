//! Imports go down only, and files stay readable in one sitting.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Outcome;

/// Crates of floors 0 and 1 that come from outside: they fit on two hands. Adding one is a reviewed line here.
const OUTSIDE: [&str; 11] = [
    "aws-lc-rs",
    "base64",
    "blake2",
    "jiff",
    "saphyr-parser",
    "semver",
    "sigstore-verify",
    "spdx",
    "toml",
    "zeroize",
    "attest",
];
/// Names that mean that no name was found.
const ATTICS: [&str; 6] = ["common", "util", "utils", "types", "core", "helpers"];
const LONGEST_FILE: usize = 500;

pub(crate) fn check(root: &Path) -> Outcome {
    let mut problems = Vec::new();
    let mut floors = BTreeMap::new();
    let mut manifests = Vec::new();
    for entry in std::fs::read_dir(root.join("crates")).map_err(|e| e.to_string())? {
        let dir = entry.map_err(|e| e.to_string())?.path();
        let text = std::fs::read_to_string(dir.join("Cargo.toml")).map_err(|e| e.to_string())?;
        let folder = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let floor =
            text.lines().find_map(|l| l.strip_prefix("floor = ")).and_then(|f| f.trim().parse::<u32>().ok());
        match floor {
            Some(floor) => drop(floors.insert(folder.clone(), floor)),
            None => problems.push(format!("{folder}: no [package.metadata] floor")),
        }
        manifests.push((folder, text));
        sizes(&dir.join("src"), &mut problems);
    }
    for (name, text) in &manifests {
        imports(name, text, &floors, &mut problems);
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn imports(name: &str, text: &str, floors: &BTreeMap<String, u32>, problems: &mut Vec<String>) {
    let own = floors.get(name).copied().unwrap_or(0);
    let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    for line in dependencies.lines().filter(|l| !l.trim().is_empty()) {
        let used = line.split(['.', ' ', '=']).next().unwrap_or_default();
        match floors.get(used) {
            Some(floor) if *floor >= own => problems.push(format!(
                "{name} (floor {own}) imports {used} (floor {floor}): imports go down only; move the shared type down"
            )),
            None if own <= 1 && !OUTSIDE.contains(&used) => {
                problems.push(format!("{name} (floor {own}) uses {used}, which xtask/src/floors.rs does not list"));
            }
            _ => {}
        }
    }
}

fn sizes(dir: &Path, problems: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let stem = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if ATTICS.contains(&stem.as_str()) {
            problems.push(format!("{}: the room's name is not found yet", path.display()));
        }
        if path.is_dir() {
            sizes(&path, problems);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
            if lines > LONGEST_FILE {
                problems.push(format!("{}: {lines} lines, more than {LONGEST_FILE}", path.display()));
            }
        }
    }
}
