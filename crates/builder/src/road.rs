//! Paved roads: a build definition and a build script for a project, so that a hermetic build is the easy one.
//!
//! What is cleverness lives in the script that is written into the project, where it is read and reviewed like its own
//! code; the orchestrator knows nothing of cargo, npm or pip.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

mod bazel;
mod cargo;
mod debian;
mod go;
mod make;
mod npm;
mod python;

/// Where the script stands.
pub const SCRIPT_FILE: &str = "portcullis/build.sh";

/// A file of a project that is larger tells nothing about how it is built.
const MAX_FILE: u64 = 1 << 20;
/// A folder with more entries is not looked through to its end.
const MAX_ENTRIES: usize = 10_000;

/// A kind of project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Road {
    /// A Rust project: `Cargo.lock`.
    Cargo,
    /// A JavaScript package: `package-lock.json`.
    Npm,
    /// A Python wheel: a hash-pinned `requirements.txt`.
    Python,
    /// A Go module: `go.sum`.
    Go,
    /// Debian packages: `debian/control`, or a source package of the archive.
    Debian,
    /// A Bazel project: `WORKSPACE`.
    Bazel,
    /// Anything that `make` builds.
    Make,
}

/// A project's folder.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
}

/// What a road writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paved {
    /// The text of `portcullis.build.yaml`.
    pub definition: String,
    /// The text of `portcullis/build.sh`.
    pub script: String,
    /// What somebody should look at.
    pub notes: Vec<String>,
}

/// Why a road cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoadError {
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub fix: String,
}

impl fmt::Display for RoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.fix)
    }
}
impl std::error::Error for RoadError {}

impl Road {
    /// All, in the order in which a project is taken for one: a Debian package often has a Makefile too.
    pub const ALL: [Self; 7] =
        [Self::Debian, Self::Cargo, Self::Go, Self::Npm, Self::Python, Self::Bazel, Self::Make];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::Python => "python",
            Self::Go => "go",
            Self::Debian => "debian",
            Self::Bazel => "bazel",
            Self::Make => "make",
        }
    }

    /// The road of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|road| road.name() == name)
    }

    /// The files by which a project is known, any of which will do.
    #[must_use]
    pub fn signs(self) -> &'static [&'static str] {
        match self {
            Self::Cargo => &["Cargo.toml"],
            Self::Npm => &["package.json"],
            Self::Python => &["pyproject.toml", "setup.py", "setup.cfg"],
            Self::Go => &["go.mod"],
            Self::Debian => &["debian/control"],
            Self::Bazel => &["WORKSPACE", "WORKSPACE.bazel", "MODULE.bazel"],
            Self::Make => &["Makefile", "makefile", "GNUmakefile"],
        }
    }

    /// The roads that a project could take.
    #[must_use]
    pub fn of(project: &Project) -> Vec<Self> {
        Self::ALL.into_iter().filter(|road| road.signs().iter().any(|sign| project.has(sign))).collect()
    }

    /// The definition and the script for a project.
    ///
    /// # Errors
    /// [`RoadError`] where the project lacks what the road needs.
    pub fn pave(self, project: &Project) -> Result<Paved, RoadError> {
        match self {
            Self::Cargo => cargo::pave(project),
            Self::Npm => npm::pave(project),
            Self::Python => python::pave(project),
            Self::Go => go::pave(project),
            Self::Debian => debian::pave(project),
            Self::Bazel => bazel::pave(project),
            Self::Make => make::pave(project),
        }
    }
}

impl Project {
    /// The project in a folder.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder's own name, as a last resort for a target's.
    fn name(&self) -> String {
        let root = fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
        let name = root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if is_plain(&name) { name } else { "project".to_owned() }
    }

    fn has(&self, path: &str) -> bool {
        self.root.join(path).is_file()
    }

    /// The text of a file, where it is there and is one.
    fn text(&self, path: &str) -> Option<String> {
        let mut text = String::new();
        fs::File::open(self.root.join(path)).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// The names in a folder, in order, without hidden ones.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten().take(MAX_ENTRIES);
        let names = entries.filter_map(|e| e.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|n| !n.starts_with('.')).collect();
        names.sort();
        names
    }
}

/// A word that means itself in a shell, in YAML and in a path.
fn is_plain(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(['-', '.', '+'])
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
}

fn error(message: &str, fix: &str) -> RoadError {
    RoadError { message: message.to_owned(), fix: fix.to_owned() }
}

/// A definition: what differs between roads, in one form.
#[derive(Default)]
struct Definition<'a> {
    suite: Option<&'a str>,
    packages: &'a [&'a str],
    links: &'a [(&'a str, &'a str)],
    /// Inputs by hand: name, URI, SHA-256.
    inputs: &'a [(&'a str, &'a str, &'a str)],
    lock: Option<(&'a str, &'a str)>,
    target: &'a str,
    outputs: &'a [String],
    time: &'a str,
}

impl Definition<'_> {
    fn to_text(&self) -> String {
        let suite = self.suite.unwrap_or(crate::lock::SUITE);
        let mut text = format!(
            "# What this repository builds, and everything that may influence it: review it like code.
# `portcullis builder lock` pins the exact files behind the names, in portcullis.build.lock.
toolchain:
  debian:
    suite: {suite}
    packages: [{}]
",
            self.packages.join(", ")
        );
        if !self.links.is_empty() {
            text.push_str("  # packages are unpacked and never configured: what their scripts would have linked\n  links:\n");
        }
        for (path, to) in self.links {
            text.push_str(&format!("    {path}: {to}\n"));
        }
        if !self.inputs.is_empty() {
            text.push_str("inputs:\n");
        }
        for (name, uri, sha256) in self.inputs {
            text.push_str(&format!("  - name: {name}\n    uri: {uri}\n    sha256: {sha256}\n"));
        }
        if let Some((ecosystem, from)) = self.lock {
            text.push_str(&format!("lock:\n  {ecosystem}: {from}\n"));
        }
        text.push_str(&format!(
            "targets:\n  {}:\n    command: [sh, {SCRIPT_FILE}]\n    outputs:\n",
            self.target
        ));
        for output in self.outputs {
            text.push_str(&format!("      - {output}\n"));
        }
        text.push_str(&format!("    time: {}\n", self.time));
        text
    }
}

/// The strings of one key in one kind of table, in files that people write as TOML. It is for a first guess that a
/// person reviews, so what it does not understand it leaves out.
fn toml_strings(text: &str, table: &str, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for row in text.lines().map(str::trim) {
        if row.starts_with('[') && !row.contains('=') {
            is_inside = row.trim_matches(['[', ']']).trim() == table;
        } else if is_inside && let Some(value) = assigned(row, key) {
            found.push(value.to_owned());
        }
    }
    found
}

/// The text in `key = "text"`.
fn assigned<'a>(row: &'a str, key: &str) -> Option<&'a str> {
    let value = row.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value.get(1..)?.split(quote).next()
}
