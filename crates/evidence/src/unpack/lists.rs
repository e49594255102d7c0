//! Lists of attestations: npm's, GitHub's, and PyPI's provenance objects.

use attest::json::each;
use attest::{Json, Object};

use super::{MAX_PIECES, Piece, UnpackError, piece};

/// What a registry's answer begins with: a broken one is no broken envelope.
pub(super) fn is_begun(bytes: &[u8]) -> bool {
    let head = bytes.get(..4096.min(bytes.len())).unwrap_or_default();
    let has = |word: &[u8]| head.windows(word.len()).any(|w| w == word);
    has(b"\"attestations\"") || has(b"\"attestation_bundles\"") || has(b"\"provenance_summary\"")
}

/// Items that are `{"bundle": …}` (npm and GitHub's API), `{"attestation": {"bundle": …}}` (`gh attestation verify`), or
/// envelopes themselves.
pub(super) fn read_items(items: &[Json], name: &str) -> Result<Vec<Piece>, UnpackError> {
    check_count(items.len())?;
    let bundles = each("attestations", items, |item| {
        let item = item.as_object()?;
        let item = item.optional_object("attestation")?.unwrap_or(item);
        let is_envelope = ["mediaType", "payload", "envelope"].iter().any(|key| item.get(key).is_some());
        if is_envelope { Ok(item) } else { item.object("bundle") }
    })?;
    bundles.into_iter().enumerate().map(|(index, bundle)| piece(bundle, name, index)).collect()
}

/// PEP 740: what an index says of one file.
pub(super) fn read_pep740(object: &Object, name: &str) -> Result<Vec<Piece>, UnpackError> {
    if object.int("version")? != 1 {
        let found = object.int("version")?.to_string();
        return Err(attest::json::ShapeError::new("version", "1", &found).into());
    }
    let mut all: Vec<Json> = Vec::new();
    for bundle in each("attestation_bundles", object.array("attestation_bundles")?, Json::as_object)? {
        all.extend(bundle.array("attestations")?.iter().cloned());
        check_count(all.len())?;
    }
    read_items(&all, name)
}

fn check_count(count: usize) -> Result<(), UnpackError> {
    match count {
        0 => Err(UnpackError::Empty),
        count if count > MAX_PIECES => Err(UnpackError::TooMany(count)),
        _ => Ok(()),
    }
}
