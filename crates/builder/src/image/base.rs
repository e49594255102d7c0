//! The image below: its blobs checked, its layers looked through, nothing of it changed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use attest::digest::Hasher;
use attest::{Digest, Json, Object};

use super::layout::Layout;
use super::tree::Tree;
use crate::root::decompress;

/// What a layer may hold without its compression: more is a bomb.
const MAX_LAYER: u64 = 32 << 30;
/// What can be copied into a manifest of OCI's own.
const LAYER_TYPES: [&str; 2] =
    ["application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"];

/// The image below.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) layout: Layout,
    /// Its configuration, as it stands.
    pub(super) configuration: Object,
    /// What its layers hold.
    pub(super) tree: Tree,
}

impl Base {
    /// Reads it and checks what it says of itself: the digest of each blob, and of each layer without its compression.
    pub(super) fn open(path: &Path, platform: &str) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        // a tar that breaks off, or no tar at all
        let layout = Layout::open(&file)?.ok_or_else(|| "it is no OCI image layout in a tar".to_owned())?;
        let configuration = layout.configuration()?;
        check_platform(&configuration, platform)?;
        let ids = diff_ids(&configuration)?;
        if ids.len() != layout.layers.len() {
            let found = (ids.len(), layout.layers.len());
            return Err(format!("its configuration lists {} layers, and its manifest {}", found.0, found.1));
        }
        let mut tree = Tree::default();
        for (layer, id) in layout.layers.iter().zip(&ids) {
            if !LAYER_TYPES.contains(&layer.media_type.as_str()) {
                return Err(format!(
                    "a layer is of a type that is not known here ({})",
                    layer.media_type.escape_debug()
                ));
            }
            let stream =
                decompress(layout.read(layer).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
            let mut stream = Hashed { stream: stream.take(MAX_LAYER), hasher: Hasher::new(&[]) };
            tree.add(&mut stream)?;
            io::copy(&mut stream, &mut io::sink()).map_err(|e| e.to_string())?;
            if stream.hasher.finish().first().as_ref() != Some(id) {
                return Err(format!(
                    "the content of its layer {} is not what its configuration says",
                    layer.digest
                ));
            }
        }
        Ok(Self { layout, configuration, tree })
    }
}

/// The digests of the layers without their compression.
fn diff_ids(configuration: &Object) -> Result<Vec<Digest>, String> {
    let wrong = |e: attest::json::ShapeError| format!("its configuration is wrong: {e}");
    let ids = configuration.object("rootfs").and_then(|r| r.array("diff_ids")).map_err(wrong)?;
    let read = |id: &Json| Digest::parse(id.as_str().map_err(wrong)?).map_err(|e| e.to_string());
    ids.iter().map(read).collect()
}

fn check_platform(configuration: &Object, platform: &str) -> Result<(), String> {
    let word = |key: &str| configuration.optional_string(key).ok().flatten().unwrap_or_default();
    let mut found = format!("{}/{}", word("os"), word("architecture"));
    // arm64 and arm64/v8 are one; who asks for a variant means it
    if platform.split('/').count() > 2 {
        found = format!("{found}/{}", word("variant"));
    }
    if found == platform {
        Ok(())
    } else {
        Err(format!("it is for {}, and not for {platform}", found.escape_debug()))
    }
}

/// A stream that is hashed on its way.
struct Hashed<R> {
    stream: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
