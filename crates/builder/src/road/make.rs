//! Anything that `make` builds with a C compiler.

use super::{Definition, Paved, Project, RoadError};

const SCRIPT: &str = include_str!("make.sh");
const PACKAGES: [&str; 12] = [
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "gcc",
    "grep",
    "gzip",
    "libc6-dev",
    "make",
    "mawk",
    "sed",
    "tar",
];

pub(super) fn pave(project: &Project) -> Result<Paved, RoadError> {
    let name = project.name();
    let program =
        ["GNUmakefile", "makefile", "Makefile"].into_iter().find_map(|file| program(&project.text(file)?));
    let mut notes = Vec::new();
    let program = program.unwrap_or_else(|| {
        notes.push(format!(
            "which file make makes is a guess: check `{name}` in the definition and the script"
        ));
        name.clone()
    });
    let definition = Definition {
        packages: &PACKAGES,
        links: &[("usr/bin/awk", "mawk"), ("usr/bin/cc", "gcc")],
        target: &program,
        outputs: &[format!("out/{program}")],
        time: "15m",
        ..Definition::default()
    };
    Ok(Paved { definition: definition.to_text(), script: SCRIPT.replace("{PROGRAM}", &program), notes })
}

/// The first thing that the rule `all` needs; without that rule, what `make` makes: the first target.
fn program(makefile: &str) -> Option<String> {
    let plain = |word: &str| super::is_plain(word).then(|| word.to_owned());
    if let Some(rule) = makefile.lines().find_map(|row| row.strip_prefix("all:")) {
        return plain(rule.split_ascii_whitespace().next()?);
    }
    // a recipe begins with a tab, a variable is set with `:=`, and `.PHONY` is no file
    let is_rule = |row: &&str| !row.starts_with(['\t', ' ', '#', '.']) && !row.contains('=');
    let (target, _) = makefile.lines().filter(is_rule).find_map(|row| row.split_once(':'))?;
    plain(target.trim())
}
