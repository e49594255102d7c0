//! What governs the reviewed files themselves.
//!
//! ```yaml
//! governance:
//!   policies: governance             # a folder: policies for the files, with other owners than the book's
//!   environment: portcullis/prod     # what these policies guard
//!   pinned:                          # what may be first, while the log is empty: portcullis policy digest FILE-OR-FOLDER
//!     governance: sha256:…
//!     trust-root: sha256:…
//!     guardrails: sha256:…
//!     book: sha256:…
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use attest::Digest;
use attest::yaml::{Fields, Node, Problems};

use crate::fields::{path, text};
use crate::webhook::governance::Part;

/// What governs the reviewed files themselves.
#[derive(Clone, Debug)]
pub struct Governance {
    /// The folder with the policies under which files come into force.
    pub policies: PathBuf,
    /// The environment that these policies guard.
    pub environment: String,
    /// What may be in force first, without evidence.
    pub pinned: BTreeMap<Part, Digest>,
}

pub(super) fn governance(node: &Node, problems: &mut Problems) -> Option<Governance> {
    let fields = Fields::read(node, "`governance`", &["policies", "environment", "pinned"], problems)?;
    let policies = path(&fields, "policies", problems);
    let environment = text(&fields, "environment", problems);
    let pinned = fields.required("pinned", problems).and_then(|node| pinned(node, problems));
    Some(Governance { policies: policies?, environment: environment?, pinned: pinned? })
}

fn pinned(node: &Node, problems: &mut Problems) -> Option<BTreeMap<Part, Digest>> {
    let parts = [Part::Governance, Part::TrustRoot, Part::Guardrails, Part::Book];
    let fields = Fields::read(node, "`pinned`", &parts.map(Part::key), problems)?;
    // whose policies count first, and whose signatures, cannot be a matter of signatures
    fields.required(Part::Governance.key(), problems)?;
    fields.required(Part::TrustRoot.key(), problems)?;
    let mut pinned = BTreeMap::new();
    for part in parts {
        let Some(node) = fields.optional(part.key()) else { continue };
        let wanted = || node.mismatch("a digest, as in sha256:HEX: portcullis policy digest FILE-OR-FOLDER");
        let digest = Digest::parse(problems.keep(node.string())?).map_err(|_| wanted());
        pinned.insert(part, problems.keep(digest)?);
    }
    Some(pinned)
}
