//! What an unopened envelope claims to be about. Unproven: good for routing and for telling people of a mistake.

use attest::{Agreement, Algorithm, Digest, DigestSet, Envelope};

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
