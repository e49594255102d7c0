//! What the agent follows, and where it puts it.

use std::path::{Path, PathBuf};

use attest::LoadError;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};

use crate::failure::Failure;
use crate::input;

/// One service of this machine.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) environment: String,
    /// The URI under which releases are requested.
    pub(super) artifact: String,
    /// A file or an https address, with the names of artifact and bundles.
    pub(super) pointer: String,
    /// Who vouches for that address.
    pub(super) ca: Option<PathBuf>,
    pub(super) every: Span,
    pub(super) install: PathBuf,
    pub(super) restart: Vec<String>,
    pub(super) healthy: Option<(Vec<String>, Span)>,
}

const KEYS: [&str; 8] =
    ["environment", "artifact", "pointer", "ca", "every", "install", "restart", "healthy"];

impl Config {
    /// Paths in it are relative to its own folder.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let text = input::text("configuration", file)?;
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        Self::parse(&file.display().to_string(), &text, &folder)
            .map_err(|errors| Failure::load("watch-configuration-invalid", errors))
    }

    fn parse(file: &str, text: &str, folder: &Path) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let config = Fields::read(&node, "the agent's configuration", &KEYS, &mut problems)
            .and_then(|fields| fill(&fields, folder, &mut problems));
        problems.finish(config)
    }
}

fn fill(fields: &Fields<'_>, folder: &Path, problems: &mut Problems) -> Option<Config> {
    let (environment, artifact) = (text(fields, "environment", problems), text(fields, "artifact", problems));
    let (pointer, install) = (text(fields, "pointer", problems), text(fields, "install", problems));
    let ca = fields.optional("ca").and_then(|node| problems.keep(node.string()));
    let every = match fields.optional("every") {
        Some(node) => span(node, problems),
        None => Some(Span::seconds(30)),
    };
    let restart = fields.optional("restart").map_or_else(|| Some(Vec::new()), |node| words(node, problems));
    let healthy = fields.optional("healthy").map(|node| {
        let fields = Fields::read(node, "the look at its health", &["command", "within"], problems)?;
        let command = fields.required("command", problems).and_then(|node| words(node, problems));
        let within = fields.required("within", problems).and_then(|node| span(node, problems));
        Some((command?, within?))
    });
    let pointer = pointer?;
    let is_url = pointer.starts_with("https://");
    Some(Config {
        environment: environment?,
        artifact: artifact?,
        pointer: if is_url { pointer } else { folder.join(pointer).display().to_string() },
        ca: ca.map(|ca| folder.join(ca)),
        every: every?,
        install: folder.join(install?),
        restart: restart?,
        healthy: match healthy {
            Some(read) => Some(read?),
            None => None,
        },
    })
}

fn text(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<String> {
    let node = fields.required(key, problems)?;
    problems.keep(node.string()).map(str::to_owned)
}

fn span(node: &Node, problems: &mut Problems) -> Option<Span> {
    let span = problems.keep(node.string()).and_then(Span::parse).filter(|span| span.as_seconds() > 0);
    problems.keep(span.ok_or_else(|| node.mismatch("a span of time, as in 30s")))
}

fn words(node: &Node, problems: &mut Problems) -> Option<Vec<String>> {
    let words: Vec<String> = problems.keep(node.strings())?.into_iter().map(|(word, _)| word).collect();
    let wanted = "a command as a list of words, as in [systemctl, restart, shop]";
    problems.keep(if words.is_empty() { Err(node.mismatch(wanted)) } else { Ok(words) })
}
