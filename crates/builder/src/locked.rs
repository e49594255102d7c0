//! The lock file: the exact files behind the names in a definition.

use attest::yaml::{Fields, LoadError, Node, Problems};

use crate::definition::{Input, named_input};

/// Where it stands, beside the definition.
pub const LOCK_FILE: &str = "portcullis.build.lock";

/// What `portcullis builder lock` resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// The packages of the root, in the order in which they are unpacked.
    pub toolchain: Vec<Input>,
    /// Files below `/build/inputs`.
    pub inputs: Vec<Input>,
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
}

fn read(node: &Node, problems: &mut Problems) -> Option<Locked> {
    let fields = Fields::read(node, "a lock file", &["toolchain", "inputs"], problems)?;
    let mut locked = Locked::default();
    for item in fields.optional("toolchain").and_then(|n| problems.keep(n.list())).unwrap_or_default() {
        locked.toolchain.extend(crate::definition::bare_input(item, problems));
    }
    for item in fields.optional("inputs").and_then(|n| problems.keep(n.list())).unwrap_or_default() {
        locked.inputs.extend(named_input(item, problems));
    }
    Some(locked)
}
