//! The hash that go.sum has for a module: SHA-256 over the sorted list of its files and their SHA-256
//! (golang.org/x/mod/sumdb/dirhash, `Hash1`).
//!
//! The zip reader takes what Go's own tool writes and refuses the rest. It is an early check: `go` in the sandbox reads
//! the same bytes again and compares with go.sum itself.

use std::io::Read as _;

use attest::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Go refuses modules that are larger when unpacked.
const MAX_UNPACKED: u64 = 500 << 20;
const END: u32 = 0x0605_4b50;
const ENTRY: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;

/// The hash of a go.mod file.
pub(crate) fn of_mod(bytes: &[u8]) -> String {
    hash(&[("go.mod".to_owned(), Digest::sha256(bytes))])
}

/// The hash of a module's archive; why not, where it is none.
pub(crate) fn of_zip(bytes: &[u8]) -> Result<String, String> {
    let mut files = Vec::new();
    let mut left = MAX_UNPACKED;
    for entry in entries(bytes)? {
        let content = unpack(bytes, &entry, left)?;
        left -= u64::try_from(content.len()).map_err(|e| e.to_string())?;
        files.push((entry.name, Digest::sha256(&content)));
    }
    files.sort();
    if files.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
        return Err("two files of one name".to_owned());
    }
    Ok(hash(&files))
}

fn hash(files: &[(String, Digest)]) -> String {
    let list: String = files.iter().map(|(name, digest)| format!("{}  {name}\n", digest.hex())).collect();
    format!("h1:{}", STANDARD.encode(Digest::sha256(list.as_bytes()).bytes()))
}

struct Entry {
    name: String,
    is_deflated: bool,
    packed: usize,
    at: usize,
}

/// The files that the central directory lists.
fn entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let lowest = bytes.len().saturating_sub(22 + usize::from(u16::MAX));
    let is_end = |at: &usize| {
        let comment = u16_at(bytes, at + 20).map(usize::from);
        u32_at(bytes, *at) == Some(END) && comment.is_some_and(|length| at + 22 + length == bytes.len())
    };
    let end = (lowest..bytes.len()).rev().find(is_end).ok_or("it has no end")?;
    let count = u16_at(bytes, end + 10).ok_or("its end is cut off")?;
    let mut at = size(u32_at(bytes, end + 16))?;
    let mut entries = Vec::new();
    for _ in 0..count {
        if u32_at(bytes, at) != Some(ENTRY) {
            return Err("its directory is broken".to_owned());
        }
        let method = u16_at(bytes, at + 10).ok_or("its directory is cut off")?;
        let packed = size(u32_at(bytes, at + 20))?;
        let [name, extra, comment] =
            [28, 30, 32].map(|offset| usize::from(u16_at(bytes, at + offset).unwrap_or_default()));
        let local = size(u32_at(bytes, at + 42))?;
        let text = bytes.get(at + 46..at + 46 + name).and_then(|n| std::str::from_utf8(n).ok());
        let text = text.ok_or("a file name that is no text")?;
        if text.contains('\n') || !matches!(method, 0 | 8) {
            return Err(format!("{} is no file that Go would have packed", text.escape_debug()));
        }
        // folders have no part in the hash
        if !text.ends_with('/') {
            entries.push(Entry { name: text.to_owned(), is_deflated: method == 8, packed, at: local });
        }
        at += 46 + name + extra + comment;
    }
    Ok(entries)
}

fn unpack(bytes: &[u8], entry: &Entry, limit: u64) -> Result<Vec<u8>, String> {
    let broken = || format!("{} is broken", entry.name);
    if u32_at(bytes, entry.at) != Some(LOCAL) {
        return Err(broken());
    }
    let [name, extra] = [26, 28].map(|offset| u16_at(bytes, entry.at + offset).map_or(0, usize::from));
    let start = entry.at + 30 + name + extra;
    let packed = start.checked_add(entry.packed).and_then(|end| bytes.get(start..end)).ok_or_else(broken)?;
    let mut content = Vec::new();
    let read = if entry.is_deflated {
        flate2::read::DeflateDecoder::new(packed).take(limit + 1).read_to_end(&mut content)
    } else {
        packed.take(limit + 1).read_to_end(&mut content)
    };
    let length = read.map_err(|e| format!("{}: {e}", entry.name))?;
    if u64::try_from(length).is_ok_and(|n| n > limit) {
        return Err(format!("it unpacks to more than {} MiB", MAX_UNPACKED >> 20));
    }
    Ok(content)
}

