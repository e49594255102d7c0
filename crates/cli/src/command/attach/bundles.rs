//! What is brought, and to what: each bundle must parse, and claim to be about the artifact or about its source.

use std::path::{Path, PathBuf};

use attest::{Algorithm, Digest, DigestSet, Envelope, Json};
use evidence::{About, Attachment, AttachmentError, Store, about};

use crate::failure::Failure;
use crate::input;

/// One bundle.
pub(crate) struct Brought {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    /// The one spelling under which it is stored.
    bytes: Vec<u8>,
    pub(crate) json: Json,
    about: About,
}

impl Brought {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn about_text(&self) -> &'static str {
        match self.about {
            About::Source => "about a commit",
            _ => "about the artifact",
        }
    }
}

pub(crate) fn read(
    artifact: &str,
    files: &[PathBuf],
    tag: Option<&str>,
) -> Result<(Attachment, Vec<Brought>), Failure> {
    let mut envelopes = Vec::new();
    for file in files {
        for submitted in input::pieces(file)? {
            let envelope = Envelope::parse(&submitted.bytes).map_err(|e| {
                Failure::new(&format!("{} is no bundle", submitted.name))
                    .code("no-bundle")
                    .found()
                    .line("found", &e.to_string())
                    .line("fix", "give a Sigstore bundle, a DSSE envelope or a JWT, as `portcullis build` and `attest` write")
            })?;
            envelopes.push((submitted, envelope));
        }
    }
    let also: Vec<Algorithm> = envelopes.iter().flat_map(|(_, e)| e.mentioned_algorithms()).collect();
    let digests = digests(artifact, &also)?;
    let digest = digests.get(Algorithm::Sha256).ok_or_else(|| {
        Failure::new(&format!("{artifact} has no sha256"))
            .line("wanted", "a file, sha256:HEX or REPOSITORY@sha256:HEX")
            .line("found", &digests.first().map(|d| d.to_string()).unwrap_or_default())
    })?;
    let mut brought: Vec<Brought> = Vec::new();
    for (submitted, envelope) in envelopes {
        let one = bring(&submitted.name, &submitted.bytes, about(&envelope, &digests), &digest)?;
        // the same bundle twice says it once
        if brought.iter().all(|b| b.digest != one.digest) {
            brought.push(one);
        }
    }
    let bytes: Vec<Vec<u8>> = brought.iter().map(|b| b.bytes.clone()).collect();
    let attachment = Attachment::new(&digests, &bytes, tag).map_err(|e| not_attached(&e))?;
    Ok((attachment, brought))
}

/// Bundles were looked at one by one; this is about the whole.
fn not_attached(error: &AttachmentError) -> Failure {
    let failure = Failure::new("the evidence cannot be attached").line("found", &error.to_string());
    match error {
        AttachmentError::TooMany(_) => failure.line("fix", "attach what the policy asks for, and no more"),
        AttachmentError::Tag(_) => {
            failure.line("fix", "name the registry too; an image without one is docker.io/library/NAME")
        }
        _ => failure,
    }
}

fn bring(name: &str, bytes: &[u8], about: About, artifact: &Digest) -> Result<Brought, Failure> {
    let other = |found: &str| {
        Failure::new(&format!("{name} is not about this artifact"))
            .code("about-another")
            .found()
            .line("wanted", &format!("a bundle about {artifact}, or about the commit it was built from"))
            .line("found", found)
            .line("fix", "name the artifact that it is about, or the bundle that belongs to this one")
    };
    match &about {
        About::Artifact | About::Source => {}
        About::Other(digest) => return Err(other(&format!("one about {digest}"))),
        About::Nothing => return Err(other("no statement that says what it is about")),
    }
    let unreadable = |e: attest::EnvelopeError| {
        Failure::new(&format!("{name} is no bundle")).line("found", &e.to_string())
    };
    let bytes = evidence::compact(bytes).map_err(unreadable)?;
    if bytes.len() > Store::MAX_BYTES {
        return Err(Failure::new(&format!("{name} is too large to be stored"))
            .line("wanted", &format!("at most {} bytes", Store::MAX_BYTES))
            .line("found", &format!("{} bytes", bytes.len())));
    }
    let json = evidence::to_json(&bytes).map_err(unreadable)?;
    Ok(Brought { name: name.to_owned(), digest: Digest::sha256(&bytes), bytes, json, about })
}

fn digests(artifact: &str, also: &[Algorithm]) -> Result<DigestSet, Failure> {
    let digest = artifact.rsplit_once('@').map(|(_, digest)| digest);
    match digest.filter(|_| !Path::new(artifact).exists()) {
        Some(digest) => input::digests(digest, also),
        None => input::digests(artifact, also),
    }
}
