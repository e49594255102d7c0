//! A Python wheel: Debian's Python and pip, and the hash-pinned files that it takes to build.

use super::{Definition, Paved, Project, RoadError, is_plain, toml_strings};

const SCRIPT: &str = include_str!("python.sh");
const PACKAGES: [&str; 6] =
    ["coreutils", "dash", "python3", "python3-pip", "python3-setuptools", "python3-wheel"];
const REQUIREMENTS: &str = "requirements.txt";

pub(super) fn pave(project: &Project) -> Result<Paved, RoadError> {
    let manifest = project.text("pyproject.toml").unwrap_or_default();
    let of = |key: &str| toml_strings(&manifest, "project", key).into_iter().next().filter(|v| is_plain(v));
    let mut notes = Vec::new();
    let name = of("name").unwrap_or_else(|| project.name());
    let version = of("version").unwrap_or_else(|| {
        notes.push(
            "pyproject.toml says no fixed version: write the wheel's real file name under `outputs`"
                .to_owned(),
        );
        "0.0.0".to_owned()
    });
    // a wheel's name says what is in it, and pip reads it: it cannot be another one
    let stem = name.to_ascii_lowercase().replace(['-', '.'], "_");
    let has_requirements = project.has(REQUIREMENTS);
    if has_requirements {
        notes.push(format!(
            "{REQUIREMENTS} must pin every tool that pyproject.toml's `build-system` requires, with hashes"
        ));
    } else {
        notes.push(format!(
            "there is no {REQUIREMENTS}: the wheel is built with Debian's setuptools alone; to use another tool, pin it there with hashes, and add `lock: {{ pip: {REQUIREMENTS} }}`"
        ));
    }
    notes.push("the wheel's file name has its version: change `outputs` with it".to_owned());
    let definition = Definition {
        packages: &PACKAGES,
        lock: has_requirements.then_some(("pip", REQUIREMENTS)),
        target: &name,
        outputs: &[format!("out/{stem}-{version}-py3-none-any.whl")],
        time: "15m",
        ..Definition::default()
    };
    Ok(Paved { definition: definition.to_text(), script: SCRIPT.to_owned(), notes })
}
