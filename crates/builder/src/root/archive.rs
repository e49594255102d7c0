//! The archives that a root is made of: tar in any usual compression, Debian packages, OCI image layouts.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use liblzma::stream::{CONCATENATED, Stream};

use super::unpack::Unpacker;
use super::{RootError, beginning};
use crate::image::layout::Layout;

/// `xz -9` wants 65 MiB.
const MAX_XZ_MEMORY: u64 = 256 << 20;

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
    match Layout::open(&file) {
        Ok(Some(layout)) => layers(&layout, unpacker).map_err(bad),
        Ok(None) => {
            file.rewind().map_err(failed)?;
            tar(Box::new(file), unpacker).map_err(bad)
        }
        Err(why) => Err(bad(why)),
    }
}

/// The layers of an image, the lowest first. What a layer takes away is taken from those below it and never from
/// itself, wherever in it that stands; so each is gone through twice.
fn layers(layout: &Layout, unpacker: &mut Unpacker) -> Result<(), String> {
    for layer in &layout.layers {
        let stream = || layout.read(layer).and_then(decompress).map_err(|e| e.to_string());
        unpacker.begin_layer();
        unpacker.looking().each(stream()?, |entry| unpacker.take_away(entry))?;
        tar(stream()?, unpacker)?;
    }
    Ok(())
}

/// A stream without its compression.
pub(crate) fn decompress(mut stream: impl Read + 'static) -> io::Result<Box<dyn Read>> {
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
        // its first bytes say how much memory it wants
        let decoder = Stream::new_stream_decoder(MAX_XZ_MEMORY, CONCATENATED).map_err(io::Error::other)?;
        Box::new(liblzma::bufread::XzDecoder::new_stream(whole, decoder))
    } else if magic.starts_with(b"\x28\xb5\x2f\xfd") {
        return Err(io::Error::other("it is compressed with zstd, which is not known here; use gzip or xz"));
    } else {
        Box::new(whole)
    })
}

fn tar(stream: Box<dyn Read>, unpacker: &mut Unpacker) -> Result<(), String> {
    let stream = BufReader::with_capacity(1 << 16, stream);
    unpacker.meter().each(stream, |entry| unpacker.entry(entry))
}

/// A Debian package is an `ar` archive: `debian-binary`, `control.tar.*`, `data.tar.*`. Only the last is unpacked.
fn package(mut file: File, unpacker: &mut Unpacker) -> Result<(), String> {
    let mut at = 8;
    loop {
        unpacker.meter().check_time().map_err(|e| e.to_string())?;
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
