//! A JavaScript package: Debian's node, a pinned npm, and the packages that `package-lock.json` names.

use super::{Definition, Paved, Project, RoadError, error, is_plain};

const SCRIPT: &str = include_str!("npm.sh");
const PACKAGES: [&str; 6] = ["coreutils", "dash", "findutils", "gzip", "nodejs", "tar"];

/// npm with everything that it needs, as its own project packs it. Debian's npm is 400 packages.
const NPM: (&str, &str, &str) = (
    "npm.tgz",
    "https://registry.npmjs.org/npm/-/npm-10.9.9.tgz",
    "c80bd097147cce32e31010b791bab8c71a26a5e10668210ec9d2e7f4c7cea2a1",
);

pub(super) fn pave(project: &Project) -> Result<Paved, RoadError> {
    if !project.has("package-lock.json") {
        let message = "there is no package-lock.json, which says which packages are meant";
        let fix = match ["yarn.lock", "pnpm-lock.yaml"].into_iter().find(|name| project.has(name)) {
            Some(other) => format!(
                "{other} is not read; run `npm install --package-lock-only`, and commit its lock file"
            ),
            None => "run `npm install --package-lock-only`, and commit it".to_owned(),
        };
        return Err(error(message, &fix));
    }
    let manifest = project.text("package.json").unwrap_or_default();
    let json = attest::json::parse(manifest.as_bytes())
        .map_err(|e| error(&format!("package.json cannot be read: {e}"), "mend it; npm reads it too"))?;
    let name = json.as_object().and_then(|o| o.string("name")).map(str::to_owned).unwrap_or_default();
    let plain = name.trim_start_matches('@').replace('/', "-");
    let plain = if is_plain(&plain) { plain } else { project.name() };
    let definition = Definition {
        packages: &PACKAGES,
        inputs: &[NPM],
        lock: Some(("npm", "package-lock.json")),
        target: &plain,
        outputs: &[format!("out/{plain}.tgz")],
        time: "15m",
        ..Definition::default()
    };
    let mut notes = Vec::new();
    if name.is_empty() {
        notes.push("package.json has no name; `npm pack` needs one, and a version".to_owned());
    }
    notes.push("programs that packages compile when installed need more of the toolchain: add gcc, g++, make, python3".to_owned());
    Ok(Paved { definition: definition.to_text(), script: SCRIPT.replace("{NAME}", &plain), notes })
}
