//! Tags to digests, for the mutating webhook. The validating one reads the final object anew and believes nothing of it.

use attest::{Digest, Json, Object};

use crate::reference::Reference;
use crate::subject::{Judged, Subject};

/// One reference that gets a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Where, as a JSON pointer.
    pub pointer: String,
    /// What stands there.
    pub from: String,
    /// What is to stand there: the same text with the digest after it, so that people still read their tag.
    pub to: String,
}

/// What can be pinned: every new image that is named by a tag, or by nothing, and whose digest `resolve` knows. The
/// rest stays as it is, and is refused later with the reason. Called again on its own result, it changes nothing.
pub fn pins(subject: &Subject, mut resolve: impl FnMut(&Reference) -> Option<Digest>) -> Vec<Pin> {
    let Subject::Judged(Judged { uses, .. }) = subject else { return Vec::new() };
    let mut out: Vec<Pin> = Vec::new();
    for image in uses.iter().filter(|u| !u.unchanged).map(|u| &u.image) {
        let Ok(reference) = Reference::parse(&image.reference) else { continue };
        if reference.digest().is_some() || out.iter().any(|pin| pin.pointer == image.pointer) {
            continue;
        }
        if let Some(digest) = resolve(&reference) {
            let (pointer, from) = (image.pointer.clone(), image.reference.clone());
            let to = format!("{from}@{digest}");
            out.push(Pin { pointer, from, to });
        }
    }
    out
}

/// The JSON patch (RFC 6902). Each change is guarded by a test of what stood there, so that a patch for one object does
/// nothing to another.
#[must_use]
pub fn patch(pins: &[Pin]) -> Json {
    let operation = |op: &str, path: &str, value: &str| {
        Json::from(Object::new().with("op", op).with("path", path).with("value", value))
    };
    let both =
        |pin: &Pin| [operation("test", &pin.pointer, &pin.from), operation("replace", &pin.pointer, &pin.to)];
    Json::Array(pins.iter().flat_map(both).collect())
}
