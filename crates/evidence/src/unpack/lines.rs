//! JSON Lines: an envelope a line, as `.intoto.jsonl` and `gh attestation download` have them.

use attest::Json;

use super::{Piece, UnpackError, parse, read_object};

fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = bytes.split(|b| *b == b'\n').enumerate();
    lines.map(|(i, line)| (i + 1, line.trim_ascii())).filter(|(_, line)| !line.is_empty())
}

/// Whether there are several lines, and the first is an object of its own.
pub(super) fn are_objects(bytes: &[u8]) -> bool {
    let mut lines = lines(bytes);
    let first = lines.next().and_then(|(_, line)| parse(line).ok());
    matches!(first, Some(Json::Object(_))) && lines.next().is_some()
}

pub(super) fn read(bytes: &[u8], name: &str) -> Result<Vec<Piece>, UnpackError> {
    let mut pieces = Vec::new();
    for (number, line) in lines(bytes) {
        let bad = |why: String| UnpackError::Line(number, why);
        let object = match parse(line).map_err(|e| bad(e.to_string()))? {
            Json::Object(object) => object,
            other => return Err(bad(format!("{} and no object", other.kind()))),
        };
        if !["mediaType", "payload", "envelope"].iter().any(|key| object.get(key).is_some()) {
            return Err(bad("neither a bundle nor a DSSE envelope".to_owned()));
        }
        let inner = read_object(&object, line, &format!("{name}:{number}"));
        pieces.extend(inner.map_err(|e| match e {
            UnpackError::NeedsLogEntry => e,
            other => bad(other.to_string()),
        })?);
    }
    Ok(pieces)
}
