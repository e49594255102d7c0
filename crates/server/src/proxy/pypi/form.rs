//! Forms of `multipart/form-data` (RFC 7578), in the one spelling that every reader takes the same way.
//!
//! Readers differ about white space, bare line feeds, escapes, further headers, and what stands before, behind and between
//! the parts. So none of that is read here: the boundary may stand nowhere but between parts, and a part has no headers
//! but what it is called. What is sent on is the body itself: whoever reads it next must find what was judged.

use std::io::{self, Read};

use axum::http::{HeaderMap, header};
use memchr::memmem::Finder;

use crate::proxy::hold::Held;
use crate::proxy::package::{once, unreadable};
use policy::Unreadable;

/// Metadata of a distribution has some dozens of fields, of which some are lists.
const MAX_PARTS: usize = 2000;
/// The headers of a part.
const MAX_HEAD: u64 = 1024;
const PIECE: usize = 256 << 10;

/// A part of a form: where its value stands in the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FormPart {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
    pub(super) at: u64,
    pub(super) length: u64,
}

/// Why there is no form.
#[derive(Debug)]
pub(super) enum FormError {
    Form(Unreadable),
    Io(io::Error),
}

impl From<io::Error> for FormError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

fn wrong(what: &str, wanted: &str, found: &str) -> FormError {
    FormError::Form(unreadable("form", what, wanted, found))
}

/// The boundary that the headers name.
pub(super) fn boundary(headers: &HeaderMap) -> Result<String, FormError> {
    let wanted = "multipart/form-data; boundary=WORD, once, and nothing else";
    let text = once(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let word = text.strip_prefix("multipart/form-data; boundary=").unwrap_or_default();
    let is_word = (1..=70).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && word.bytes().any(|b| b.is_ascii_alphanumeric());
    is_word.then(|| word.to_owned()).ok_or_else(|| wrong("the upload is no form", wanted, text))
}

/// The parts of a form.
pub(super) fn parts(held: &Held, boundary: &str) -> Result<Vec<FormPart>, FormError> {
    let delimiter = format!("--{boundary}");
    let length = u64::try_from(delimiter.len()).unwrap_or(u64::MAX);
    let found = find(held, delimiter.as_bytes())?;
    if found.first() != Some(&0) {
        return Err(wrong("the form does not begin with its boundary", "no text before the first part", ""));
    }
    let mut parts = Vec::new();
    for pair in found.windows(2) {
        let [begin, end] = pair else { continue };
        parts.push(part(held, begin + length, *end)?);
    }
    let after = found.last().map_or(0, |last| last + length);
    match all(held, after, 5)?.as_slice() {
        b"--" | b"--\r\n" => Ok(parts),
        _ => Err(wrong("the form does not end with its boundary", "no text after the last part", "")),
    }
}

/// Everywhere that some bytes stand.
fn find(held: &Held, wanted: &[u8]) -> Result<Vec<u64>, FormError> {
    let (finder, keep) = (Finder::new(wanted), wanted.len().saturating_sub(1));
    let mut reader = held.part(0, held.length());
    let (mut found, mut begin, mut window) = (Vec::new(), 0_u64, Vec::new());
    loop {
        let read = reader.by_ref().take(PIECE as u64).read_to_end(&mut window)?;
        if read == 0 {
            return Ok(found);
        }
        found.extend(finder.find_iter(&window).map(|at| begin.saturating_add(at as u64)));
        if found.len() > MAX_PARTS {
            return Err(wrong("the form has too many parts", &format!("at most {MAX_PARTS}"), "more"));
        }
        // what could be the beginning of it is looked at again with what follows
        let done = window.len().saturating_sub(keep);
        begin = begin.saturating_add(done as u64);
        window.drain(..done);
    }
}

/// One part, between the boundary before it and the one behind.
fn part(held: &Held, begin: u64, end: u64) -> Result<FormPart, FormError> {
    let head = all(held, begin, MAX_HEAD.min(end.saturating_sub(begin)))?;
    let open = || wrong("a part of the form has other headers", HEAD, &String::from_utf8_lossy(&head));
    let blank = Finder::new(b"\r\n\r\n").find(&head).ok_or_else(open)?;
    let text = head.get(..blank).and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(open)?;
    let (name, file_name) = called(text.strip_prefix("\r\n").unwrap_or_default()).ok_or_else(open)?;
    let at = begin.saturating_add(blank as u64).saturating_add(4);
    let length = end.checked_sub(2).and_then(|end| end.checked_sub(at)).ok_or_else(open)?;
    if all(held, at + length, 2)? != b"\r\n" {
        return Err(wrong("a boundary stands inside of a part", "a boundary on a line of its own", &name));
    }
    Ok(FormPart { name, file_name, at, length })
}

const HEAD: &str = "`Content-Disposition: form-data; name=\"…\"` and, for a file, its `filename=\"…\"` and its \
                    `Content-Type`, without escapes";

/// A part's name and the name of its file.
fn called(head: &str) -> Option<(String, Option<String>)> {
    let mut lines = head.split("\r\n");
    let (name, value) = lines.next()?.split_once(": ")?;
    if !name.eq_ignore_ascii_case("content-disposition") {
        return None;
    }
    let (name, rest) = value.strip_prefix("form-data; name=\"")?.split_once('"')?;
    let file_name = match rest {
        "" => None,
        rest => Some(rest.strip_prefix("; filename=\"")?.strip_suffix('"')?),
    };
    let is_name =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b"0123456789_:".contains(&b));
    let is_file = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\%/;".contains(&b))
    };
    if !is_name || name.starts_with('_') || !file_name.is_none_or(is_file) {
        return None;
    }
    // a value in another encoding would be another value: only files say what they are
    if let (Some(line), true) = (lines.next(), file_name.is_some()) {
        let (name, value) = line.split_once(": ")?;
        let is_type = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"/.+-".contains(&b));
        if !name.eq_ignore_ascii_case("content-type") || !is_type {
            return None;
        }
    } else if head.contains("\r\n") {
        return None;
    }
    lines.next().is_none().then(|| (name.to_owned(), file_name.map(str::to_owned)))
}

/// So many bytes from a place, or as many as there are.
fn all(held: &Held, at: u64, length: u64) -> Result<Vec<u8>, io::Error> {
    let mut bytes = Vec::new();
    held.part(at, length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
