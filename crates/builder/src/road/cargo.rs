//! A Rust project: Debian's cargo, and the crates that `Cargo.lock` names.

use std::collections::BTreeSet;

use super::{Definition, Paved, Project, RoadError, error, is_plain, toml_strings};

const SCRIPT: &str = include_str!("cargo.sh");
const PACKAGES: [&str; 7] = ["cargo-web", "coreutils", "dash", "gcc", "gzip", "libc6-dev", "tar"];

pub(super) fn pave(project: &Project) -> Result<Paved, RoadError> {
    if !project.has("Cargo.lock") {
        return Err(error(
            "there is no Cargo.lock, which says which crates are meant",
            "run `cargo generate-lockfile`, and commit it",
        ));
    }
    let programs = programs(project);
    let Some(first) = programs.first() else {
        return Err(error(
            "no program was found: no src/main.rs, src/bin/*.rs or [[bin]] here or in a workspace's member",
            "run it in the package that has one, or write portcullis.build.yaml by hand",
        ));
    };
    let name = toml_strings(&project.text("Cargo.toml").unwrap_or_default(), "package", "name");
    let target = name.first().filter(|n| is_plain(n)).unwrap_or(first);
    let outputs: Vec<String> = programs.iter().map(|name| format!("out/{name}")).collect();
    let definition = Definition {
        packages: &PACKAGES,
        links: &[("usr/bin/cc", "gcc")],
        lock: Some(("cargo", "Cargo.lock")),
        target,
        outputs: &outputs,
        time: "30m",
        ..Definition::default()
    };
    let copied: Vec<String> = programs.iter().map(|name| format!("target/release/{name}")).collect();
    let mut notes = Vec::new();
    if project.has("rust-toolchain.toml") || project.has("rust-toolchain") {
        notes.push("rust-toolchain names a toolchain of rustup's: Debian's is used, see `cargo-web` in the definition".to_owned());
    }
    Ok(Paved {
        definition: definition.to_text(),
        script: SCRIPT.replace("{PROGRAMS}", &copied.join(" ")),
        notes,
    })
}

/// The programs of the package here and of a workspace's members.
fn programs(project: &Project) -> BTreeSet<String> {
    let mut folders = vec![String::new()];
    for folder in project.names("") {
        let below = project.names(&folder).into_iter().map(|name| format!("{folder}/{name}/"));
        let below: Vec<String> = if folder == "target" { Vec::new() } else { below.collect() };
        folders.push(format!("{folder}/"));
        folders.extend(below);
    }
    let is_workspace =
        project.text("Cargo.toml").is_some_and(|text| text.lines().any(|row| row.trim() == "[workspace]"));
    let folders = folders.iter().take(if is_workspace { usize::MAX } else { 1 });
    let mut programs = BTreeSet::new();
    for folder in folders {
        let Some(manifest) = project.text(&format!("{folder}Cargo.toml")) else { continue };
        programs.extend(toml_strings(&manifest, "bin", "name"));
        if project.has(&format!("{folder}src/main.rs")) {
            programs.extend(toml_strings(&manifest, "package", "name"));
        }
        for name in project.names(&format!("{folder}src/bin")) {
            let is_program = name.ends_with(".rs") || project.has(&format!("{folder}src/bin/{name}/main.rs"));
            programs.extend(is_program.then(|| name.trim_end_matches(".rs").to_owned()));
        }
    }
    programs.retain(|name| is_plain(name));
    programs
}
