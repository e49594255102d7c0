//! What a wheel says that it is (PEP 427): installers go by the METADATA in it, and never see the form.

use std::io::{BufReader, Read as _};

use zip::read::{ArchiveOffset, Config};
use zip::{ZipArchive, ZipReadOptions};

use super::distribution::normalized;
use crate::proxy::hold::Held;

mod list;

use list::{List, Window};

/// A name, a version, and a description.
const MAX_METADATA: u64 = 4 << 20;

/// Whether the wheel that stands at a place in the body is of this project and version; why not, if not.
pub(super) fn check(held: &Held, place: (u64, u64), project: &str, version: &str) -> Result<(), String> {
    let list = List::read(&Window::of(held, place))?;
    let (index, name) = metadata(&list.names)?;
    // where it begins was looked at: it is not searched for
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let archive = ZipArchive::with_config(config, BufReader::new(Window::of(held, place)));
    let mut archive = archive.map_err(|e| e.to_string())?;
    if archive.len() != list.names.len() || archive.central_directory_start() != list.at {
        return Err("two files of one name".to_owned());
    }
    let as_listed = ZipReadOptions::new().enforce_header_consistency(true);
    let entry = archive.by_index_with_options(index, as_listed).map_err(|e| e.to_string())?;
    if entry.name_raw() != name.as_bytes() {
        return Err("METADATA under another name".to_owned());
    }
    let mut bytes = Vec::new();
    entry.take(MAX_METADATA + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_METADATA) {
        return Err(format!("METADATA of more than {MAX_METADATA} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "METADATA that is no UTF-8".to_owned())?;
    if head(&text).any(|line| line.contains('\r')) {
        // a line ends there for Python, and the next one may be another Name
        return Err("METADATA with a carriage return that ends no line".to_owned());
    }
    let (name, found) = (field(&text, "Name")?, field(&text, "Version")?);
    if normalized(name).as_deref() != Some(project) {
        return Err(format!("METADATA of the project {name}"));
    }
    if found != version {
        return Err(format!("METADATA of the version {found}"));
    }
    Ok(())
}

/// Which file is METADATA: in the one folder that ends with `.dist-info`, whatever letters a file system tells apart.
fn metadata(names: &[String]) -> Result<(usize, &str), String> {
    let (mut folder, mut found) = (None, None);
    for (index, name) in names.iter().enumerate() {
        let Some((first, rest)) = name.split_once('/') else { continue };
        if !first.to_ascii_lowercase().ends_with(".dist-info") {
            continue;
        }
        if *folder.get_or_insert(first) != first {
            return Err("two folders .dist-info".to_owned());
        }
        if rest.trim_end_matches('/').eq_ignore_ascii_case("METADATA")
            && (rest != "METADATA" || found.replace((index, name.as_str())).is_some())
        {
            return Err("two files METADATA, or one in other letters".to_owned());
        }
    }
    found.ok_or_else(|| "no METADATA in a folder .dist-info".to_owned())
}

/// The lines of the head of METADATA, which ends with the first empty one.
fn head(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| !line.is_empty())
}

/// A field of the head of METADATA that stands there once, on one line.
fn field<'t>(text: &'t str, name: &str) -> Result<&'t str, String> {
    let mut found = None;
    let mut lines = head(text).peekable();
    while let Some(line) = lines.next() {
        let Some((key, value)) = line.split_once(':') else { continue };
        if !key.trim().eq_ignore_ascii_case(name) {
            continue;
        }
        let goes_on = lines.peek().is_some_and(|next| next.starts_with([' ', '\t']));
        if goes_on || found.replace(value.trim()).is_some() {
            return Err(format!("METADATA with {name} twice, or on two lines"));
        }
    }
    found.ok_or_else(|| format!("METADATA without {name}"))
}

#[cfg(test)]
mod tests;
