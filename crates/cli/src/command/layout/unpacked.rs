//! An inspection that unpacks the artifact is never run: the archive is read in memory, and only where everything in it is
//! a file or a folder, so that what is read is what unpacking gives.

use std::io::{Cursor, Read};
use std::path::Path;

use attest::Algorithm;
use attest::digest::{DigestSet, Hasher};
use tar::EntryType;
use translate::layout::{Artifacts, Layout, Metadata, Unpacked, unpacks};

use crate::failure::Failure;
use crate::input;

/// More than any artifact that somebody unpacks to look at it.
const MAX_ARCHIVE: u64 = 256 << 20;
const MAX_UNPACKED: u64 = 1 << 30;
const MAX_FILES: usize = 100_000;

/// What is in the artifact, where an inspection of the layout does nothing but unpack a file of its name.
pub(super) fn read(layout: &[u8], artifact: &Path) -> Result<Option<Unpacked>, Failure> {
    let name = artifact.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let read = Metadata::parse(layout).ok().and_then(|m| Layout::read(m.unproven()).ok());
    let is_unpacked = |layout: &Layout| layout.inspections.iter().any(|i| unpacks(&i.run) == Some(name));
    if !read.is_some_and(|layout| is_unpacked(&layout)) || !artifact.is_file() {
        return Ok(None);
    }
    let bytes = input::read("artifact", artifact, MAX_ARCHIVE)?;
    let files = files(&bytes).map_err(|why| {
        Failure::new(&format!("{name} cannot be read as the archive that the layout unpacks"))
            .line("wanted", "tar, or tar.gz, of files and folders alone")
            .line("found", &policy::one_line(&why))
            .line("fix", "give the artifact that the last step made")
    })?;
    Ok(Some(Unpacked { name: name.to_owned(), digests: digests(&mut Cursor::new(&bytes))?, files }))
}

fn files(bytes: &[u8]) -> Result<Artifacts, String> {
    let plain: Box<dyn Read + '_> = match bytes.starts_with(&[0x1f, 0x8b]) {
        true => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        false => Box::new(bytes),
    };
    let mut archive = tar::Archive::new(plain.take(MAX_UNPACKED + 1));
    let (mut files, mut size) = (Artifacts::new(), 0_u64);
    for entry in archive.entries().map_err(|e| e.to_string())? {
        let mut entry = entry.map_err(|e| e.to_string())?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(|e| e.to_string())?;
        let path = path.strip_prefix("./").unwrap_or(&path).trim_end_matches('/').to_owned();
        match entry.header().entry_type() {
            EntryType::Directory => continue,
            EntryType::Regular => {}
            EntryType::Symlink | EntryType::Link => return Err(format!("{path} is a link")),
            _ => return Err(format!("{path} is neither a file nor a folder")),
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains(['\\', '\0']) {
            return Err(format!("{path} leads out of the folder, or is written in two ways"));
        }
        size = size.saturating_add(entry.size());
        if size > MAX_UNPACKED || files.len() >= MAX_FILES {
            return Err(format!("more than {MAX_FILES} files, or more than {} MiB", MAX_UNPACKED >> 20));
        }
        let digests = digests(&mut entry).map_err(|_| format!("{path} is cut off"))?;
        if files.insert(path.clone(), digests).is_some() {
            return Err(format!("{path} is in it twice"));
        }
    }
    Ok(files)
}

fn digests(from: &mut dyn Read) -> Result<DigestSet, Failure> {
    let mut hasher = Hasher::new(&[Algorithm::Sha384, Algorithm::Sha512]);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => hasher.update(buffer.get(..length).unwrap_or_default()),
            Err(e) => return Err(Failure::new("the artifact cannot be read").line("found", &e.to_string())),
        }
    }
}
