//! What the operator of a node says.
//!
//! ```yaml
//! book: book                      # policies for this node: most ask for `verified-by` alone
//! trust-root: trust-root.yaml
//! evidence: evidence              # what was brought: summaries, bundles, grants
//! spool: spool                    # what a grant let in, until it was told to a choke point's log
//! environments:                   # an image that stands nowhere is refused
//!   - { environment: prod/shop, images: ["registry.example/shop/**"] }
//! ```

use std::path::{Path, PathBuf};

use attest::LoadError;
use attest::sigstore::Pattern;
use attest::yaml::{Fields, Node, Problems};

const KNOWN: [&str; 5] = ["book", "trust-root", "evidence", "spool", "environments"];

/// The configuration of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder with the policies.
    pub book: PathBuf,
    /// Whom to trust.
    pub trust_root: PathBuf,
    /// The folder with what was brought.
    pub evidence: PathBuf,
    /// The folder with what a grant let in.
    pub spool: PathBuf,
    /// Which images are which environment.
    pub environments: Vec<(String, Vec<Pattern>)>,
}

impl Config {
    /// Parses a configuration; relative paths are relative to its folder.
    ///
    /// # Errors
    /// All problems, each with its place.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(&file.display().to_string(), text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let config = read(&node, file.parent().unwrap_or(Path::new("")), &mut problems);
        problems.finish(config)
    }

    /// The environment of an image, by its name without tag and digest; nothing where it is nobody's.
    #[must_use]
    pub fn environment(&self, image: &str) -> Option<&str> {
        let found = self.environments.iter().find(|(_, images)| images.iter().any(|p| p.matches(image)));
        found.map(|(name, _)| name.as_str())
    }
}

fn read(node: &Node, folder: &Path, problems: &mut Problems) -> Option<Config> {
    let fields = Fields::read(node, "a node's configuration", &KNOWN, problems)?;
    let path = |key: &str, problems: &mut Problems| {
        let node = fields.required(key, problems)?;
        problems.keep(node.string()).map(|text| folder.join(text))
    };
    let (book, trust_root) = (path("book", problems), path("trust-root", problems));
    let (evidence, spool) = (path("evidence", problems), path("spool", problems));
    let mut environments = Vec::new();
    for item in fields.required("environments", problems).and_then(|n| problems.keep(n.list()))? {
        environments.push(environment(item, problems)?);
    }
    Some(Config { book: book?, trust_root: trust_root?, evidence: evidence?, spool: spool?, environments })
}

fn environment(node: &Node, problems: &mut Problems) -> Option<(String, Vec<Pattern>)> {
    let fields = Fields::read(node, "an environment", &["environment", "images"], problems)?;
    let name = fields.required("environment", problems).and_then(|n| problems.keep(n.string()));
    let mut images = Vec::new();
    for item in fields.required("images", problems).and_then(|n| problems.keep(n.list()))? {
        let text = problems.keep(item.string())?;
        images.push(problems.keep(Pattern::parse(text).map_err(|e| item.mismatch(&e.to_string())))?);
    }
    Some((name?.to_owned(), images))
}
