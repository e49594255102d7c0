//! An OCI image from inputs, put together by the orchestrator itself: no daemon, no network, and nothing of the build
//! runs. The same section, inputs and commit give the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use attest::yaml::{LoadError, Place};
use attest::{Digest, Json};
use jiff::Timestamp;

use crate::definition::{Image, Input};

mod base;
mod config;
mod layer;
pub(crate) mod layout;
#[cfg(test)]
pub(crate) mod tests;
mod tree;

use base::Base;
use layer::header;
use layout::{Blob, Layout};
use tree::Tree;

/// An input that goes into an image, and its file.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) input: &'a Input,
    pub(crate) path: PathBuf,
}

/// Why there is no image.
#[derive(Debug)]
pub(crate) enum ImageError {
    /// What the definition asks for cannot be had from these inputs.
    Definition(LoadError),
    /// A file could not be read or written.
    Io(PathBuf, io::Error),
}

/// Where a blob's bytes are.
enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
    Base(Blob),
}

/// Writes the image to `target`, with times of `epoch`; `scratch` is a file for the layer. It takes at most `limit`
/// bytes.
pub(crate) fn assemble(
    image: &Image,
    parts: &[Part<'_>],
    epoch: i64,
    limit: u64,
    (target, scratch): (&Path, &Path),
) -> Result<(), ImageError> {
    check_size(image, parts, limit)?;
    let base = base(image, parts)?;
    let nothing = Tree::default();
    let seconds = u64::try_from(epoch).unwrap_or(0);
    let layer = layer::write(image, parts, base.as_ref().map_or(&nothing, |b| &b.tree), seconds, scratch)?;
    let created = Timestamp::from_second(epoch).unwrap_or_default().to_string();
    let configuration = config::configuration(image, base.as_ref(), &layer.digest, &created)
        .map_err(|why| bad_base(image, &why))?;
    let config = configuration.to_string().into_bytes();
    let layers = base.as_ref().map(|b| b.layout.layers.as_slice()).unwrap_or_default();
    let config_digest = Digest::sha256(&config);
    let manifest = config::manifest(layers, (&config_digest, length(&config)), (&layer.digest, layer.size));
    let manifest = manifest.to_string().into_bytes();
    let manifest_digest = Digest::sha256(&manifest);
    let index = config::index((&manifest_digest, length(&manifest)), &configuration);
    // by digest: a blob that several layers share stands there once
    let mut blobs = BTreeMap::new();
    for layer in layers {
        blobs.insert(layer.digest.hex(), (layer.size, Source::Base(layer.clone())));
    }
    blobs.insert(layer.digest.hex(), (layer.size, Source::File(scratch.to_owned())));
    blobs.insert(config_digest.hex(), (length(&config), Source::Bytes(config)));
    blobs.insert(manifest_digest.hex(), (length(&manifest), Source::Bytes(manifest)));
    let layout = base.as_ref().map(|b| &b.layout);
    write(target, &Json::from(index), &blobs, layout, seconds)
        .map_err(|e| ImageError::Io(target.to_owned(), e))
}

/// The layout: its version, its index, its blobs, in this order.
fn write(
    target: &Path,
    index: &Json,
    blobs: &BTreeMap<String, (u64, Source)>,
    base: Option<&Layout>,
    epoch: u64,
) -> io::Result<()> {
    let mut archive = tar::Builder::new(BufWriter::new(File::create_new(target)?));
    let file = |size| header(tar::EntryType::Regular, 0o644, size, epoch);
    let index = index.to_string().into_bytes();
    let version = br#"{"imageLayoutVersion":"1.0.0"}"#;
    archive.append_data(&mut file(length(version)), "oci-layout", version.as_slice())?;
    archive.append_data(&mut file(length(&index)), "index.json", index.as_slice())?;
    for folder in ["blobs/", "blobs/sha256/"] {
        archive.append_data(&mut header(tar::EntryType::Directory, 0o755, 0, epoch), folder, io::empty())?;
    }
    for (hex, (size, source)) in blobs {
        let (mut header, name) = (file(*size), format!("blobs/sha256/{hex}"));
        match source {
            Source::Bytes(bytes) => archive.append_data(&mut header, name, bytes.as_slice())?,
            Source::File(path) => archive.append_data(&mut header, name, File::open(path)?)?,
            Source::Base(blob) => {
                let layout = base.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
                archive.append_data(&mut header, name, layout.read(blob)?)?;
            }
        }
    }
    archive.into_inner()?.flush()
}

fn base(image: &Image, parts: &[Part<'_>]) -> Result<Option<Base>, ImageError> {
    let Some((name, _)) = &image.base else { return Ok(None) };
    let part = parts.iter().find(|p| p.input.name == *name);
    let part = part.ok_or_else(|| bad_base(image, "there is no such input"))?;
    Base::open(&part.path, &image.platform).map(Some).map_err(|why| bad_base(image, &why))
}

fn bad_base(image: &Image, why: &str) -> ImageError {
    let (name, place): (&str, &Place) =
        image.base.as_ref().map_or(("", &image.place), |(name, place)| (name, place));
    let message = format!("the base `{name}` is no image that can be built upon: {why}");
    let fix = format!("save one image for {} with `skopeo copy SOURCE oci-archive:FILE`", image.platform);
    ImageError::Definition(LoadError::new(place, &message).fix(&fix))
}

/// An image is no larger than any other output may be.
fn check_size(image: &Image, parts: &[Part<'_>], limit: u64) -> Result<(), ImageError> {
    let mut size: u64 = 0;
    let base = image.base.iter().map(|(name, _)| name);
    for name in image.files.iter().map(|f| &f.input).chain(base) {
        let Some(part) = parts.iter().find(|p| p.input.name == *name) else { continue };
        let length = std::fs::metadata(&part.path).map_err(|e| ImageError::Io(part.path.clone(), e))?.len();
        size = size.saturating_add(length);
    }
    if size <= limit {
        return Ok(());
    }
    let message =
        format!("the image would take {} MiB, more than the {} MiB allowed", size >> 20, limit >> 20);
    Err(ImageError::Definition(
        LoadError::new(&image.place, &message).fix("make it of fewer or smaller files"),
    ))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
