//! The build definition: in the source repository, reviewed like code. What is not declared does not exist.

use attest::Digest;
use attest::time::Span;
use attest::yaml::{LoadError, Node, Problems};

mod image;
mod read;

pub(crate) use image::is_assembly;
pub use image::{Image, ImageFile};
pub(crate) use read::{bare_input, named_input};

/// Where it stands in the repository. Never chosen by the requester.
pub const DEFINITION_FILE: &str = "portcullis.build.yaml";

/// What a repository says about its builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildDefinition {
    /// The root file system.
    pub toolchain: Toolchain,
    /// Files declared by hand, below `/build/inputs`.
    pub inputs: Vec<Input>,
    /// What `portcullis builder lock` resolves into the lock file: an ecosystem, and its own lock file or package.
    pub lock: Vec<(String, String)>,
    /// The targets by name.
    pub targets: Vec<(String, Target)>,
    /// The tests by name.
    pub tests: Vec<(String, Test)>,
}

/// The root file system of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// What it is made of.
    pub base: Base,
    /// Links made in it: path and target. Packages are unpacked and never configured; these stand for what a
    /// maintainer script would have linked.
    pub links: Vec<(String, String)>,
}

/// What a root file system is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// One archive: a tar, or an OCI image layout in a tar.
    Archive(Input),
    /// Debian packages; the lock file has the exact files.
    Debian {
        /// The suite that they come from; the resolver's own without.
        suite: Option<String>,
        /// Their names.
        packages: Vec<String>,
    },
    /// Nothing: every target is an image, and every test runs in one.
    Nothing,
}

/// An input: an identifier for people, a digest for the fetcher.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Input {
    /// Where it can be fetched.
    pub uri: String,
    /// The only content that is accepted.
    pub digest: Digest,
    /// The path below `/build/inputs`; empty in the toolchain.
    pub name: String,
    /// The builder, as the trust root names it, whose provenance for it is demanded: it is another build's artifact.
    pub built_by: Option<String>,
}

/// A command and what it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The command, word for word.
    pub command: Vec<String>,
    /// Environment variables beside the fixed ones.
    pub environment: Vec<(String, String)>,
    /// What it may use.
    pub limits: Limits,
}

/// What a command may use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time on the clock.
    pub time: Span,
    /// Memory of all its processes, in bytes.
    pub memory: u64,
    /// Processes and threads at once.
    pub processes: u64,
    /// What it may write, in bytes.
    pub disk: u64,
    /// Files and folders it may make.
    pub files: u64,
}

impl Limits {
    /// What a command gets that asks for nothing: one that needs more says so.
    pub const DEFAULT: Self =
        Self { time: Span::seconds(600), memory: 4 << 30, processes: 1024, disk: 4 << 30, files: 200_000 };
}

/// One thing that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How; for an image, the words that stand for its assembly.
    pub action: Action,
    /// The image that the orchestrator assembles itself, in place of running a command.
    pub image: Option<Image>,
    /// The files it makes, below the source.
    pub outputs: Vec<String>,
    /// The tests that run on them.
    pub tests: Vec<String>,
}

/// A test: a build whose output is a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// How.
    pub action: Action,
    /// Whether it runs in the image that was built, in place of the toolchain.
    pub is_in_image: bool,
    /// The JUnit report that it writes, below the source; without, its exit status alone counts.
    pub junit: Option<String>,
}

impl BuildDefinition {
    /// Parses a definition.
    ///
    /// # Errors
    /// All problems, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let definition = read::definition(&node, &mut problems);
        problems.finish(definition)
    }

    /// The target of a name.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// The test of a name.
    #[must_use]
    pub fn test(&self, name: &str) -> Option<&Test> {
        self.tests.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }
}

/// Whether a path stays below the folder it is relative to, and prints on one line.
pub(crate) fn is_path_below(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 512
        && path.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255)
        && !path.contains(char::is_control)
}
