//! What an unopened envelope claims to be about. Unproven: good for routing and for telling people of a mistake.

use attest::{Agreement, Algorithm, Digest, DigestSet, Envelope, EnvelopeError, Json, json};

/// What an envelope claims to be about, seen from one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The artifact.
    Artifact,
    /// A commit, or a tree: what the artifact was built from may be known by other evidence.
    Source,
    /// Other artifacts; the field is the first of them.
    Other(Digest),
    /// Nothing that reads.
    Nothing,
}

/// What `envelope` claims to be about.
#[must_use]
pub fn about(envelope: &Envelope, artifact: &DigestSet) -> About {
    let subjects = envelope.unproven_subjects();
    // a signature over the bytes and nothing more has no statement; its payload is the artifact's digest itself
    let is_plain = |digest: Digest| Digest::sha256(digest.bytes()) == envelope.payload_digest();
    if subjects.iter().any(|subject| subject.agrees(artifact) == Agreement::Same)
        || artifact.iter().any(is_plain)
    {
        return About::Artifact;
    }
    let of_source = |digest: &Digest| matches!(digest.algorithm(), Algorithm::GitCommit | Algorithm::GitTree);
    let digests: Vec<Digest> = subjects.iter().flat_map(DigestSet::iter).collect();
    if digests.iter().any(of_source) {
        return About::Source;
    }
    digests.into_iter().next().map_or(About::Nothing, About::Other)
}

/// The one spelling under which a bundle is stored and named: JSON without blanks, a text without an end of line. So a
/// bundle has one digest, whether it came as a file, in a request or in an annotation. What is signed stays as it is.
///
/// # Errors
/// [`EnvelopeError`] where the bytes are no envelope.
pub fn compact(bytes: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    Envelope::parse(bytes)?;
    let compact = match to_json(bytes)? {
        Json::String(text) => text,
        value => value.to_string(),
    };
    Ok(compact.into_bytes())
}

/// A bundle as a JSON value: a JWT or a .buildinfo is a string.
///
/// # Errors
/// [`EnvelopeError`] where it is neither.
pub fn to_json(bytes: &[u8]) -> Result<Json, EnvelopeError> {
    if Envelope::is_text(bytes) {
        let text = std::str::from_utf8(bytes).or(Err(EnvelopeError::Jws))?;
        return Ok(Json::from(text.trim_end_matches('\n')));
    }
    let limits = json::Limits { bytes: Envelope::MAX_BYTES, ..json::Limits::default() };
    json::parse_with(bytes, limits).map_err(EnvelopeError::Json)
}
