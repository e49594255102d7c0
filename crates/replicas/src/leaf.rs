//! What a leaf says of its place among its writer's entries: all that the sequencer reads of one.

use attest::merkle::{Hash, leaf_hash};
use attest::{Algorithm, Digest};

/// Where a leaf says that it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) writer: String,
    pub(crate) sequence: u64,
    /// The leaf hash of this writer's entry before.
    pub(crate) previous: Option<String>,
}

/// Reads it; nothing where the leaf is no entry of a decision log.
pub(crate) fn position(leaf: &[u8]) -> Option<Position> {
    let value = attest::json::parse(leaf).ok()?;
    let object = value.as_object().ok()?;
    Some(Position {
        writer: object.string("writer").ok()?.to_owned(),
        sequence: u64::try_from(object.int("sequence").ok()?).ok()?,
        previous: object.optional_string("previous").ok()?.map(str::to_owned),
    })
}

/// A leaf's hash, as the next entry of its writer names it.
pub(crate) fn named(hash: &Hash) -> Option<String> {
    Digest::from_bytes(Algorithm::Sha256, hash.to_vec()).ok().map(|digest| digest.to_string())
}

/// The hash of a leaf.
pub(crate) fn hash(leaf: &[u8]) -> Hash {
    leaf_hash(leaf)
}
