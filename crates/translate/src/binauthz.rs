//! Google's Binary Authorization: its policy in both forms, attestors with their keys, and attestations as Container
//! Analysis keeps them.
//!
//! YAML and JSON are read alike, with the place of everything. A field that nobody here gives a meaning to is an error: what
//! it restricts would be gone without a word.

mod attestor;
mod check;
mod check_set;
mod guard;
mod keys;
mod occurrence;
mod policy;
mod signers;

pub use attestor::Attestor;
pub use occurrence::{Occurrence, Word};
pub use policy::translate;
