//! The envelopes of an OCI layout, as `verify --bundle` takes them.

use std::path::Path;

use evidence::Piece;
use registry::{Answer, Layout, Limits};

pub fn from_layout(path: &Path) -> Result<Vec<Piece>, String> {
    let layout = Layout::open(path, Limits::default()).map_err(|e| e.to_string())?;
    let Answer::Found(found) = layout.attestations() else { return Err("no attestation".to_owned()) };
    let envelope = |piece: registry::Piece| {
        let bytes = piece.envelope().map_err(|e| e.to_string())?.ok_or("a signature")?;
        Ok(Piece { name: piece.name, bytes, is_alternative: false })
    };
    found.pieces.into_iter().map(envelope).collect()
}
