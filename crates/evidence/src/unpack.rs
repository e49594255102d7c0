//! Files that hold several envelopes, taken apart before anything is judged.
//!
//! Nothing is proven here and nothing is believed: every piece is an envelope that a trust root opens later, or does not.
//! A file that is one envelope already, or nothing that is known here, passes as it is, byte for byte. A container with
//! something in it that cannot be read is an error, and never the rest of it.

use std::fmt;

use attest::json::{self, Json, JsonError, Limits, Object, ShapeError};

mod google;
mod lines;
mod lists;

/// As many as a choke point reads for one request.
const MAX_PIECES: usize = 64;
const MAX_BYTES: usize = 24 << 20;

/// One envelope of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The file's name, and which of its envelopes it is where there are several.
    pub name: String,
    /// The envelope.
    pub bytes: Vec<u8>,
    /// Whether others beside it are there to say the same of the same build, signed otherwise: whoever submits them may
    /// leave out what does not open.
    pub is_alternative: bool,
}

/// Why a file cannot be taken apart.
#[derive(Debug, PartialEq, Eq)]
pub enum UnpackError {
    /// A line is no envelope.
    Line(usize, String),
    /// Malformed JSON in a container.
    Json(JsonError),
    /// A container of another shape.
    Shape(ShapeError),
    /// More envelopes than are read.
    TooMany(usize),
    /// Nothing in it.
    Empty,
    /// A certificate without a log entry: nothing says that it counted when it signed.
    NeedsLogEntry,
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number, why) => write!(f, "line {number} is no envelope: {why}"),
            Self::Json(e) => e.fmt(f),
            Self::Shape(e) => e.fmt(f),
            Self::TooMany(count) => write!(f, "{count} envelopes, wanted at most {MAX_PIECES}"),
            Self::Empty => f.write_str("there is no envelope in it"),
            Self::NeedsLogEntry => f.write_str(
                "it carries a certificate and no proof of when it was signed: needs the log entry, as in a Sigstore bundle",
            ),
        }
    }
}
impl std::error::Error for UnpackError {}
impl From<ShapeError> for UnpackError {
    fn from(e: ShapeError) -> Self {
        Self::Shape(e)
    }
}

/// Takes a file apart into envelopes.
///
/// # Errors
/// [`UnpackError`] for a container with anything in it that is no envelope.
pub fn unpack(bytes: &[u8], name: &str) -> Result<Vec<Piece>, UnpackError> {
    let pieces = match parse(bytes) {
        Ok(Json::Object(object)) => read_object(&object, bytes, name)?,
        Ok(Json::Array(items)) => lists::read_items(&items, name)?,
        Ok(_) => as_it_is(bytes, name),
        // several lines of which the first is an object: not one broken envelope, but a list of them
        Err(_) if lines::are_objects(bytes) => lines::read(bytes, name)?,
        Err(error) if lists::is_begun(bytes) => return Err(UnpackError::Json(error)),
        Err(_) => as_it_is(bytes, name),
    };
    if pieces.len() > MAX_PIECES {
        return Err(UnpackError::TooMany(pieces.len()));
    }
    Ok(pieces)
}

/// The pieces to submit: all of them, but of alternatives the first that opens, where one does. Whoever submits may leave
/// out what he likes: what is left is judged like anything else.
pub fn choose(pieces: Vec<Piece>, opens: impl Fn(&[u8]) -> bool) -> Vec<Piece> {
    let Some(first) = pieces.iter().position(|piece| piece.is_alternative && opens(&piece.bytes)) else {
        return pieces;
    };
    let pieces = pieces.into_iter().enumerate();
    pieces.filter(|(i, piece)| !piece.is_alternative || *i == first).map(|(_, piece)| piece).collect()
}

fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
    json::parse_with(bytes, Limits { bytes: MAX_BYTES, ..Limits::default() }.exact())
}

fn as_it_is(bytes: &[u8], name: &str) -> Vec<Piece> {
    vec![Piece { name: name.to_owned(), bytes: bytes.to_vec(), is_alternative: false }]
}

fn read_object(object: &Object, bytes: &[u8], name: &str) -> Result<Vec<Piece>, UnpackError> {
    if object.get("provenance_summary").is_some() {
        return google::read(object, name);
    }
    if object.get("attestation_bundles").is_some() {
        return lists::read_pep740(object, name);
    }
    if object.get("attestations").is_some() {
        return lists::read_items(object.array("attestations")?, name);
    }
    check_proof(object)?;
    Ok(as_it_is(bytes, name))
}

/// A piece of a container, as compact JSON: signatures cover what stands in it in base64.
fn piece(envelope: &Object, name: &str, index: usize) -> Result<Piece, UnpackError> {
    check_proof(envelope)?;
    let bytes = Json::from(envelope.clone()).to_string().into_bytes();
    Ok(Piece { name: format!("{name}[{index}]"), bytes, is_alternative: false })
}

/// The first generators wrote the certificate beside the signature, and the log entry nowhere.
fn check_proof(envelope: &Object) -> Result<(), UnpackError> {
    let has_certificate = |s: &Json| s.as_object().is_ok_and(|s| s.get("cert").is_some());
    let signatures = envelope.optional_array("signatures").unwrap_or_default();
    if envelope.get("payload").is_some() && signatures.iter().any(has_certificate) {
        return Err(UnpackError::NeedsLogEntry);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
