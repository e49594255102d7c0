//! What is in a release: read in memory and never unpacked, bounded in count and size, with no name that leads out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use attest::Digest;
use attest::digest::Hasher;
use tar::EntryType;
use zip::ZipArchive;

/// More files than any release has.
const MAX_FILES: usize = 200_000;
/// More than any release unpacks to.
const MAX_TOTAL: u64 = 1 << 30;
/// A text above this is no source that a person reads.
const MAX_TEXT: u64 = 1 << 20;
/// What is kept of texts in all.
const MAX_KEPT: u64 = 256 << 20;
const MAX_NAME: usize = 1024;

/// The files of a release, by their names below its top folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents(pub(super) BTreeMap<String, Entry>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A file.
    File {
        size: u64,
        digest: Digest,
        is_executable: bool,
        /// Its text, where it is one of at most 1 MiB.
        text: Option<String>,
    },
    /// A link, and where it leads.
    Link(String),
}

/// Reads tar, tar.gz (a `.crate` is one) and zip (a wheel is one), by the first bytes; anything else is one file.
pub(super) fn read(path: &Path, from: &str) -> Result<Contents, String> {
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    let beginning = beginning(&mut file)?;
    file.rewind().map_err(|e| e.to_string())?;
    let kind = Kind::of(&beginning);
    // two tools may read two things out of one file: what unpacks by the name must read what was shown here
    let named = Kind::named(from);
    if let Some(named) = named.filter(|named| *named != kind) {
        return Err(format!("it is called {} and is {}", named.name(), kind.name()));
    }
    let mut reading = Reading::default();
    match kind {
        Kind::Gzip => {
            let mut plain = flate2::bufread::MultiGzDecoder::new(BufReader::new(file));
            let first = self::beginning(&mut plain)?;
            let is_tar = is_tar(&first);
            let mut whole = BufReader::new(io::Cursor::new(first).chain(plain));
            match is_tar {
                true => reading.tar(whole)?,
                false if named.is_some() => return Err("it is called an archive, and holds none".to_owned()),
                false => reading.file("(the file, unpacked)", false, &mut whole)?,
            }
        }
        Kind::Tar => reading.tar(BufReader::new(file))?,
        Kind::Zip => reading.zip(file)?,
        Kind::Other => reading.file("(the file)", false, &mut BufReader::new(file))?,
    }
    Ok(reading.finish())
}

/// As much as a tar header has, however the stream hands it out.
fn beginning(stream: &mut impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    stream.take(512).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gzip,
    Tar,
    Zip,
    Other,
}

impl Kind {
    fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            other if is_tar(other) => Self::Tar,
            _ => Self::Other,
        }
    }

    fn named(name: &str) -> Option<Self> {
        let name = name.split(['?', '#']).next().unwrap_or(name).to_ascii_lowercase();
        let ends = |all: &[&str]| all.iter().any(|end| name.ends_with(end));
        if ends(&[".tar.gz", ".tgz", ".crate"]) {
            Some(Self::Gzip)
        } else if ends(&[".zip", ".whl", ".jar", ".nupkg"]) {
            Some(Self::Zip)
        } else if ends(&[".tar", ".gem"]) {
            Some(Self::Tar)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "packed with gzip",
            Self::Tar => "a tar archive",
            Self::Zip => "a zip archive",
            Self::Other => "no archive",
        }
    }
}

fn is_tar(beginning: &[u8]) -> bool {
    beginning.get(257..262) == Some(b"ustar")
}

#[derive(Default)]
struct Reading {
    entries: BTreeMap<String, Entry>,
    count: usize,
    total: u64,
    kept: u64,
}

impl Reading {
    fn tar(&mut self, stream: impl Read) -> Result<(), String> {
        let mut archive = tar::Archive::new(stream);
        for entry in archive.entries().map_err(|e| e.to_string())? {
            let mut entry = entry.map_err(|e| e.to_string())?;
            let kind = entry.header().entry_type();
            if kind == EntryType::XGlobalHeader {
                check_global(&mut entry)?;
                continue;
            }
            let name = name(&entry.path_bytes())?;
            match kind {
                EntryType::Directory => self.count()?,
                EntryType::Regular | EntryType::Continuous => {
                    let mode = entry.header().mode().map_err(|e| e.to_string())?;
                    self.file(&name, mode & 0o111 != 0, &mut entry)?;
                }
                EntryType::Symlink | EntryType::Link => {
                    let target = entry.link_name_bytes().map(|t| t.into_owned()).unwrap_or_default();
                    // a hard link names a file of the archive, a symbolic one a way from where it lies
                    let from = if kind == EntryType::Link { "" } else { name.as_str() };
                    self.link(&name, from, &target)?;
                }
                _ => return Err(format!("{name} is neither a file, a folder nor a link")),
            }
        }
        Ok(())
    }

