//! A Go module: Debian's Go, and the modules that `go.sum` names.

use super::{Definition, Paved, Project, RoadError, error, is_plain};

const SCRIPT: &str = include_str!("go.sh");
/// What Debian bookworm has, and what its backports have.
const OWN: u32 = 19;
const NEWEST: u32 = 23;

pub(super) fn pave(project: &Project) -> Result<Paved, RoadError> {
    let module_file = project.text("go.mod").unwrap_or_default();
    let line = |key: &str| {
        let mut rows = module_file.lines().filter_map(|row| row.trim().strip_prefix(key)?.strip_prefix(' '));
        rows.next().map(|value| value.split("//").next().unwrap_or(value).trim().to_owned())
    };
    let module = line("module").unwrap_or_default();
    let minor: u32 = line("go").and_then(|v| v.split('.').nth(1)?.parse().ok()).unwrap_or(OWN);
    if minor > NEWEST {
        return Err(error(
            &format!("go.mod asks for Go 1.{minor}, and Debian has 1.{NEWEST} at most"),
            "lower the `go` line of go.mod, or write the definition by hand with an archive as its toolchain",
        ));
    }
    let programs = programs(project, &module);
    let Some(first) = programs.first() else {
        return Err(error(
            "no program was found: no `package main` here or in cmd/*",
            "run it in the module that has one, or write portcullis.build.yaml by hand",
        ));
    };
    let compiler = format!("golang-1.{NEWEST}-go");
    let link = format!("../lib/go-1.{NEWEST}/bin/go");
    let is_old = minor <= OWN;
    let packages = ["coreutils", "dash", if is_old { "golang-go" } else { compiler.as_str() }];
    let links = [("usr/bin/go", link.as_str())];
    let outputs: Vec<String> = programs.iter().map(|name| format!("out/{name}")).collect();
    let definition = Definition {
        suite: (!is_old).then_some("bookworm-backports"),
        packages: &packages,
        links: if is_old { &[] } else { &links },
        lock: project.has("go.sum").then_some(("go", "go.sum")),
        target: first,
        outputs: &outputs,
        time: "30m",
        ..Definition::default()
    };
    let notes = vec![
        "programs are built without cgo; to use it, remove CGO_ENABLED=0 and add gcc and libc6-dev"
            .to_owned(),
    ];
    Ok(Paved { definition: definition.to_text(), script: SCRIPT.to_owned(), notes })
}

/// The commands of a module, as `go build` names them.
fn programs(project: &Project, module: &str) -> Vec<String> {
    let is_program = |folder: &str| {
        let sources =
            project.names(folder).into_iter().filter(|n| n.ends_with(".go") && !n.ends_with("_test.go"));
        let texts = sources.filter_map(|name| project.text(&format!("{folder}{name}")));
        texts.into_iter().any(|text| text.lines().any(|row| row.trim() == "package main"))
    };
    let mut programs = Vec::new();
    if is_program("") {
        let parts: Vec<&str> = module.split('/').collect();
        let is_major = |part: &str| part.strip_prefix('v').is_some_and(|v| v.parse::<u32>().is_ok());
        programs.extend(parts.iter().rev().find(|part| !is_major(part)).map(|part| (*part).to_owned()));
    }
    let commands = project.names("cmd").into_iter().filter(|name| is_program(&format!("cmd/{name}/")));
    programs.extend(commands);
    programs.retain(|name| is_plain(name));
    programs
}
