//! Which images of a request are one artifact, and what stands for a name that is none.

use std::collections::BTreeMap;

use attest::{Artifact, DigestSet};

use crate::images::ImageUse;
use crate::reference::{Reference, ReferenceError};
use crate::refusal::Refusal;
use crate::subject::Use;

/// Uses of one image under one name are one deployment; one that was there already and one that is new are two.
pub(super) struct Group {
    pub(super) artifact: Artifact,
    pub(super) unchanged: bool,
    pub(super) uses: Vec<ImageUse>,
    /// Why the name is none.
    pub(super) unreadable: Option<Refusal>,
}

pub(super) fn group(uses: &[Use]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: BTreeMap<(String, String, bool), usize> = BTreeMap::new();
    for Use { image, unchanged } in uses {
        let parsed = Reference::parse(&image.reference);
        let (name, version) = match &parsed {
            // a digest decides alone; without one, two tags of one repository are two images
            Ok(reference) => {
                let tag = || format!("tag:{}", reference.tag().unwrap_or_default());
                let version = reference.digest().map_or_else(tag, ToString::to_string);
                (reference.repository().to_owned(), version)
            }
            Err(_) => (image.reference.clone(), "unread".to_owned()),
        };
        let next = groups.len();
        let index = *known.entry((name, version, *unchanged)).or_insert(next);
        if let Some(group) = groups.get_mut(index) {
            group.uses.push(image.clone());
            continue;
        }
        let artifact = match &parsed {
            Ok(reference) => {
                let digests = reference.digest().map(|d| DigestSet::from(d.clone())).unwrap_or_default();
                Artifact::new(reference.repository(), digests)
            }
            Err(_) => Artifact::new(&unread_name(&image.reference), DigestSet::default()),
        };
        let unreadable = parsed.err().map(|e| bad_reference(image, &e));
        groups.push(Group { artifact, unchanged: *unchanged, uses: vec![image.clone()], unreadable });
    }
    groups
}

fn bad_reference(image: &ImageUse, e: &ReferenceError) -> Refusal {
    let fix = match e {
        ReferenceError::UpperCase => "write the repository in lower case",
        ReferenceError::Digest(_) => "write @sha256: and 64 lower-case hex digits",
        _ => "write registry.example/repository@sha256:…",
    };
    Refusal::new("image-reference", &image.path, &format!("the image reference cannot be read: {e}"), fix)
        .wanted("registry/repository[:tag]@sha256:HEX")
        .found(&image.reference)
}

/// What stands before the tag and the digest of a text that is no reference: the nearest to a name that it has, for the
/// record. Nothing in it can be taken for a tag, a digest or an object later, or hold a password.
fn unread_name(text: &str) -> String {
    const MAX: usize = 255;
    let text: String = text.chars().take(MAX).collect();
    let name = text.split_once('@').map_or(text.as_str(), |(name, _)| name);
    let name = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name);
    let (host, path) = name.split_once('/').map_or((name, None), |(host, path)| (host, Some(path)));
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let host = match host.split_once(':') {
        Some((host, port)) if is_port(port) => format!("{}:{port}", quoted(host)),
        _ => quoted(host),
    };
    let path = path.into_iter().flat_map(|path| path.split('/')).map(|part| format!("/{}", quoted(part)));
    path.fold(host, |name, part| name + &part)
}

/// Bytes outside of letters, digits and `._-` as `%HEX`.
pub(super) fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let quote = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(quote).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_stands_on_record_as_the_same_artifact_each_time() {
        let long = format!("registry.example/{}", "x".repeat(1000));
        for (text, name) in [
            ("registry.example/shop@sha256:abcd", "registry.example/shop"),
            ("registry.example:5000/Shop:1@sha256:zz", "registry.example:5000/Shop"),
            ("https://bob:hunter2@registry.example/shop", "https%3A//bob"),
            ("kubernetes:shop/ConfigMap/flags", "kubernetes%3Ashop/ConfigMap/flags"),
            ("a/b:c:d:e", "a/b%3Ac%3Ad"),
            ("a:5:6:7", "a%3A5%3A6"),
            ("a:5:6", "a:5"),
            ("shop\u{202e}\n", "shop%E2%80%AE%0A"),
            ("", ""),
            (&long, &long[..255]),
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
            let artifact = Artifact::new(&unread_name(text), DigestSet::default());
            assert_eq!(artifact.uri(), name, "{text}");
            // a case is opened with it again and again
            assert_eq!(Artifact::new(artifact.uri(), DigestSet::default()), artifact);
        }
    }
}