fn size(value: Option<u32>) -> Result<usize, String> {
    let value =
        value.filter(|v| *v != u32::MAX).ok_or("it is cut off, or of a form that no Go module has")?;
    usize::try_from(value).map_err(|e| e.to_string())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    bytes.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A zip archive of files: name, content, whether compressed.
    fn zip(files: &[(&str, &[u8], bool)]) -> Vec<u8> {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for (name, content, is_deflated) in files {
            let mut packed = content.to_vec();
            if *is_deflated {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(content).unwrap();
                packed = encoder.finish().unwrap();
            }
            let method = if *is_deflated { 8_u16 } else { 0 };
            let mut common = Vec::new();
            common.extend([20, 0, 0, 0]);
            common.extend(method.to_le_bytes());
            common.extend([0; 8]);
            common.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
            common.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
            common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            common.extend([0, 0]);
            let at = u32::try_from(bytes.len()).unwrap();
            bytes.extend(LOCAL.to_le_bytes());
            bytes.extend(&common);
            bytes.extend(name.as_bytes());
            bytes.extend(&packed);
            directory.extend(ENTRY.to_le_bytes());
            directory.extend([20, 0]);
            directory.extend(&common);
            directory.extend([0; 10]);
            directory.extend(at.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let (at, count) = (u32::try_from(bytes.len()).unwrap(), u16::try_from(files.len()).unwrap());
        bytes.extend(&directory);
        bytes.extend(END.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(count.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
        bytes.extend(at.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    #[test]
    fn a_module_file_hashes_as_go_says() {
        let text = b"module \"rsc.io/quote\"\n\nrequire \"rsc.io/sampler\" v1.3.0\n";
        // rsc.io/quote v1.5.2/go.mod in the go.sum of everybody who uses it
        assert_eq!(of_mod(text), "h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=");
    }

    #[test]
    fn an_archive_hashes_by_its_files_alone() {
        let (a, b) = (("m@v1/a.go", b"package a\n".as_slice()), ("m@v1/b.go", [b'x'; 9000].as_slice()));
        let list =
            format!("{}  {}\n{}  {}\n", Digest::sha256(a.1).hex(), a.0, Digest::sha256(b.1).hex(), b.0);
        let wanted = format!("h1:{}", STANDARD.encode(Digest::sha256(list.as_bytes()).bytes()));
        assert_eq!(of_zip(&zip(&[(a.0, a.1, true), (b.0, b.1, true)])).unwrap(), wanted);
        let other = zip(&[("m@v1/", b"", false), (b.0, b.1, false), (a.0, a.1, false)]);
        assert_eq!(of_zip(&other).unwrap(), wanted, "order, compression and folders do not count");
        assert_ne!(of_zip(&zip(&[(a.0, b"package b\n", true), (b.0, b.1, true)])).unwrap(), wanted);
        assert_ne!(
            of_zip(&zip(&[("m@v1/c.go", a.1, true), (b.0, b.1, true)])).unwrap(),
            wanted,
            "names count"
        );
    }

    #[test]
    fn what_go_would_not_have_packed_is_refused() {
        let good = zip(&[("a", b"text", false)]);
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            of_zip(&bytes).unwrap_err()
        };
        let entry = 30 + 1 + 4;
        assert!(changed(entry, 0).contains("directory is broken"));
        assert!(changed(entry + 10, 9).contains("no file that Go would have packed"), "another compression");
        assert!(changed(0, 0).contains("a is broken"), "no local header");
        assert!(changed(entry + 20, 200).contains("a is broken"), "longer than the file");
        assert!(changed(entry + 10, 8).contains("a: "), "stored, and called compressed");
        assert!(of_zip(b"no archive").unwrap_err().contains("no end"));
        assert!(of_zip(&zip(&[("a", b"x", false), ("a", b"y", false)])).unwrap_err().contains("two files"));
        assert!(of_zip(&zip(&[("a\nb", b"x", false)])).unwrap_err().contains("no file that Go"));
        for cut in 0..good.len() {
            assert!(of_zip(good.get(..cut).unwrap()).is_err(), "cut at {cut}");
        }
    }
}
