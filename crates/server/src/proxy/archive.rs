//! One file out of a tar archive that somebody else packed: small, whole, and the same one that every other reader finds.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType, PaxExtensions};

const MAX_ENTRIES: usize = 100_000;
/// The file that is wanted is one of names and lists.
const MAX_FILE: u64 = 4 << 20;
/// A header that says more of the next entry, as its long path.
const MAX_EXTENSION: u64 = 64 << 10;

/// The one file that `is_it` finds among the parts of each entry's path. `plain` is the archive, unpacked, of `most` bytes:
/// a small upload must not keep a thread busy.
pub(crate) fn only_file(
    plain: impl Read,
    most: u64,
    is_it: impl Fn(&[&str]) -> bool,
) -> Result<Vec<u8>, String> {
    let mut archive = Archive::new(plain.take(most));
    let (mut found, mut said) = (None, None);
    // headers about headers are read here: the library would take them into memory whatever their size
    for (number, entry) in archive.entries().map_err(broken)?.raw(true).enumerate() {
        let mut entry = entry.map_err(broken)?;
        if number >= MAX_ENTRIES {
            return Err(format!("more than {MAX_ENTRIES} entries"));
        }
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XHeader | EntryType::GNULongName) {
            said = match (said, extension(&mut entry, kind)?) {
                (Some(_), Some(_)) => return Err("an entry with two paths".to_owned()),
                (one, other) => one.or(other),
            };
            continue;
        }
        let path = path(said.take().unwrap_or_else(|| entry.path_bytes().to_vec()), kind)?;
        let parts: Vec<&str> = path.split('/').collect();
        if !is_it(&parts) {
            continue;
        }
        if found.is_some() || kind != EntryType::Regular || entry.size() > MAX_FILE {
            return Err(format!("{path} twice, as a folder, or larger than {MAX_FILE} bytes"));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        found = Some(bytes);
    }
    end(archive.into_inner(), most)?;
    found.ok_or_else(|| "no such file in the archive".to_owned())
}

