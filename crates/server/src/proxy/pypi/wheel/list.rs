//! The list of the files in an archive of zip, where it has one reading.
//!
//! CPython takes for the list what stands right before the end, and reads all of it; others go to where the end says that
//! it begins, and read as many files as the end says. So all of that has to be the same, and fill the place exactly.

use std::io::{self, Read, Seek, SeekFrom};

use crate::proxy::archive::is_plain;
use crate::proxy::hold::{Held, Part};
use crate::proxy::package::shown;

/// The end of an archive, where nothing stands behind it.
const END: u64 = 22;
/// Before the end of one that is too large for the usual lists: no wheel is.
const LOCATOR: u64 = 20;
/// The list of the files in it; names, extensions and comments are a part of it.
const MAX_LIST: u32 = 32 << 20;
/// What of a file has always the same length.
const ENTRY: usize = 46;
/// An extension with another name for the file, which some obey.
const OTHER_NAME: u16 = 0x7075;

/// A part of a held body that is read from anywhere.
pub(super) struct Window<'a> {
    held: &'a Held,
    begin: u64,
    length: u64,
    at: u64,
}

impl<'a> Window<'a> {
    pub(super) fn of(held: &'a Held, (begin, length): (u64, u64)) -> Self {
        Self { held, begin, length, at: 0 }
    }

    fn part(&self, at: u64, length: u64) -> Part {
        let at = at.min(self.length);
        self.held.part(self.begin.saturating_add(at), length.min(self.length.saturating_sub(at)))
    }

    fn bytes(&self, at: u64, length: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.part(at, length).read_to_end(&mut bytes).map(|_| bytes).map_err(|e| e.to_string())
    }
}

impl Read for Window<'_> {
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

/// The files of an archive.
pub(super) struct List {
    /// Where it begins.
    pub(super) at: u64,
    /// As they stand there; a folder's ends with `/`.
    pub(super) names: Vec<String>,
}

/// What the end says of the list.
struct End {
    count: usize,
    size: u32,
    at: u32,
}

impl List {
    pub(super) fn read(window: &Window<'_>) -> Result<Self, String> {
        let end = End::read(window)?;
        let bytes = window.bytes(end.at.into(), end.size.into())?;
        let (mut rest, mut names, mut first) = (bytes.as_slice(), Vec::new(), u32::MAX);
        while !rest.is_empty() {
            let (name, at, behind) = file(rest)?;
            names.push(name);
            first = first.min(at);
            rest = behind;
        }
        if names.len() != end.count {
            return Err(format!("a list of {} files, where its end says {}", names.len(), end.count));
        }
        if first != 0 {
            return Err("something before the archive".to_owned());
        }
        Ok(Self { at: end.at.into(), names })
    }
}

impl End {
    /// Readers look for the end in different ways: it has to be the last thing, and the list right before it.
    fn read(window: &Window<'_>) -> Result<Self, String> {
        let at = window.length.checked_sub(END).ok_or("no archive of zip")?;
        let bytes = window.bytes(at, END)?;
        let before = window.bytes(at.saturating_sub(LOCATOR), 4)?;
        let (Some(b"PK\x05\x06\0\0\0\0"), Some([0, 0])) = (bytes.get(..8), bytes.get(20..)) else {
            return Err("no end of an archive of zip at the end".to_owned());
        };
        let broken = || "no end of an archive of zip".to_owned();
        let number = |at: usize| short(&bytes, at).ok_or_else(broken);
        let (here, all) = (number(8)?, number(10)?);
        if here != all || all == u16::MAX || before == b"PK\x06\x07" {
            return Err("more files than an archive of zip has without extensions".to_owned());
        }
        let (size, from) = (long(&bytes, 12).ok_or_else(broken)?, long(&bytes, 16).ok_or_else(broken)?);
        if size > MAX_LIST {
            return Err(format!("a list of files of more than {MAX_LIST} bytes"));
        }
        if u64::from(from) + u64::from(size) != at {
            return Err("a list of files that does not stand right before the end".to_owned());
        }
        Ok(Self { count: usize::from(all), size, at: from })
    }
}

/// The first file of a list: its name, where it stands, and the rest of the list.
fn file(list: &[u8]) -> Result<(String, u32, &[u8]), String> {
    let read = || {
        let head = list.get(..ENTRY).filter(|head| head.starts_with(b"PK\x01\x02"))?;
        let length = |at: usize| short(head, at).map(usize::from);
        let (name, rest) = list.get(ENTRY..)?.split_at_checked(length(28)?)?;
        let (extensions, rest) = rest.split_at_checked(length(30)?)?;
        let (_comment, rest) = rest.split_at_checked(length(32)?)?;
        let numbers = [long(head, 20)?, long(head, 24)?, long(head, 42)?];
        Some((name, extensions, numbers, rest))
    };
    let (name, extensions, numbers, rest) = read().ok_or("a list of files that is broken")?;
    let name = str::from_utf8(name).map_err(|_| "a file's name that is no UTF-8".to_owned())?;
    if !is_plain(name.strip_suffix('/').unwrap_or(name)) {
        return Err(format!("the path {}", shown(name)));
    }
    if numbers.contains(&u32::MAX) {
        return Err(format!("{}: larger than an archive of zip has without extensions", shown(name)));
    }
    check(extensions).map_err(|why| format!("{}: {why}", shown(name)))?;
    let [_, _, at] = numbers;
    Ok((name.to_owned(), at, rest))
}

/// None of the extensions gives the file another name.
fn check(mut extensions: &[u8]) -> Result<(), &'static str> {
    while !extensions.is_empty() {
        let read = || {
            let (kind, length) = (short(extensions, 0)?, short(extensions, 2)?);
            Some((kind, extensions.get(4 + usize::from(length)..)?))
        };
        let (kind, rest) = read().ok_or("an extension that is broken")?;
        if kind == OTHER_NAME {
            return Err("a file with two names");
        }
        extensions = rest;
    }
    Ok(())
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_le_bytes(*two))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}
