//! What forges export of a change, and who approved which revision of it.
//!
//! Floor 1. Reads what the forges' own tools print, and does no I/O. What is exported is not signed: it becomes
//! evidence when a review authority, which fetched it, signs the review that is made of it.

mod document;
mod error;
mod people;
mod votes;

pub mod gerrit;
pub mod github;
pub mod gitlab;

use std::collections::BTreeSet;

use attest::Digest;
use jiff::Timestamp;

pub use document::Document;
pub use error::ExportError;
pub use votes::Voided;

/// Who approved a change, as the forge says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// The repository, as people name it; nothing where the export does not say.
    pub repository: Option<String>,
    /// The branch for which it was approved.
    pub branch: String,
    /// The last revision: only approvals of it count.
    pub head: Digest,
    /// What is on the branch now, where it was merged.
    pub merged: Option<Digest>,
    /// A commit of the branch on which the change was made: where it began, or where the branch was then.
    pub base: Digest,
    /// Whether the export shows author and committer of every commit since `base`. Where it does not, a clone must.
    pub shows_everybody: bool,
    /// Everybody who pushed or wrote a part of it.
    pub authors: BTreeSet<String>,
    /// Whose approval counts.
    pub reviewers: BTreeSet<String>,
    /// Whose approval does not count, and why.
    pub voided: Vec<Voided>,
    /// When the last of them approved.
    pub reviewed: Timestamp,
}
