//! One file out of a tar archive that somebody else packed: small, whole, and the same one that every other reader finds.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType};

/// What an archive may unpack to, so that a small upload cannot keep a thread busy.
const MAX_UNPACKED: u64 = 1 << 30;
const MAX_ENTRIES: usize = 100_000;
/// The file that is wanted is one of names and lists.
const MAX_FILE: u64 = 4 << 20;

/// The one file that `is_it` finds among the parts of each entry's path. `plain` is the archive, unpacked.
pub(crate) fn only_file(plain: impl Read, is_it: impl Fn(&[&str]) -> bool) -> Result<Vec<u8>, String> {
    let mut archive = Archive::new(plain.take(MAX_UNPACKED));
    let mut found = None;
    for (number, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if number >= MAX_ENTRIES {
            return Err(format!("more than {MAX_ENTRIES} entries"));
        }
        let path = path(&mut entry)?;
        let parts: Vec<&str> = path.split('/').collect();
        if !is_it(&parts) {
            continue;
        }
        if found.is_some() || entry.header().entry_type() != EntryType::Regular || entry.size() > MAX_FILE {
            return Err(format!("{path} twice, as a link, or larger than {MAX_FILE} bytes"));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        found = Some(bytes);
    }
    end(archive.into_inner())?;
    found.ok_or_else(|| "no such file in the archive".to_owned())
}

/// Nothing but zeros stands behind the end: a reader that goes on there finds no other file.
fn end(mut rest: io::Take<impl Read>) -> Result<(), String> {
    let mut piece = vec![0; 64 << 10];
    loop {
        let read = rest.read(&mut piece).map_err(broken)?;
        if piece.iter().take(read).any(|byte| *byte != 0) {
            return Err("something behind the end of the archive".to_owned());
        }
        match (read, rest.limit()) {
            (_, 0) => return Err(format!("an archive of more than {MAX_UNPACKED} bytes")),
            (0, _) => return Ok(()),
            _ => {}
        }
    }
}

/// An entry's path, without what readers resolve in different ways. Only files and folders have one.
fn path(entry: &mut Entry<'_, impl Read>) -> Result<String, String> {
    let kind = entry.header().entry_type();
    if !matches!(kind, EntryType::Regular | EntryType::Directory) {
        return Err("an entry that is neither a file nor a folder".to_owned());
    }
    let mut keys = Vec::new();
    for extension in entry.pax_extensions().map_err(broken)?.into_iter().flatten() {
        let key = extension.map_err(broken)?.key_bytes().to_vec();
        if keys.contains(&key) {
            return Err("an entry with two headers of one name".to_owned());
        }
        keys.push(key);
    }
    let path = entry.path_bytes();
    let text = std::str::from_utf8(&path).map_err(|_| "a path that is no UTF-8".to_owned())?;
    // Debian's begin with it
    let text = text.strip_prefix("./").unwrap_or(text);
    let plain = text.strip_suffix('/').unwrap_or(text);
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_root = plain.is_empty() && kind == EntryType::Directory;
    if plain.contains(['\\', '\0']) || !(is_root || plain.split('/').all(is_plain)) {
        return Err(format!("the path {}", crate::proxy::package::shown(text)));
    }
    Ok(plain.to_owned())
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
        only_file(archive.as_slice(), |path| path == ["package", "package.json"])
    }

    #[test]
    fn the_one_file_is_found_and_what_hides_another_is_refused() {
        let good = entry("package/package.json", b'0', b"good");
        let other = entry("package/index.js", b'0', b"x");
        assert_eq!(find(&[other.clone(), good.clone()]).unwrap(), b"good");
        let record = |text: &str| format!("{} {text}\n", text.len() + 4).into_bytes();
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
        ] {
            let found = find(&parts);
            assert!(found.as_ref().is_err_and(|e| e.contains(why)), "{why}: {found:?}");
        }
    }
}
