//! `imageID` of a container's status: what the runtime says that it runs, in the spellings of the runtimes.
//!
//! | runtime | writes | which digest |
//! |---|---|---|
//! | containerd | `registry/repository@sha256:…` | the manifest, or the index by which it was pulled |
//! | CRI-O | `registry/repository@sha256:…` | the platform's manifest, or the index |
//! | Docker with cri-dockerd | `docker-pullable://registry/repository@sha256:…` | the manifest, or the index |
//! | any of them, of an image that was loaded and not pulled | `sha256:…`, `docker://sha256:…`, or the hex digits alone | the image's configuration |
//!
//! What is admitted is a manifest or an index. A configuration's digest is of other bytes: it equals neither, and says
//! nothing.

use attest::{Algorithm, Digest};

use crate::reference::Reference;

/// What a runtime says that it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageId {
    /// A manifest or an index in a registry: comparable to what was admitted.
    Manifest(Digest),
    /// An image's configuration: comparable to nothing that was admitted.
    Configuration(Digest),
    /// Nothing, or what no runtime writes.
    Unknown,
}

/// Reads an `imageID`.
#[must_use]
pub fn image_id(text: &str) -> ImageId {
    let text = ["docker-pullable://", "docker://"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
    if text.contains('@') {
        let digest = Reference::parse(text).ok().and_then(|reference| reference.digest().cloned());
        return digest.map_or(ImageId::Unknown, ImageId::Manifest);
    }
    let digest = Digest::parse(text).or_else(|_| Digest::from_hex(Algorithm::Sha256, text));
    digest.map_or(ImageId::Unknown, ImageId::Configuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn each_runtimes_spelling_is_a_manifest_or_a_configuration() {
        let digest = Digest::parse(&format!("sha256:{HEX}")).unwrap();
        for (text, is_manifest) in [
            (format!("docker.io/library/nginx@sha256:{HEX}"), true),
            (format!("docker-pullable://registry.example:5000/a/b@sha256:{HEX}"), true),
            (format!("registry.example/a/b:1@sha256:{HEX}"), true),
            (format!("sha256:{HEX}"), false),
            (format!("docker://sha256:{HEX}"), false),
            (HEX.to_owned(), false),
        ] {
            let wanted = if is_manifest { ImageId::Manifest } else { ImageId::Configuration };
            assert_eq!(image_id(&text), wanted(digest.clone()), "{text}");
        }
    }

    #[test]
    fn what_no_runtime_writes_says_nothing() {
        let upper = format!("registry.example/a@sha256:{}", HEX.to_uppercase());
        let short = format!("registry.example/a@sha256:{}", &HEX[1..]);
        for text in
            ["", "nginx", "registry.example/a:1", "@", &upper, &short, "cri-o://x", "sha256:", "a@b@c"]
        {
            assert_eq!(image_id(text), ImageId::Unknown, "{text}");
        }
    }
}
