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

/// The first thing that the rule `all` needs.
fn program(makefile: &str) -> Option<String> {
    let rule = makefile.lines().find_map(|row| row.strip_prefix("all:"))?;
    let first = rule.split_ascii_whitespace().next()?;
    super::is_plain(first).then(|| first.to_owned())
}
