//! What a `.changes` and a `.dsc` say: which files belong together, by their digests.

use attest::buildinfo::Paragraph;
use attest::openpgp::ClearSigned;
use attest::{Algorithm, Digest};
use policy::Unreadable;

use crate::proxy::package::unreadable;

const MAX_FILES: usize = 256;

/// A signed list of files.
#[derive(Debug)]
pub(super) struct Listing {
    /// The source package.
    pub(super) source: String,
    /// The suites that it is for; none for a `.dsc`.
    pub(super) suites: Vec<String>,
    pub(super) files: Vec<Listed>,
}

/// A file that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) digest: Digest,
}

/// A file's name as archives have them.
pub(super) fn is_file(name: &str) -> bool {
    let is_first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    is_first && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-_~".contains(&b))
}

/// A package's name.
pub(super) fn is_name(name: &str) -> bool {
    let is_known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+.-".contains(&b);
    name.len() >= 2 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(is_known)
}

impl Listing {
    /// Reads one. That it is signed says where it begins and ends; whose signature counts is for the archive to say.
    pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Self, Unreadable> {
        let wrong = |what: &str, wanted: &str, found: &str| unreadable(file, what, wanted, found);
        let signed = ClearSigned::parse(bytes).map_err(|e| {
            wrong(
                "the list of files cannot be read",
                "a clear-signed text, as debsign makes it",
                &e.to_string(),
            )
        })?;
        let shape = |e: attest::json::ShapeError| {
            wrong("the list of files cannot be read", "what dpkg-genchanges writes", &e.to_string())
        };
        let paragraph = Paragraph::parse(signed.text()).map_err(shape)?;
        let source = paragraph.required("Source").map_err(shape)?;
        let source = source.split_once(' ').map_or(source, |(name, _)| name);
        let suites: Vec<String> = paragraph.words("Distribution").into_iter().map(str::to_owned).collect();
        if !is_name(source) || !suites.iter().all(|suite| is_file(suite)) {
            return Err(wrong("the list of files cannot be read", "a source package and a suite", source));
        }
        let mut files: Vec<Listed> = Vec::new();
        for (hex, size, name) in paragraph.checksums("Checksums-Sha256").map_err(shape)? {
            let digest = Digest::from_hex(Algorithm::Sha256, hex)
                .map_err(|e| wrong("the list of files has no digests", "SHA-256", &e.to_string()))?;
            if !is_file(name) || files.len() >= MAX_FILES || files.iter().any(|file| file.name == name) {
                return Err(wrong(
                    "the list of files cannot be read",
                    "each file once, by its plain name",
                    name,
                ));
            }
            files.push(Listed { name: name.to_owned(), size, digest });
        }
        check_others(&paragraph, &files).map_err(|name| {
            wrong("two lists in the file are of different files", "the files of Checksums-Sha256", &name)
        })?;
        Ok(Self { source: source.to_owned(), suites, files })
    }
}

/// Archives read the older lists: so each must be of the same files. Gives what is in one of them alone.
fn check_others(paragraph: &Paragraph<'_>, files: &[Listed]) -> Result<(), String> {
    for field in ["Files", "Checksums-Sha1"] {
        if !paragraph.has(field) {
            continue;
        }
        let lines = paragraph.below(field).map_err(|e| e.to_string())?;
        let names: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next_back()).collect();
        let stranger = names.iter().find(|name| !files.iter().any(|file| file.name == **name));
        if let Some(name) = stranger {
            return Err((*name).to_owned());
        }
        if names.len() != files.len() || files.iter().any(|file| !names.contains(&file.name.as_str())) {
            return Err(format!("{field} with {} files", names.len()));
        }
    }
    Ok(())
}
