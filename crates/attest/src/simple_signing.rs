//! Simple signing: a signature over a small JSON payload that names an image by its digest.
//!
//! The payload of cosign 2's signatures of images, of Google's Binary Authorization, and of the atomic signatures both
//! come from (containers/image, docs/containers-signature.5.md). It says "this key signed these bytes" and no more.

use crate::digest::{Algorithm, Digest};
use crate::json::{self, Limits, Object, ShapeError};
use crate::statement::{Statement, StatementError};

/// What `critical.type` may be: the writers that mean the same by the payload.
const TYPES: [&str; 3] = [
    "atomic container signature",
    "cosign container image signature",
    "Google cloud binauthz container signature",
];

/// A payload of simple signing: parsed, and authentic only once a signature over its exact bytes verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimpleSigning {
    /// The manifest that was signed.
    pub digest: Digest,
    /// What the signer called the image; a name for people, which never decides.
    pub reference: String,
}

impl SimpleSigning {
    /// Parses the payload.
    ///
    /// # Errors
    /// [`StatementError`] for what is no strict JSON, a `critical` with an unknown or missing field (the format asks
    /// readers to refuse those), another type, or a digest other than SHA-256. What stands in `optional` says nothing.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let value = json::parse_with(payload, Limits::default().exact()).map_err(StatementError::Json)?;
        let object = value.as_object()?;
        only(object, &["critical", "optional"])?;
        object.optional_object("optional")?;
        Ok(read(object.object("critical")?).map_err(|e| e.within("critical"))?)
    }

    /// The statement that the signature amounts to.
    #[must_use]
    pub fn statement(&self) -> Statement {
        Statement::of_signature(self.digest.clone())
    }
}

fn read(critical: &Object) -> Result<SimpleSigning, ShapeError> {
    only(critical, &["identity", "image", "type"])?;
    let kind = critical.string("type")?;
    if !TYPES.contains(&kind) {
        return Err(ShapeError::new("type", &TYPES.join(" or "), kind));
    }
    let identity = critical.object("identity")?;
    only(identity, &["docker-reference"]).map_err(|e| e.within("identity"))?;
    let image = critical.object("image")?;
    only(image, &["docker-manifest-digest"]).map_err(|e| e.within("image"))?;
    let text = image.string("docker-manifest-digest").map_err(|e| e.within("image"))?;
    let digest = Digest::parse(text).ok().filter(|d| d.algorithm() == Algorithm::Sha256);
    Ok(SimpleSigning {
        digest: digest.ok_or_else(|| {
            ShapeError::new("image.docker-manifest-digest", "sha256 and lower-case hex", text)
        })?,
        reference: identity.string("docker-reference").map_err(|e| e.within("identity"))?.to_owned(),
    })
}

/// Refuses fields that nobody here gives a meaning to.
fn only(object: &Object, known: &[&str]) -> Result<(), ShapeError> {
    match object.iter().find(|(key, _)| !known.contains(key)) {
        None => Ok(()),
        Some((key, _)) => {
            Err(ShapeError::new(key, &format!("only {}", known.join(", ")), "an unknown field"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(critical: &str) -> Vec<u8> {
        format!(r#"{{"critical":{{{critical}}},"optional":{{"creator":"x","timestamp":1.5}}}}"#).into_bytes()
    }

    fn good() -> String {
        let digest = "a".repeat(64);
        format!(
            r#""identity":{{"docker-reference":"registry.example/shop"}},"image":{{"docker-manifest-digest":"sha256:{digest}"}},"type":"cosign container image signature""#
        )
    }

    #[test]
    fn the_three_writers_are_read_and_mean_the_same() {
        for kind in TYPES {
            let text = good().replace(TYPES[1], kind);
            let read = SimpleSigning::parse(&payload(&text)).unwrap();
            assert_eq!(read.digest.hex(), "a".repeat(64));
            assert_eq!(read.statement().subjects[0].digests.first(), Some(read.digest));
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (from, to, why) in [
            ("cosign container", "another", "critical.type"),
            ("sha256:aa", "sha256:AA", "critical.image.docker-manifest-digest"),
            ("sha256:aa", "sha1:aa", "critical.image.docker-manifest-digest"),
            (r#""type""#, r#""expires":1,"type""#, "critical.expires"),
            (r#""docker-manifest-digest""#, r#""tag":"x","docker-manifest-digest""#, "critical.image.tag"),
            (r#""type""#, r#""image":{},"type""#, "duplicate key"),
        ] {
            let text = good().replacen(from, to, 1);
            assert_ne!(text, good(), "{from}");
            let refused = SimpleSigning::parse(&payload(&text)).unwrap_err().to_string();
            assert!(refused.contains(why), "{from}: {refused}");
        }
    }
}
