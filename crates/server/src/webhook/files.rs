//! The reviewed files: book, guardrails, trust root; bounded, and tried before they are in force.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use attest::{LoadError, TrustRoot};
use policy::{Book, Guardrails, SourceFile};

use crate::webhook::config::Config;

/// Files that people write are pages, not volumes.
const MAX_TEXT: u64 = 4 << 20;
const MAX_FILES: usize = 4096;
const MAX_DEPTH: usize = 8;

/// The texts of all reviewed files, as they are on disk now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    book: Vec<SourceFile>,
    guardrails: Option<String>,
    trust_root: String,
}

impl Files {
    /// Reads them; judges nothing.
    ///
    /// # Errors
    /// Which cannot be read, and why.
    pub(crate) fn read(config: &Config) -> Result<Self, String> {
        Ok(Self {
            book: book(&config.book)?,
            guardrails: config.guardrails.as_deref().map(text).transpose()?,
            trust_root: text(&config.trust_root)?,
        })
    }

    /// The book, under its guardrails.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub(crate) fn book(&self) -> Result<Book, String> {
        let guardrails = match &self.guardrails {
            None => Guardrails::none(),
            Some(text) => Guardrails::parse("guardrails", text).map_err(all)?,
        };
        Book::load(self.book.clone(), &guardrails).map_err(all)
    }

    /// The trust root.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub(crate) fn trust_root(&self) -> Result<TrustRoot, String> {
        TrustRoot::parse("trust-root.yaml", &self.trust_root).map_err(all)
    }
}

fn all(errors: Vec<LoadError>) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn text(path: &Path) -> Result<String, String> {
    let failed = |e: &io::Error| format!("{} cannot be read: {e}", path.display());
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|e| failed(&e))?;
    file.take(MAX_TEXT + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_TEXT) {
        return Err(format!("{} is too large: at most {MAX_TEXT} bytes", path.display()));
    }
    String::from_utf8(bytes).map_err(|_| format!("{} is no text", path.display()))
}

/// The policy files of a book's folder, named as the command line names them: the names are in the book's digest.
fn book(folder: &Path) -> Result<Vec<SourceFile>, String> {
    let failed = |e: io::Error| format!("the book {} cannot be read: {e}", folder.display());
    // the folder behind a link may be swapped for another as a whole: all files come from one of them
    let real = folder.canonicalize().map_err(failed)?;
    let name = folder.file_name().map_or_else(|| "book".to_owned(), |n| n.to_string_lossy().into_owned());
    let mut paths = Vec::new();
    collect(&real, &mut paths, 0).map_err(failed)?;
    let mut files = Vec::new();
    for path in paths {
        let below = path.strip_prefix(&real).unwrap_or(&path).display().to_string();
        files.push(SourceFile { name: format!("{name}/{below}"), text: text(&path)? });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH || paths.len() > MAX_FILES {
        return Err(io::Error::other("it is deeper than 8 folders, or has more than 4096 files"));
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, paths, depth + 1)?;
        } else if (name.ends_with(".yaml") || name.ends_with(".yml")) && !name.ends_with(".test.yaml") {
            paths.push(path);
        }
    }
    Ok(())
}
