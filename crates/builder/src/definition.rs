//! The build definition: in the source repository, reviewed like code. What is not declared does not exist.

use attest::time::Span;
use attest::yaml::{Fields, LoadError, Node, Problems};
use attest::{Algorithm, Digest};

/// Where it stands in the repository. Never chosen by the requester.
pub const DEFINITION_FILE: &str = "portcullis.build.yaml";

/// What a repository says about its builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildDefinition {
    /// The root file system: an archive.
    pub toolchain: Input,
    /// Other archives and files, below `/build/inputs`.
    pub inputs: Vec<Input>,
    /// The targets by name.
    pub targets: Vec<(String, Target)>,
}

/// An input: an identifier for people, a digest for the fetcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The identifier.
    pub uri: String,
    /// The only content that is accepted.
    pub digest: Digest,
    /// The file name below `/build/inputs`; empty for the toolchain.
    pub name: String,
}

/// One thing that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The command, word for word.
    pub command: Vec<String>,
    /// The files it makes, below the source.
    pub outputs: Vec<String>,
    /// Environment variables beside the fixed ones.
    pub environment: Vec<(String, String)>,
    /// How long it may take.
    pub time: Span,
}

/// A build that takes longer has lost its way.
const DEFAULT_TIME: Span = Span::seconds(600);
const FIXED: [&str; 6] = ["PATH", "HOME", "LC_ALL", "TZ", "SOURCE_DATE_EPOCH", "PWD"];

impl BuildDefinition {
    /// Parses a definition.
    ///
    /// # Errors
    /// All problems, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let definition = read(&node, &mut problems);
        problems.finish(definition)
    }

    /// The target of a name.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }
}

fn read(node: &Node, problems: &mut Problems) -> Option<BuildDefinition> {
    let fields = Fields::read(node, "a build definition", &["toolchain", "inputs", "targets"], problems)?;
    let toolchain = fields.required("toolchain", problems).and_then(|n| read_input(n, false, problems));
    let mut inputs = Vec::new();
    if let Some(items) = fields.optional("inputs").and_then(|n| problems.keep(n.list())) {
        inputs.extend(items.iter().filter_map(|item| read_input(item, true, problems)));
    }
    let node = fields.required("targets", problems)?;
    let mut targets = Vec::new();
    for (name, _, value) in problems.keep(node.entries())? {
        targets.extend(read_target(value, problems).map(|t| (name.to_owned(), t)));
    }
    Some(BuildDefinition { toolchain: toolchain?, inputs, targets })
}

fn read_input(node: &Node, is_named: bool, problems: &mut Problems) -> Option<Input> {
    let known: &[&str] = if is_named { &["uri", "sha256", "name"] } else { &["uri", "sha256"] };
    let fields = Fields::read(node, "an input", known, problems)?;
    let uri = fields.required("uri", problems);
    let digest = fields.required("sha256", problems);
    let name = if is_named {
        let node = fields.required("name", problems)?;
        let name = problems.keep(node.string())?;
        if !is_file_name(name) {
            problems.push(node.mismatch("a file name without slashes"));
            return None;
        }
        name.to_owned()
    } else {
        String::new()
    };
    let digest = digest?;
    let hex = problems.keep(digest.string())?;
    let parsed = Digest::from_hex(Algorithm::Sha256, hex)
        .map_err(|e| LoadError::new(&digest.place, &e.to_string()).fix("write what `sha256sum FILE` prints"));
    Some(Input { uri: problems.keep(uri?.string())?.to_owned(), digest: problems.keep(parsed)?, name })
}

fn read_target(node: &Node, problems: &mut Problems) -> Option<Target> {
    let fields = Fields::read(node, "a target", &["command", "outputs", "environment", "time"], problems)?;
    let command = fields.required("command", problems);
    let outputs = fields.required("outputs", problems);
    let time = match fields.optional("time") {
        Some(node) => {
            let span = Span::parse(problems.keep(node.string())?);
            problems.keep(span.ok_or_else(|| node.mismatch("a span of time, as in 10m")))?
        }
        None => DEFAULT_TIME,
    };
    let mut environment = Vec::new();
    if let Some(node) = fields.optional("environment") {
        for (name, key, value) in problems.keep(node.entries())? {
            if FIXED.contains(&name) || name.starts_with("LD_") {
                problems.push(
                    LoadError::new(&key.place, &format!("`{name}` is fixed in every build")).fix("remove it"),
                );
            }
            environment.push((name.to_owned(), problems.keep(value.string())?.to_owned()));
        }
    }
    let command = command?;
    let words: Option<Vec<String>> =
        problems.keep(command.list())?.iter().map(|w| problems.keep(w.string()).map(str::to_owned)).collect();
    let words = words?;
    if words.is_empty() {
        problems.push(command.mismatch("the words of a command"));
        return None;
    }
    let outputs = problems.keep(outputs?.strings())?;
    for (output, place) in &outputs {
        if output.starts_with('/') || output.split('/').any(|part| !is_file_name(part)) {
            let message = format!("`{output}` is no path below the source");
            problems.push(LoadError::new(place, &message).fix("write it as in bin/shop, without `..`"));
        }
    }
    for (index, (output, place)) in outputs.iter().enumerate() {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let is_taken = outputs.iter().take(index).any(|(other, _)| name(other) == name(output));
        if is_taken || output.ends_with(".sigstore.json") || output.contains(char::is_control) {
            let message = format!("`{}` cannot be published under its name", name(output));
            problems.push(
                LoadError::new(place, &message)
                    .fix("give every output a file name of its own, that does not end in .sigstore.json"),
            );
        }
    }
    let outputs = outputs.into_iter().map(|(o, _)| o).collect();
    Some(Target { command: words, outputs, environment, time })
}

fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}
