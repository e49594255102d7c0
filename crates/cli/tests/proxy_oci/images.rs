//! Images in layouts, each with bytes of its own.

use std::fs;
use std::path::{Path, PathBuf};

use attest::Digest;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image in a layout.
pub struct Image {
    pub folder: PathBuf,
    pub digest: Digest,
    pub manifest: Vec<u8>,
    pub config: Digest,
    pub layer: Digest,
}

impl Image {
    pub fn new(folder: &Path, name: &str) -> Self {
        Self::of(folder, name, LAYER, "")
    }

    /// With a media type of its layer, and more in its manifest.
    pub fn of(folder: &Path, name: &str, layer: &str, more: &str) -> Self {
        let folder = folder.join(name);
        let blobs = Blobs::new(&folder);
        let mut bytes = vec![0; 10_240];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        let (layer, described) = blobs.add(layer, &bytes);
        let rootfs = format!(r#"{{"type":"layers","diff_ids":["{layer}"]}}"#);
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["/{name}"]}},"rootfs":{rootfs}}}"#
        );
        let (config, of) = blobs.add(CONFIG, config.as_bytes());
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{of},"layers":[{described}]{more}}}"#
        );
        let (digest, described) = blobs.add(MANIFEST, manifest.as_bytes());
        blobs.index(&described);
        Self { folder, digest, manifest: manifest.into_bytes(), config, layer }
    }

    pub fn blob(&self, digest: &Digest) -> Vec<u8> {
        fs::read(self.folder.join("blobs/sha256").join(digest.hex())).unwrap()
    }
}

/// An index of two images, in one layout with them, under the layout's own index.
pub fn index(folder: &Path, name: &str, images: &[&Image]) -> (PathBuf, Digest) {
    let folder = folder.join(name);
    let blobs = Blobs::new(&folder);
    let mut children = Vec::new();
    for (image, architecture) in images.iter().zip(["amd64", "arm64"]) {
        for digest in [&image.layer, &image.config] {
            blobs.add(LAYER, &image.blob(digest));
        }
        let (_, described) = blobs.add(MANIFEST, &image.manifest);
        let platform = format!(r#","platform":{{"os":"linux","architecture":"{architecture}"}}}}"#);
        children.push(described.replace('}', &platform));
    }
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, children.join(","));
    let (digest, described) = blobs.add(INDEX, text.as_bytes());
    blobs.index(&described);
    (folder, digest)
}

struct Blobs(PathBuf);

impl Blobs {
    fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self(folder.to_owned())
    }

    /// The digest, and the descriptor.
    fn add(&self, media_type: &str, bytes: &[u8]) -> (Digest, String) {
        let digest = Digest::sha256(bytes);
        fs::write(self.0.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        let text = format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, bytes.len());
        (digest, text)
    }

    fn index(&self, manifest: &str) {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#);
        fs::write(self.0.join("index.json"), text).unwrap();
    }
}
