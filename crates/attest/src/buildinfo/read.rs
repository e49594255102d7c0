//! The fields of a `.buildinfo`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::deb822::{Paragraph, quoted};
use super::{Buildinfo, File, Installed};
use crate::digest::{Algorithm, Digest, parse_hex};
use crate::json::ShapeError;

/// As many as a statement has subjects.
const MAX_FILES: usize = 1024;
/// Far more than any build has installed.
const MAX_INSTALLED: usize = 16 << 10;

pub(super) fn read(paragraph: &Paragraph<'_>) -> Result<Buildinfo, ShapeError> {
    let format = paragraph.required("Format")?;
    if format != "1.0" {
        return Err(ShapeError::new("Format", "1.0", &quoted(format)));
    }
    let version = checked("Version", paragraph.required("Version")?, is_version)?;
    let (source, source_version) = read_source(paragraph.required("Source")?, &version)?;
    let architectures = paragraph.words("Architecture");
    if architectures.is_empty() {
        return Err(ShapeError::new("Architecture", "the field", "nothing"));
    }
    let one = |name: &str| Ok(paragraph.line(name)?.map(str::to_owned));
    let origin = paragraph.line("Build-Origin")?.map(|o| checked("Build-Origin", o, is_word)).transpose()?;
    Ok(Buildinfo {
        source,
        source_version,
        version,
        architectures: each("Architecture", &architectures, is_name)?,
        files: read_files(paragraph)?,
        origin,
        build_architecture: checked(
            "Build-Architecture",
            paragraph.required("Build-Architecture")?,
            is_name,
        )?,
        date: paragraph.line("Build-Date")?.map(read_date).transpose()?,
        path: one("Build-Path")?,
        kernel: one("Build-Kernel-Version")?,
        tainted_by: each("Build-Tainted-By", &paragraph.words("Build-Tainted-By"), is_name)?,
        installed: read_installed(paragraph.below("Installed-Build-Depends")?)?,
        environment: read_environment(paragraph)?,
    })
}

/// `name`, or `name (version)` where the binaries have another version.
fn read_source(text: &str, version: &str) -> Result<(String, String), ShapeError> {
    let (name, version) = match text.strip_suffix(')').and_then(|text| text.split_once(" (")) {
        Some((name, version)) => (name, version),
        None => (text, version),
    };
    Ok((checked("Source", name, is_name)?, checked("Source", version, is_version)?))
}

/// The list under SHA-256; the other lists must be of the same files, or the file says two things.
fn read_files(paragraph: &Paragraph<'_>) -> Result<Vec<File>, ShapeError> {
    let mut files: Vec<File> = Vec::new();
    for (hex, size, name) in paragraph.checksums("Checksums-Sha256")? {
        let digest = Digest::from_hex(Algorithm::Sha256, hex)
            .map_err(|e| ShapeError::new("Checksums-Sha256", "SHA-256 in lower-case hex", &e.to_string()))?;
        if files.len() >= MAX_FILES || files.iter().any(|file| file.name == name) {
            return Err(ShapeError::new(
                "Checksums-Sha256",
                "each file once, and 1024 at most",
                &quoted(name),
            ));
        }
        files.push(File { name: name.to_owned(), size, digest });
    }
    for (field, bytes) in [("Checksums-Md5", 16), ("Checksums-Sha1", 20)] {
        if !paragraph.has(field) {
            continue;
        }
        let other = paragraph.checksums(field)?;
        let is_hex = |hex: &str| parse_hex(hex).is_some_and(|hash| hash.len() == bytes);
        let is_known = |(hex, size, name): &(&str, u64, &str)| {
            is_hex(hex) && files.iter().any(|file| file.name == *name && file.size == *size)
        };
        if other.len() != files.len() || !other.iter().all(is_known) {
            return Err(ShapeError::new(field, "the files and sizes of Checksums-Sha256", "others"));
        }
    }
    Ok(files)
}

/// The form of Debian's changelogs, RFC 5322 with a day of the week.
fn read_date(text: &str) -> Result<Timestamp, ShapeError> {
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    date.map_err(|_| {
        ShapeError::new("Build-Date", "a date as in Mon, 06 Dec 2021 21:35:27 +0000", &quoted(text))
    })
}

/// Lines of `name (= version)` or `name:architecture (= version)`, with commas between them.
fn read_installed(lines: &[&str]) -> Result<Vec<Installed>, ShapeError> {
    let field = "Installed-Build-Depends";
    let mut installed: Vec<Installed> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_last = at + 1 == lines.len();
        let read = || {
            let line = if is_last { line.strip_suffix(',').unwrap_or(line) } else { line.strip_suffix(',')? };
            let (package, version) = line.strip_suffix(')')?.split_once(" (= ")?;
            let (name, architecture) = package.split_once(':').map_or((package, None), |(n, a)| (n, Some(a)));
            let is_right = is_name(name) && architecture.is_none_or(is_name) && is_version(version);
            is_right.then(|| Installed {
                name: name.to_owned(),
                architecture: architecture.map(str::to_owned),
                version: version.to_owned(),
            })
        };
        let package = read()
            .filter(|_| at < MAX_INSTALLED)
            .ok_or_else(|| ShapeError::new(field, "`name (= version),`", &quoted(line)))?;
        installed.push(package);
    }
    Ok(installed)
}

/// Lines of `NAME="value"`, where dpkg writes a quote as `\"` and nothing else in another way.
fn read_environment(paragraph: &Paragraph<'_>) -> Result<BTreeMap<String, String>, ShapeError> {
    let mut environment = BTreeMap::new();
    if !paragraph.has("Environment") {
        return Ok(environment);
    }
    for line in paragraph.below("Environment")? {
        let read = || {
            let (name, value) = line.split_once('=')?;
            let value = value.strip_prefix('"')?.strip_suffix('"')?;
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            // a quote that is not protected would end the value
            let is_whole = !value.replace("\\\"", "").contains('"');
            (is_name && is_whole).then(|| (name.to_owned(), value.replace("\\\"", "\"")))
        };
        let wanted = || ShapeError::new("Environment", "`NAME=\"value\"`, each name once", &quoted(line));
        let (name, value) = read().ok_or_else(wanted)?;
        if environment.insert(name, value).is_some() {
            return Err(wanted());
        }
    }
    Ok(environment)
}

fn each(field: &str, words: &[&str], is_right: impl Fn(&str) -> bool) -> Result<Vec<String>, ShapeError> {
    words.iter().map(|word| checked(field, word, &is_right)).collect()
}

fn checked(field: &str, text: &str, is_right: impl Fn(&str) -> bool) -> Result<String, ShapeError> {
    if is_right(text) {
        Ok(text.to_owned())
    } else {
        Err(ShapeError::new(field, "a name, word or version as Debian has them", &quoted(text)))
    }
}

/// A package, an architecture or a reason.
fn is_name(text: &str) -> bool {
    let is_first = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.as_bytes().first().is_some_and(is_first) && text.bytes().all(|b| is_first(&b) || b"+.-".contains(&b))
}

fn is_version(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+~:-".contains(&b))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
