//! What a wheel says that it is (PEP 427): installers go by the METADATA in it, and never see the form.

use std::io::{self, BufReader, Read as _, Seek, SeekFrom};

use zip::ZipArchive;

use super::distribution::normalized;
use crate::proxy::hold::{Held, Part};

/// The end of an archive, where nothing stands behind it.
const END: u64 = 22;
/// Before the end of one that is too large for the usual lists: no wheel is.
const LOCATOR: u64 = 20;
/// The list of the files in it.
const MAX_LIST: u32 = 32 << 20;
/// A name, a version, and a description.
const MAX_METADATA: u64 = 4 << 20;

/// A part of a held body that is read from anywhere.
struct Window<'a> {
    held: &'a Held,
    begin: u64,
    length: u64,
    at: u64,
}

impl Window<'_> {
    fn part(&self, at: u64, length: u64) -> Part {
        let at = at.min(self.length);
        self.held.part(self.begin.saturating_add(at), length.min(self.length.saturating_sub(at)))
    }

    fn bytes(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.part(at, length).read_to_end(&mut bytes).map(|_| bytes)
    }
}

impl io::Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.part(self.at, u64::MAX).read(buffer)?;
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Whether the wheel that stands at a place in the body is of this project and version; why not, if not.
pub(super) fn check(
    held: &Held,
    (begin, length): (u64, u64),
    project: &str,
    version: &str,
) -> Result<(), String> {
    let window = Window { held, begin, length, at: 0 };
    let count = count(&window)?;
    let mut archive = ZipArchive::new(BufReader::new(window)).map_err(|e| e.to_string())?;
    if archive.len() != count || archive.offset() != 0 {
        return Err("two files of one name, or something before the archive".to_owned());
    }
    let index = metadata(&archive)?;
    let entry = archive.by_index(index).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    entry.take(MAX_METADATA + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_METADATA) {
        return Err(format!("METADATA of more than {MAX_METADATA} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "METADATA that is no UTF-8".to_owned())?;
    let (name, found) = (field(&text, "Name")?, field(&text, "Version")?);
    if normalized(name).as_deref() != Some(project) {
        return Err(format!("METADATA of the project {name}"));
    }
    if found != version {
        return Err(format!("METADATA of the version {found}"));
    }
    Ok(())
}

/// How many files the archive says that it has. Readers look for its end in different ways: it has to be the last thing.
fn count(window: &Window<'_>) -> Result<usize, String> {
    let at = window.length.checked_sub(END).ok_or("no archive of zip")?;
    let end = window.bytes(at, END).map_err(|e| e.to_string())?;
    let before = window.bytes(at.saturating_sub(LOCATOR), 4).map_err(|e| e.to_string())?;
    let (Some(b"PK\x05\x06\0\0\0\0"), Some([0, 0])) = (end.get(..8), end.get(20..)) else {
        return Err("no end of an archive of zip at the end".to_owned());
    };
    let (Some(&[here, more, all, others]), Some(&[a, b, c, d])) = (end.get(8..12), end.get(12..16)) else {
        return Err("no end of an archive of zip".to_owned());
    };
    let (here, all) = (u16::from_le_bytes([here, more]), u16::from_le_bytes([all, others]));
    if here != all || all == u16::MAX || before == b"PK\x06\x07" {
        return Err("more files than an archive of zip has without extensions".to_owned());
    }
    if u32::from_le_bytes([a, b, c, d]) > MAX_LIST {
        return Err(format!("a list of files of more than {MAX_LIST} bytes"));
    }
    Ok(usize::from(all))
}

/// Which file is METADATA: in the one folder that ends with `.dist-info`, whatever letters a file system tells apart.
fn metadata(archive: &ZipArchive<BufReader<Window<'_>>>) -> Result<usize, String> {
    let (mut folder, mut found): (Option<String>, Option<usize>) = (None, None);
    for (index, name) in archive.file_names().enumerate() {
        let name = name.map_err(|e| e.to_string())?;
        let Some((first, rest)) = name.split_once('/') else { continue };
        if !first.to_ascii_lowercase().ends_with(".dist-info") {
            continue;
        }
        if folder.get_or_insert_with(|| first.to_owned()) != first {
            return Err("two folders .dist-info".to_owned());
        }
        if rest.eq_ignore_ascii_case("METADATA") && (rest != "METADATA" || found.replace(index).is_some()) {
            return Err("two files METADATA, or one in other letters".to_owned());
        }
    }
    found.ok_or_else(|| "no METADATA in a folder .dist-info".to_owned())
}

/// A field of the head of METADATA that stands there once, on one line.
fn field<'t>(text: &'t str, name: &str) -> Result<&'t str, String> {
    let mut found = None;
    let mut lines = text.lines().take_while(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let Some((key, value)) = line.split_once(':') else { continue };
        if !key.trim().eq_ignore_ascii_case(name) {
            continue;
        }
        let goes_on = lines.peek().is_some_and(|next| next.starts_with([' ', '\t']));
        if goes_on || line.contains('\r') || found.replace(value.trim()).is_some() {
            return Err(format!("METADATA with {name} twice, or on two lines"));
        }
    }
    found.ok_or_else(|| format!("METADATA without {name}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};
    use std::time::Duration;

    use axum::body::Body;
    use zip::write::SimpleFileOptions;

    use super::check;
    use crate::proxy::hold::{Held, Most};
    use crate::proxy::room::Room;
    use crate::proxy::share::Bounds;

    fn wheel(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn read(wheel: &[u8]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let most = Most { bytes: 1 << 30, time: Duration::from_secs(60) };
        let taken = Room::of(Bounds { all: 1 << 30, one: 1 << 30 }).taken(None);
        let body = Body::from([b"before", wheel, b"behind"].concat());
        let held = runtime.block_on(Held::take(body, folder.path(), taken, most)).unwrap();
        check(&held, (6, wheel.len() as u64), "shop-cart", "1.0")
    }

    const INFO: &str = "shop_cart-1.0.dist-info/METADATA";
    const GOOD: &str = "Metadata-Version: 2.1\nName: Shop.Cart\nVersion: 1.0\n\nName: in the description\n";

    #[test]
    fn a_wheel_is_what_its_metadata_says() {
        let good = wheel(&[("shop_cart.py", "x"), (INFO, GOOD)]);
        assert_eq!(read(&good), Ok(()));
        let with = |text: &str| wheel(&[(INFO, text)]);
        let twice = {
            let two = wheel(&[(INFO, GOOD), (&INFO.replace("METADATA", "METADATB"), "Name: payroll\n")]);
            let text = two.windows(8).enumerate().filter(|(_, w)| *w == b"METADATB").map(|(at, _)| at + 7);
            let places: Vec<usize> = text.collect();
            let mut two = two;
            places.into_iter().for_each(|at| two[at] = b'A');
            two
        };
        for (bytes, why) in [
            (with("Name: payroll\nVersion: 1.0\n"), "of the project payroll"),
            (with("Name: shop-cart\nVersion: 2.0\n"), "of the version 2.0"),
            (with("Name: shop-cart\nname: payroll\nVersion: 1.0\n"), "Name twice"),
            (with("Name: shop-cart\n payroll\nVersion: 1.0\n"), "on two lines"),
            (with("Name: shop-cart\n\nVersion: 1.0\n"), "without Version"),
            (wheel(&[("METADATA", GOOD)]), "no METADATA"),
            (wheel(&[(INFO, GOOD), ("payroll-1.0.dist-info/METADATA", GOOD)]), "two folders"),
            (wheel(&[(INFO, GOOD), (&INFO.replace("METADATA", "metadata"), GOOD)]), "in other letters"),
            (twice, "two files of one name"),
            ([b"#!/bin/sh\n".as_slice(), &good].concat(), ""),
            ([good.as_slice(), b"x"].concat(), "at the end"),
            (good[..good.len() - 1].to_vec(), "at the end"),
            (b"no wheel, and long enough for the end of one".to_vec(), "at the end"),
            (b"short".to_vec(), "no archive"),
        ] {
            let found = read(&bytes);
            assert!(found.as_ref().is_err_and(|e| e.contains(why)), "{why}: {found:?}");
        }
    }
}
