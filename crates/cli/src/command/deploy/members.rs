//! The files of a tar, each in a file of its own that nobody can change: a command never sees a folder.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use super::sealed::Sealed;
use crate::failure::Failure;

/// Each is an open file of the command.
const MAX_MEMBERS: usize = 500;
/// All of it, unpacked: it is in memory.
const MAX_BYTES: u64 = 1 << 30;

/// The members whose names end so, by their names; and, where asked for, all of them one after the other.
pub(super) fn read(
    archive: &Sealed,
    ending: &str,
    is_joined: bool,
) -> Result<(Vec<Sealed>, Option<Sealed>), Failure> {
    let failed = |why: &str| {
        Failure::new("the admitted archive cannot be unpacked; nothing was run").line("found", why).line(
            "fix",
            &format!("deploy a tar of at most {MAX_MEMBERS} plain files, or a tar.gz; it must be built and reviewed anew"),
        )
    };
    let mut found = unpack(archive, ending).map_err(|e| failed(&e))?;
    if found.is_empty() {
        return Err(failed(&format!("no file whose name ends with `{ending}`")));
    }
    let all = if is_joined { Some(join(&found).map_err(|e| failed(&e.to_string()))?) } else { None };
    let mut files = Vec::new();
    while let Some((_, bytes)) = found.pop_first() {
        files.push(Sealed::of(bytes.as_slice(), &[]).map_err(|e| failed(&e.to_string()))?);
    }
    Ok((files, all))
}

/// A stream of what is in a tar, whether it is packed with gzip or not, which fails after so many bytes.
pub(super) fn stream(archive: &Sealed, most: u64) -> io::Result<Box<dyn Read>> {
    let mut beginning = Vec::new();
    archive.open()?.take(2).read_to_end(&mut beginning)?;
    let file = archive.open()?;
    let stream: Box<dyn Read> =
        if beginning == [0x1f, 0x8b] { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(Box::new(Bounded { stream, left: most }))
}

/// What is cut off at a border between two entries would pass for the whole archive.
struct Bounded<R> {
    stream: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.left = u64::try_from(count)
            .ok()
            .and_then(|count| self.left.checked_sub(count))
            .ok_or_else(|| io::Error::other("the archive holds more than is unpacked"))?;
        Ok(count)
    }
}

fn unpack(archive: &Sealed, ending: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let stream = stream(archive, MAX_BYTES).map_err(|e| e.to_string())?;
    let mut archive = tar::Archive::new(stream);
    let mut found = BTreeMap::new();
    for entry in archive.entries().map_err(|e| e.to_string())? {
        let mut entry = entry.map_err(|e| e.to_string())?;
        let name = entry.path_bytes().into_owned();
        let shown = policy::one_line(&String::from_utf8_lossy(&name));
        match entry.header().entry_type() {
            tar::EntryType::Directory | tar::EntryType::XGlobalHeader => continue,
            tar::EntryType::Regular | tar::EntryType::Continuous => {}
            _ => return Err(format!("{shown} is no plain file")),
        }
        if !name.ends_with(ending.as_bytes()) {
            continue;
        }
        let mut bytes = Vec::new();
        let read = entry.read_to_end(&mut bytes).map_err(|e| format!("{shown}: {e}"))?;
        if u64::try_from(read).ok() != Some(entry.size()) {
            return Err(format!(
                "{shown} breaks off, or the archive holds more than {} GiB",
                MAX_BYTES >> 30
            ));
        }
        if found.insert(name, bytes).is_some() {
            return Err(format!("{shown} is in it twice"));
        }
        if found.len() > MAX_MEMBERS {
            return Err(format!("more than {MAX_MEMBERS} files"));
        }
    }
    Ok(found)
}

/// A file that does not end its last line must not run into the next one.
fn join(found: &BTreeMap<Vec<u8>, Vec<u8>>) -> io::Result<Sealed> {
    let mut all: Box<dyn Read> = Box::new(io::empty());
    for bytes in found.values() {
        let end: &[u8] = if bytes.ends_with(b"\n") { b"" } else { b"\n" };
        all = Box::new(all.chain(bytes.as_slice()).chain(end));
    }
    Sealed::of(all, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_is_too_large_is_not_its_beginning() {
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["1.sql", "2.sql"] {
            let mut header = tar::Header::new_ustar();
            header.set_size(512);
            header.set_cksum();
            tar.append_data(&mut header, name, [b'x'; 512].as_slice()).unwrap();
        }
        let archive = Sealed::of(tar.into_inner().unwrap().as_slice(), &[]).unwrap();
        let count = |most| {
            let mut archive = tar::Archive::new(stream(&archive, most).unwrap());
            archive.entries().unwrap().collect::<io::Result<Vec<_>>>().map(|all| all.len())
        };
        assert_eq!(count(1 << 20).unwrap(), 2);
        // the border of the second entry
        assert!(count(1024).unwrap_err().to_string().contains("more than is unpacked"));
    }
}
