//! The layer that an image adds: sorted, everything root's, one time, two modes, no compression. A compressor's next
//! version gives other bytes, and this image could not be built again; a registry's client compresses on its way.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use attest::Digest;
use attest::digest::Hasher;
use attest::yaml::LoadError;

use super::tree::{Kind, Tree, parents};
use super::{ImageError, Part};
use crate::definition::{Image, ImageFile};

/// A layer as a file.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// Writes the layer to `path`.
pub(super) fn write(
    image: &Image,
    parts: &[Part<'_>],
    below: &Tree,
    epoch: u64,
    path: &Path,
) -> Result<Layer, ImageError> {
    let failed = |e| ImageError::Io(path.to_owned(), e);
    let folders = folders(image, below).map_err(ImageError::Definition)?;
    let file = File::create_new(path).map_err(failed)?;
    let mut hashed = Hashed { out: BufWriter::new(file), hasher: Hasher::new(&[]), size: 0 };
    let mut archive = tar::Builder::new(&mut hashed);
    // folders sort before what lies in them
    let mut all: Vec<(String, Option<&ImageFile>)> = folders.into_iter().map(|f| (f, None)).collect();
    all.extend(image.files.iter().map(|f| (f.path.clone(), Some(f))));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, file) in all {
        match file {
            None => {
                let mut header = header(tar::EntryType::Directory, 0o755, 0, epoch);
                archive.append_data(&mut header, format!("{name}/"), io::empty()).map_err(failed)?;
            }
            Some(file) => add(&mut archive, file, parts, epoch)?,
        }
    }
    archive.finish().map_err(failed)?;
    drop(archive);
    hashed.out.flush().map_err(failed)?;
    let digest = hashed.hasher.finish().first();
    let digest = digest.ok_or_else(|| failed(io::Error::from(io::ErrorKind::InvalidData)))?;
    Ok(Layer { digest, size: hashed.size })
}

/// An entry of which everything is decided here.
pub(super) fn header(kind: tar::EntryType, mode: u32, size: u64, epoch: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch);
    header.set_size(size);
    header
}

/// One file; the bytes that are packed must be those that were declared.
fn add<W: Write>(
    archive: &mut tar::Builder<W>,
    file: &ImageFile,
    parts: &[Part<'_>],
    epoch: u64,
) -> Result<(), ImageError> {
    let Some(part) = parts.iter().find(|p| p.input.name == file.input) else {
        let message = format!("there is no input `{}`", file.input);
        return Err(ImageError::Definition(
            LoadError::new(&file.place, &message).fix("declare it under `inputs`"),
        ));
    };
    let failed = |e| ImageError::Io(part.path.clone(), e);
    let source = File::open(&part.path).map_err(failed)?;
    let size = source.metadata().map_err(failed)?.len();
    let mode = if file.is_executable { 0o755 } else { 0o644 };
    let mut header = header(tar::EntryType::Regular, mode, size, epoch);
    let mut hasher = Hasher::new(&[]);
    let tee = Tee { source, hasher: &mut hasher };
    archive.append_data(&mut header, &file.path, tee.take(size)).map_err(failed)?;
    if hasher.finish().first().as_ref() == Some(&part.input.digest) {
        return Ok(());
    }
    Err(failed(io::Error::other("it changed while it was read")))
}

/// The folders that the layer must bring: those of the base keep their owners and modes.
fn folders(image: &Image, below: &Tree) -> Result<BTreeSet<String>, LoadError> {
    let mut wanted = BTreeSet::new();
    for file in &image.files {
        let refuse = |what: String, fix: &str| Err(LoadError::new(&file.place, &what).fix(fix));
        for parent in parents(&file.path) {
            match below.get(parent) {
                None => {
                    wanted.insert(parent.to_owned());
                }
                Some(Kind::Folder) => {}
                // a folder of this name would replace the link, and hide all that lies behind it
                Some(Kind::Link) => {
                    return refuse(
                        format!("`{parent}` is a link in the base"),
                        "write the path that it leads to",
                    );
                }
                Some(Kind::Other) => {
                    return refuse(format!("`{parent}` is a file in the base"), "choose another path");
                }
            }
        }
        if below.get(&file.path) == Some(Kind::Folder) {
            return refuse(format!("`{}` is a folder in the base", file.path), "choose another path");
        }
    }
    Ok(wanted)
}

/// What is written, hashed and counted.
struct Hashed<W> {
    out: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.size += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What is read, hashed.
struct Tee<'a, R> {
    source: R,
    hasher: &'a mut Hasher,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
