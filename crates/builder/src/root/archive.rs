//! The archives that a root is made of: tar in any usual compression, Debian packages, OCI image layouts.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use attest::{Digest, Json};

use super::unpack::Unpacker;
use super::{RootError, beginning};

/// An image's index or manifest is a page.
const MAX_DOCUMENT: u64 = 4 << 20;

pub(super) fn is_package(path: &Path) -> io::Result<bool> {
    Ok(&beginning::<8>(&mut File::open(path)?)? == b"!<arch>\n")
}

/// Unpacks whatever archive it is, by its first bytes and never by its name.
pub(super) fn unpack(path: &Path, unpacker: &mut Unpacker) -> Result<(), RootError> {
    let bad = |why: String| RootError::Archive { file: path.to_owned(), why };
    let failed = |e| RootError::Io(path.to_owned(), e);
    let mut file = File::open(path).map_err(failed)?;
    if is_package(path).map_err(failed)? {
        return package(file, unpacker).map_err(bad);
    }
    let magic = beginning::<6>(&mut file).map_err(failed)?;
    if magic.starts_with(&[0x1f, 0x8b]) || magic.starts_with(b"\xfd7zXZ\0") {
        return tar(decompress(file).map_err(failed)?, unpacker).map_err(bad);
    }
    match image_layers(&file) {
        Ok(Some(layers)) => {
            for (offset, size) in layers {
                file.seek(SeekFrom::Start(offset)).map_err(failed)?;
                let layer = file.try_clone().map_err(failed)?.take(size);
                tar(decompress(layer).map_err(failed)?, unpacker).map_err(bad)?;
            }
            Ok(())
        }
        Ok(None) => {
            file.rewind().map_err(failed)?;
            tar(Box::new(file), unpacker).map_err(bad)
        }
        Err(why) => Err(bad(why)),
    }
}

/// A stream without its compression.
fn decompress(mut stream: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut magic = [0; 6];
    let mut filled = 0;
    while let Some(rest) = magic.get_mut(filled..).filter(|r| !r.is_empty()) {
        match stream.read(rest)? {
            0 => break,
            n => filled += n,
        }
    }
    let whole = io::Cursor::new(magic.get(..filled).unwrap_or_default().to_vec()).chain(stream);
    let whole = BufReader::with_capacity(1 << 16, whole);
    Ok(if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(whole))
    } else if magic.starts_with(b"\xfd7zXZ\0") {
        Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(whole))
    } else {
        Box::new(whole)
    })
}

fn tar(stream: Box<dyn Read>, unpacker: &mut Unpacker) -> Result<(), String> {
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 16, stream));
    let entries = archive.entries().map_err(|e| e.to_string())?;
    for entry in entries {
        unpacker.entry(entry.map_err(|e| e.to_string())?)?;
    }
    Ok(())
}

/// A Debian package is an `ar` archive: `debian-binary`, `control.tar.*`, `data.tar.*`. Only the last is unpacked.
fn package(mut file: File, unpacker: &mut Unpacker) -> Result<(), String> {
    let mut at = 8;
    loop {
        file.seek(SeekFrom::Start(at)).map_err(|e| e.to_string())?;
        let header = beginning_here(&mut file)?;
        let name = header.get(..16).and_then(|n| std::str::from_utf8(n).ok()).unwrap_or_default();
        let size = header.get(48..58).and_then(|s| std::str::from_utf8(s).ok()).unwrap_or_default();
        let size: u64 = size.trim().parse().map_err(|_| "it has no data.tar".to_owned())?;
        let name = name.trim_end().trim_end_matches('/');
        if name.starts_with("data.tar") {
            if !matches!(name, "data.tar" | "data.tar.gz" | "data.tar.xz") {
                return Err(format!("{name} is compressed in a way that is not known here"));
            }
            let stream = decompress(file.take(size)).map_err(|e| e.to_string())?;
            return tar(stream, unpacker);
        }
        at += 60 + size + size % 2;
    }
}

fn beginning_here(file: &mut File) -> Result<[u8; 60], String> {
    let mut header = [0; 60];
    file.read_exact(&mut header).map_err(|_| "it has no data.tar".to_owned())?;
    Ok(header)
}

/// Where the layers of an OCI image layout stand in a tar; nothing where it is another tar. Each blob's bytes are
/// checked against the digest that names it.
fn image_layers(file: &File) -> Result<Option<Vec<(u64, u64)>>, String> {
    let text = |e: io::Error| e.to_string();
    let mut blobs = std::collections::BTreeMap::new();
    let mut archive = tar::Archive::new(file.try_clone().map_err(text)?);
    for (count, entry) in archive.entries_with_seek().map_err(text)?.enumerate() {
        let entry = entry.map_err(text)?;
        let name = entry.path().map_err(text)?.display().to_string();
        let name = name.trim_start_matches("./").to_owned();
        // a root file system has none of these names at its top; an image layout has nothing else
        if count > 10_000
            || !(matches!(name.as_str(), "oci-layout" | "index.json" | "") || name.starts_with("blobs"))
        {
            return Ok(None);
        }
        blobs.insert(name, (entry.raw_file_position(), entry.size()));
    }
    let Some(index) = blobs.get("index.json") else { return Ok(None) };
    let index = document(file, *index)?;
    let wrong = |e: attest::json::ShapeError| format!("its image index is wrong: {e}");
    let manifests = index.as_object().and_then(|o| o.array("manifests")).map_err(wrong)?;
    let [manifest] = manifests else { return Err("its image index names more than one image".to_owned()) };
    let blob = |descriptor: &Json| {
        let digest = descriptor.as_object().and_then(|o| o.string("digest")).map_err(wrong)?;
        let digest = Digest::parse(digest).map_err(|e| e.to_string())?;
        let at = blobs.get(&format!("blobs/sha256/{}", digest.hex())).copied();
        let at = at.ok_or_else(|| format!("it has no blob {digest}"))?;
        if hash(file, at)? == digest { Ok(at) } else { Err(format!("its blob {digest} has another digest")) }
    };
    let manifest = document(file, blob(manifest)?)?;
    let layers = manifest.as_object().and_then(|o| o.array("layers")).map_err(wrong)?;
    layers.iter().map(blob).collect::<Result<_, _>>().map(Some)
}

fn part(file: &File, (offset, size): (u64, u64)) -> Result<impl Read, String> {
    let mut file = file.try_clone().map_err(|e| e.to_string())?;
    file.seek(SeekFrom::Start(offset)).map_err(|e| e.to_string())?;
    Ok(file.take(size))
}

fn document(file: &File, at: (u64, u64)) -> Result<Json, String> {
    let mut bytes = Vec::new();
    part(file, at)?.take(MAX_DOCUMENT).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    attest::json::parse(&bytes).map_err(|e| e.to_string())
}

fn hash(file: &File, at: (u64, u64)) -> Result<Digest, String> {
    let mut stream = part(file, at)?;
    let mut hasher = attest::digest::Hasher::new(&[]);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer).map_err(|e| e.to_string())? {
            0 => break,
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    hasher.finish().first().ok_or_else(|| "it cannot be hashed".to_owned())
}