/// What a header says of the path of the entry behind it.
fn extension(entry: &mut Entry<'_, impl Read>, kind: EntryType) -> Result<Option<Vec<u8>>, String> {
    if entry.size() > MAX_EXTENSION {
        return Err(format!("a header of more than {MAX_EXTENSION} bytes"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(broken)?;
    if kind == EntryType::GNULongName {
        return Ok(Some(bytes.strip_suffix(b"\0").unwrap_or(&bytes).to_vec()));
    }
    let (mut keys, mut path) = (Vec::new(), None);
    for extension in PaxExtensions::new(&bytes) {
        let extension = extension.map_err(broken)?;
        let key = extension.key_bytes().to_vec();
        if keys.contains(&key) || key == b"size" {
            return Err("an entry with two headers of one name, or two sizes".to_owned());
        }
        if key == b"path" {
            path = Some(extension.value_bytes().to_vec());
        }
        keys.push(key);
    }
    Ok(path)
}

/// Nothing but zeros stands behind the end: a reader that goes on there finds no other file.
fn end(mut rest: io::Take<impl Read>, most: u64) -> Result<(), String> {
    let mut piece = vec![0; 64 << 10];
    loop {
        let read = rest.read(&mut piece).map_err(broken)?;
        if piece.iter().take(read).any(|byte| *byte != 0) {
            return Err("something behind the end of the archive".to_owned());
        }
        match (read, rest.limit()) {
            (_, 0) => return Err(format!("an archive of {most} bytes or more")),
            (0, _) => return Ok(()),
            _ => {}
        }
    }
}

/// An entry's path, without what readers resolve in different ways. Only files and folders have one.
fn path(path: Vec<u8>, kind: EntryType) -> Result<String, String> {
    if !matches!(kind, EntryType::Regular | EntryType::Directory) {
        return Err("an entry that is neither a file nor a folder".to_owned());
    }
    let text = String::from_utf8(path).map_err(|_| "a path that is no UTF-8".to_owned())?;
    // Debian's begin with it
    let text = text.strip_prefix("./").unwrap_or(&text);
    let plain = text.strip_suffix('/').unwrap_or(text);
    let is_root = plain.is_empty() && kind == EntryType::Directory;
    if !(is_root || is_plain(plain)) {
        return Err(format!("the path {}", crate::proxy::package::shown(text)));
    }
    Ok(plain.to_owned())
}

/// Whether a path is the one spelling of what it names: readers resolve `.` and `..`, and end it at a NUL.
pub(crate) fn is_plain(path: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    !path.contains(['\\', '\0']) && path.split('/').all(is_part)
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: io::Error) -> String {
    format!("no archive that can be unpacked: {error}")
}

#[cfg(test)]
mod tests {
    use super::only_file;

    fn entry(path: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(0o644);
        header.set_cksum();
        let padding = vec![0; (512 - bytes.len() % 512) % 512];
        [header.as_bytes().as_slice(), bytes, &padding].concat()
    }

    fn find(parts: &[Vec<u8>]) -> Result<Vec<u8>, String> {
        let archive = [parts.concat(), vec![0; 1024]].concat();
        only_file(archive.as_slice(), 1 << 20, |path| path == ["package", "package.json"])
    }

    #[test]
    fn the_one_file_is_found_and_what_hides_another_is_refused() {
        let good = entry("package/package.json", b'0', b"good");
        let other = entry("package/index.js", b'0', b"x");
        assert_eq!(find(&[other.clone(), good.clone()]).unwrap(), b"good");
        let record = |text: &str| format!("{} {text}\n", text.len() + 4).into_bytes();
        let (long, bomb) = (record("path=package/package.json"), entry("package/x", b'0', &vec![0; 2 << 20]));
        assert_eq!(find(&[entry("x", b'x', &long), entry("short", b'0', b"good")]).unwrap(), b"good");
        assert_eq!(
            find(&[entry("L", b'L', b"package/package.json\0"), entry("short", b'0', b"good")]).unwrap(),
            b"good"
        );
        let twice = [record("path=package/a"), record("path=package/b")].concat();
        for (parts, why) in [
            (vec![other.clone()], "no such file"),
            (vec![good.clone(), good.clone()], "twice"),
            (vec![entry("package/package.json", b'2', b"")], "neither a file nor a folder"),
            (vec![good.clone(), entry("package/x", b'1', b"")], "neither a file nor a folder"),
            (vec![good.clone(), entry("package//package.json", b'0', b"bad")], "the path"),
            (vec![good.clone(), entry("package/./package.json", b'0', b"bad")], "the path"),
            (vec![good.clone(), entry("/package/package.json", b'0', b"bad")], "the path"),
            (vec![good.clone(), entry("package/a/../package.json", b'0', b"bad")], "the path"),
            (vec![good.clone(), entry("package\\package.json", b'0', b"bad")], "the path"),
            (
                vec![good.clone(), vec![0; 1024], entry("package/package.json", b'0', b"bad")],
                "behind the end",
            ),
            (vec![good.clone(), entry("g", b'g', &record("path=package/c"))], "neither a file nor a folder"),
            (vec![entry("x", b'x', &twice), good.clone()], "two headers of one name"),
            (vec![good.clone(), b"no header".repeat(100)], "no archive"),
            (vec![good.clone(), bomb.clone()], "no archive"),
            (vec![good.clone(), vec![0; 2 << 20]], "1048576 bytes or more"),
            (vec![entry("x", b'x', &vec![b'1'; 70_000]), good.clone()], "a header of more than"),
            (vec![entry("x", b'x', &record("size=3")), good.clone()], "two sizes"),
            (vec![good.clone(), entry("x", b'x', &long), entry("package/y", b'0', b"bad")], "twice"),
            (
                vec![good.clone(), entry("L", b'L', b"package/package.json\0"), entry("y", b'0', b"bad")],
                "twice",
            ),
            (
                vec![entry("x", b'x', &long), entry("L", b'L', b"package/z\0"), entry("y", b'0', b"x")],
                "two paths",
            ),
        ] {
            let found = find(&parts);
            assert!(found.as_ref().is_err_and(|e| e.contains(why)), "{why}: {found:?}");
        }
    }
}
