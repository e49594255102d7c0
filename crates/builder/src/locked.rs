//! The lock file: the exact files behind the names in a definition. Written by `portcullis builder lock`, committed,
//! and reviewed like code: a build fetches nothing that does not stand here or in the definition.

use std::collections::BTreeMap;

use attest::yaml::{Fields, LoadError, Node, Place, Problems};

use crate::definition::{Input, bare_input, named_input};

mod made_for;

pub use made_for::MadeFor;

/// Where it stands, beside the definition.
pub const LOCK_FILE: &str = "portcullis.build.lock";

/// More files are no inputs but a mirror: a large npm application has about 3,000.
pub const MAX_INPUTS: usize = 20_000;

/// What `portcullis builder lock` resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// The packages of the root, in the order in which they are unpacked.
    pub toolchain: Vec<Input>,
    /// Files below `/build/inputs`.
    pub inputs: Vec<Input>,
    /// What it was resolved from; older lock files do not say it.
    pub made_for: Option<MadeFor>,
}

impl Locked {
    /// Parses a lock file.
    ///
    /// # Errors
    /// All problems, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let locked = read(&node, &mut problems);
        problems.finish(locked)
    }

    /// The lock file's text. What [`Locked::parse`] reads from it is the same again.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = "# Written by `portcullis builder lock`; review it like code.\n".to_owned();
        text.push_str(&self.made_for.as_ref().map(MadeFor::to_text).unwrap_or_default());
        list(&mut text, "toolchain", &self.toolchain);
        list(&mut text, "inputs", &self.inputs);
        text
    }
}

fn list(text: &mut String, key: &str, items: &[Input]) {
    if items.is_empty() {
        text.push_str(&format!("{key}: []\n"));
        return;
    }
    text.push_str(&format!("{key}:\n"));
    for item in items {
        let mut lead = "  - ";
        if !item.name.is_empty() {
            text.push_str(&format!("{lead}name: {}\n", quoted(&item.name)));
            lead = "    ";
        }
        text.push_str(&format!("{lead}uri: {}\n", quoted(&item.uri)));
        text.push_str(&format!("    sha256: {}\n", quoted(&item.digest.hex())));
        if let Some(builder) = &item.built_by {
            text.push_str(&format!("    built-by: {}\n", quoted(builder)));
        }
    }
}

/// A scalar as YAML. Always in quotes: a digest of digits alone would otherwise be a number to another reader, and a
/// name may begin with `@`.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn read(node: &Node, problems: &mut Problems) -> Option<Locked> {
    let fields = Fields::read(node, "a lock file", &["made-for", "toolchain", "inputs"], problems)?;
    let made_for = fields.optional("made-for").and_then(|node| MadeFor::read(node, problems));
    let toolchain = items(&fields, "toolchain", problems);
    let inputs = items(&fields, "inputs", problems);
    let count = toolchain.len() + inputs.len();
    if count > MAX_INPUTS {
        problems.push(
            LoadError::new(&node.place, "the lock file has too many entries")
                .wanted(&format!("at most {MAX_INPUTS}"))
                .found(&count.to_string()),
        );
        return None;
    }
    let mut locked = Locked { made_for, ..Locked::default() };
    let mut uris = BTreeMap::new();
    for item in toolchain {
        let Some(package) = bare_input(item, problems) else { continue };
        once(&mut uris, &package.uri, item, "package", problems);
        locked.toolchain.push(package);
    }
    let mut names = BTreeMap::new();
    for item in inputs {
        let Some(input) = named_input(item, problems) else { continue };
        once(&mut names, &input.name, item, "input", problems);
        locked.inputs.push(input);
    }
    contained(&names, problems);
    Some(locked)
}

fn items<'a>(fields: &Fields<'a>, key: &str, problems: &mut Problems) -> &'a [Node] {
    fields.required(key, problems).and_then(|n| problems.keep(n.list())).unwrap_or_default()
}

fn once(known: &mut BTreeMap<String, Place>, key: &str, node: &Node, what: &str, problems: &mut Problems) {
    match known.get(key) {
        Some(first) => problems.push(
            LoadError::new(
                &node.place,
                &format!("the {what} `{key}` stands here again, after line {}", first.line),
            )
            .fix("run `portcullis builder lock`; this file is not written by hand"),
        ),
        None => drop(known.insert(key.to_owned(), node.place.clone())),
    }
}

/// One input cannot be a file at `a` and another one at `a/b`.
fn contained(names: &BTreeMap<String, Place>, problems: &mut Problems) {
    for (name, place) in names {
        let mut folder = name.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            if names.contains_key(parent) {
                let message = format!("the input `{name}` would stand below the file `{parent}`");
                problems.push(LoadError::new(place, &message).fix("run `portcullis builder lock` again"));
            }
            folder = parent;
        }
    }
}