    fn zip(&mut self, file: File) -> Result<(), String> {
        let listed = listed(&file)?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| e.to_string())?;
        if archive.len() != listed {
            return Err(format!("it lists {listed} files and has {}: one name twice", archive.len()));
        }
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|e| e.to_string())?;
            let name = name(entry.name().map_err(|e| e.to_string())?.as_bytes())?;
            let mode = entry.unix_mode().unwrap_or(0o644);
            if entry.is_dir() {
                self.count()?;
            } else if mode & 0o170_000 == 0o120_000 {
                let mut target = Vec::new();
                Read::by_ref(&mut entry).take(4096).read_to_end(&mut target).map_err(|e| e.to_string())?;
                self.link(&name, &name, &target)?;
            } else {
                self.file(&name, mode & 0o111 != 0, &mut entry)?;
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), String> {
        self.count += 1;
        if self.count > MAX_FILES { Err(format!("more than {MAX_FILES} files")) } else { Ok(()) }
    }

    fn add(&mut self, name: &str, entry: Entry) -> Result<(), String> {
        self.count()?;
        // of two files of one name, one tool keeps the first and another the last
        match self.entries.insert(name.to_owned(), entry) {
            Some(_) => Err(format!("{name} is in it twice")),
            None => Ok(()),
        }
    }

    /// What an archive says of sizes is not believed: every byte is counted as it comes out.
    fn file(&mut self, name: &str, is_executable: bool, stream: &mut dyn Read) -> Result<(), String> {
        let (mut hasher, mut size, mut head) = (Hasher::new(&[]), 0_u64, Vec::new());
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(format!("{name}: {e}")),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            size += u64::try_from(count).unwrap_or(u64::MAX);
            if self.total.saturating_add(size) > MAX_TOTAL {
                return Err(format!("it unpacks to more than {MAX_TOTAL} bytes"));
            }
            hasher.update(bytes);
            if size <= MAX_TEXT {
                head.extend_from_slice(bytes);
            }
        }
        self.total += size;
        let is_kept = size <= MAX_TEXT && self.kept.saturating_add(size) <= MAX_KEPT && !head.contains(&0);
        let text = if is_kept { String::from_utf8(head).ok() } else { None };
        self.kept += text.as_ref().map_or(0, |_| size);
        let digest = hasher.finish().first().ok_or("no digest")?;
        self.add(name, Entry::File { size, digest, is_executable, text })
    }

    fn link(&mut self, name: &str, from: &str, target: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(target).map_err(|_| format!("{name} leads to what is no text"))?;
        let mut depth = from.matches('/').count();
        let leads_out = || Err(format!("{name} leads out of the archive, to {text}"));
        if text.is_empty() || text.starts_with('/') || text.contains('\\') {
            return leads_out();
        }
        for part in text.split('/') {
            match part {
                ".." if depth == 0 => return leads_out(),
                ".." => depth -= 1,
                "" | "." => {}
                _ => depth += 1,
            }
        }
        self.add(name, Entry::Link(text.to_owned()))
    }

    /// Most releases have one folder at the top, with their version in its name: without it, two can be compared.
    fn finish(self) -> Contents {
        let top = self
            .entries
            .keys()
            .next()
            .and_then(|name| name.split_once('/'))
            .map(|(top, _)| format!("{top}/"));
        let shared = top.filter(|top| self.entries.keys().all(|name| name.starts_with(top)));
        let strip = |name: String| match shared.as_deref().and_then(|top| name.strip_prefix(top)) {
            Some(rest) => rest.to_owned(),
            None => name,
        };
        Contents(self.entries.into_iter().map(|(name, entry)| (strip(name), entry)).collect())
    }
}

/// What is said of all entries that follow may be a commit or a time. A name or a size there, other tools believe and this
/// reader does not: what unpacks would be something else than what was shown.
fn check_global(entry: &mut tar::Entry<'_, impl Read>) -> Result<(), String> {
    let known = ["comment", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname"];
    for said in entry.pax_extensions().map_err(|e| e.to_string())?.into_iter().flatten() {
        let key = said.map_err(|e| e.to_string())?.key().map_err(|e| e.to_string())?;
        if !known.contains(&key) {
            return Err(format!("it gives every file one {}", policy::one_line(key)));
        }
    }
    Ok(())
}

/// A name that stays below the folder into which it is unpacked, whoever unpacks it.
fn name(bytes: &[u8]) -> Result<String, String> {
    let shown = policy::one_line(&String::from_utf8_lossy(bytes));
    let text = std::str::from_utf8(bytes).map_err(|_| format!("the name {shown} is no text"))?;
    let text = text.strip_suffix('/').unwrap_or(text);
    let parts: Vec<&str> = text.split('/').filter(|part| *part != ".").collect();
    let is_plain = |part: &&str| !part.is_empty() && *part != ".." && !part.chars().any(char::is_control);
    if text.len() > MAX_NAME || text.contains('\\') || !parts.iter().all(is_plain) {
        return Err(format!("the name {shown} leads out of the archive, or is none"));
    }
    Ok(parts.join("/"))
}

/// How many files the end of a zip says that there are: its reader keeps the last of two of one name.
fn listed(mut file: &File) -> Result<usize, String> {
    let length = file.seek(SeekFrom::End(0)).map_err(|e| e.to_string())?;
    // the record is 22 bytes, and a comment of at most 64 KiB
    file.seek(SeekFrom::Start(length.saturating_sub(22 + 65_535))).map_err(|e| e.to_string())?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).map_err(|e| e.to_string())?;
    file.rewind().map_err(|e| e.to_string())?;
    let at = end.windows(4).rposition(|four| four == b"PK\x05\x06").ok_or("it has no end")?;
    match end.get(at + 10..at + 12) {
        Some([0xff, 0xff]) => Err("it lists more than 65,534 files".to_owned()),
        Some([low, high]) => Ok(usize::from(*low) | usize::from(*high) << 8),
        _ => Err("it has no end".to_owned()),
    }
}
