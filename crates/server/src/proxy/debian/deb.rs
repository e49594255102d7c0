//! What a binary package says that it is (deb(5)).

use std::io::{self, BufRead, BufReader, Read as _};

use attest::buildinfo::Paragraph;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;
use ruzstd::decoding::StreamingDecoder;

use crate::proxy::archive;
use crate::proxy::hold::{Held, Part};

const MAGIC: &[u8] = b"!<arch>\n";
/// The length of the header of a member.
const HEAD: u64 = 60;
/// Control files and scripts, unpacked.
const MAX_CONTROL: u64 = 64 << 20;
/// The same of all packages of one upload together, packed and unpacked: nobody keeps a thread busy for long.
pub(super) const MAX_UPLOAD: u64 = 256 << 20;
/// As much memory as the usual packers ask for.
const MAX_XZ_MEMORY: u64 = 128 << 20;
/// What dpkg asks for up to level 19, its usual one.
const MAX_ZSTD_WINDOW: u64 = 8 << 20;

/// The fields that a file is named after.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Deb {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
}

/// A member of an archive of ar(5).
struct Member {
    name: String,
    at: u64,
    size: u64,
}

impl Deb {
    /// Reads the control file of a package. `left` is what may still be read and unpacked for its upload.
    pub(super) fn read(held: &Held, left: &mut u64) -> Result<Self, String> {
        let members = members(held)?;
        let [format, control, data] = members.as_slice() else {
            return Err(format!("{} members, and not three", members.len()));
        };
        if format.name != "debian-binary" || bytes(held, format.at, format.size.min(8))? != b"2.0\n" {
            return Err("no format 2.0 at the beginning".to_owned());
        }
        if !data.name.starts_with("data.tar") {
            return Err(format!("{} in the place of data.tar", data.name));
        }
        *left = left.checked_sub(control.size).ok_or_else(too_much)?;
        let packed = BufReader::with_capacity(64 << 10, held.part(control.at, control.size));
        let file = control_file(&control.name, packed, left)?;
        let text = std::str::from_utf8(&file).map_err(|_| "a control file that is no UTF-8".to_owned())?;
        let control = Paragraph::parse(text).map_err(|e| format!("a control file in which {e}"))?;
        let field = |name: &str| control.required(name).map(str::to_owned).map_err(|e| e.to_string());
        Ok(Self { name: field("Package")?, version: field("Version")?, architecture: field("Architecture")? })
    }

    /// The name of the file, which an archive goes by.
    pub(super) fn file_name(&self) -> String {
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, rest)| rest);
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }
}

fn too_much() -> String {
    format!("more than {MAX_UPLOAD} bytes of control members in one upload")
}

/// What is unpacked, as long as there may be more.
struct Counted<'a, R> {
    plain: R,
    left: &'a mut u64,
}

impl<R: io::Read> io::Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.plain.read(buffer)?;
        let length = u64::try_from(read).unwrap_or(u64::MAX);
        *self.left = self.left.checked_sub(length).ok_or_else(|| io::Error::other(too_much()))?;
        Ok(read)
    }
}

/// The one file `control` in what is unpacked.
fn control(plain: impl io::Read, left: &mut u64) -> Result<Vec<u8>, String> {
    archive::only_file(Counted { plain, left }, MAX_CONTROL, |parts| parts == ["control"])
}

/// The file `control` in the member that has it, unpacked within bounds.
fn control_file(name: &str, mut packed: BufReader<Part>, left: &mut u64) -> Result<Vec<u8>, String> {
    let found = match name {
        "control.tar" => control(&mut packed, left),
        "control.tar.gz" => control(flate2::bufread::GzDecoder::new(&mut packed), left),
        "control.tar.xz" => {
            let stream = Stream::new_stream_decoder(MAX_XZ_MEMORY, 0).map_err(|e| e.to_string())?;
            control(XzDecoder::new_stream(&mut packed, stream), left)
        }
        "control.tar.zst" => zstd(&mut packed, left),
        other => return Err(format!("{other}: wanted control.tar.zst, control.tar.xz or control.tar.gz")),
    }?;
    match packed.fill_buf().map(<[u8]>::is_empty) {
        Ok(true) => Ok(found),
        Ok(false) => Err("something behind the end of the control member".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

/// The same of a member in zstd: one frame, and what it says of its own end is so.
fn zstd(packed: &mut BufReader<Part>, left: &mut u64) -> Result<Vec<u8>, String> {
    let decoder = StreamingDecoder::new_with_max_window_size(packed, MAX_ZSTD_WINDOW);
    let mut decoder =
        decoder.map_err(|_| "no single frame of zstd with a window of at most 8 MiB".to_owned())?;
    let found = control(&mut decoder, left)?;
    let frame = decoder.into_frame_decoder();
    if !frame.is_finished() {
        return Err("a frame of zstd that is cut off".to_owned());
    }
    let said = frame.get_checksum_from_data();
    if said.is_some() && said != frame.get_calculated_checksum() {
        return Err("a frame of zstd with another checksum".to_owned());
    }
    Ok(found)
}

/// The members, up to one more than there may be.
fn members(held: &Held) -> Result<Vec<Member>, String> {
    if bytes(held, 0, 8)? != MAGIC {
        return Err("no archive of ar(5)".to_owned());
    }
    let (mut at, mut members) = (8, Vec::new());
    while at < held.length() && members.len() < 4 {
        let head = bytes(held, at, HEAD)?;
        let member = member(&head, at + HEAD).ok_or("a broken header of a member")?;
        at = member.at.saturating_add(member.size);
        if at > held.length() {
            return Err("a member that is cut off".to_owned());
        }
        if member.size % 2 == 1 {
            if bytes(held, at, 1)? != b"\n" && at != held.length() {
                return Err("something between two members".to_owned());
            }
            at += 1;
        }
        members.push(member);
    }
    Ok(members)
}

fn member(head: &[u8], at: u64) -> Option<Member> {
    if head.len() != 60 || head.get(58..) != Some(b"`\n") {
        return None;
    }
    let text =
        |from: usize, to: usize| Some(std::str::from_utf8(head.get(from..to)?).ok()?.trim_end_matches(' '));
    let (name, size) = (text(0, 16)?, text(48, 58)?);
    let is_size = !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
    let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b"-.2".contains(&b));
    (is_size && is_name).then(|| Some(Member { name: name.to_owned(), at, size: size.parse().ok()? }))?
}

fn bytes(held: &Held, at: u64, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read: io::Result<usize> = held.part(at, length).read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
