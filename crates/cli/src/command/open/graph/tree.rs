//! The tree of builds above an artifact, bounded and without cycles.

use std::collections::BTreeSet;
use std::rc::Rc;

use attest::provenance::Dependency;
use attest::{Digest, DigestSet};

use super::library::{Library, Maker};
use crate::failure::Failure;
use crate::trust::Proven;

/// A chain of builds that is longer is followed no further.
pub(super) const MAX_DEPTH: usize = 32;
/// More inputs than this are no chain that a person reads.
const MAX_NODES: usize = 100_000;

/// One artifact or input.
#[derive(Debug)]
pub(super) struct Node {
    /// What it is called.
    pub(super) name: String,
    /// What it is.
    pub(super) digests: DigestSet,
    /// Whether it is a tool of the build below which it stands.
    pub(super) is_tool: bool,
    /// How it came to be.
    pub(super) origin: Origin,
}

/// How an artifact came to be.
#[derive(Debug)]
pub(super) enum Origin {
    /// A build, and what went into it.
    Build(Rc<Proven>, Vec<Node>),
    /// The same build stands above with its inputs.
    Above(Rc<Proven>),
    /// It went into a build that went into it.
    Cycle,
    /// The chain is longer than [`MAX_DEPTH`].
    TooDeep,
    /// No bundle says.
    Unknown,
    /// The bundles that say so prove nothing; why.
    NotProven(String),
}

/// Grows trees out of a library.
pub(super) struct Growth<'l, 't> {
    library: &'l mut Library<'t>,
    path: Vec<DigestSet>,
    shown: BTreeSet<Digest>,
    nodes: usize,
}

impl<'l, 't> Growth<'l, 't> {
    pub(super) fn new(library: &'l mut Library<'t>) -> Self {
        Self { library, path: Vec::new(), shown: BTreeSet::new(), nodes: 0 }
    }

    /// The tree above one artifact.
    pub(super) fn node(&mut self, name: &str, digests: &DigestSet, is_tool: bool) -> Result<Node, Failure> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Failure::new("the builds have too many inputs to show")
                .line("wanted", &format!("at most {MAX_NODES}"))
                .line("fix", "ask for the graph of one of the inputs"));
        }
        let origin = self.origin(digests)?;
        let name = match &origin {
            Origin::Build(proven, _) | Origin::Above(proven) => named(proven, digests).unwrap_or(name),
            _ => name,
        };
        Ok(Node { name: name.to_owned(), digests: digests.clone(), is_tool, origin })
    }

    fn origin(&mut self, digests: &DigestSet) -> Result<Origin, Failure> {
        let proven = match self.library.maker(digests)? {
            Maker::Build(proven) => proven,
            Maker::Unknown => return Ok(Origin::Unknown),
            Maker::NotProven(why) => return Ok(Origin::NotProven(why)),
        };
        if self.path.contains(digests) {
            return Ok(Origin::Cycle);
        }
        if self.path.len() >= MAX_DEPTH {
            return Ok(Origin::TooDeep);
        }
        if !digests.first().is_some_and(|digest| self.shown.insert(digest)) {
            return Ok(Origin::Above(proven));
        }
        self.path.push(digests.clone());
        let inputs = self.inputs(&proven.provenance.dependencies)?;
        self.path.pop();
        Ok(Origin::Build(proven, inputs))
    }

    fn inputs(&mut self, dependencies: &[Dependency]) -> Result<Vec<Node>, Failure> {
        dependencies.iter().map(|d| self.node(&d.uri, &d.digests, d.is_tool)).collect()
    }
}

/// What the build itself calls the artifact.
fn named<'p>(proven: &'p Proven, digests: &DigestSet) -> Option<&'p str> {
    let subject = proven.subjects.iter().find(|s| s.digests.agrees(digests) == attest::Agreement::Same)?;
    (!subject.name.is_empty()).then_some(&subject.name)
}
