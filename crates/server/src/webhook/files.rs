//! The reviewed files: book, guardrails, trust root; bounded, and tried before they are in force.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use attest::{Digest, LoadError, TrustRoot};
use chokepoint::{Governing, LastGood};
use policy::{Book, Guardrails, SourceFile, digest_of};

use crate::webhook::check::Problem;
use crate::webhook::config::Config;
use crate::webhook::governance::Part;

/// Files that people write are pages, not volumes.
const MAX_TEXT: u64 = 4 << 20;
const MAX_FILES: usize = 4096;
const MAX_DEPTH: usize = 8;

/// The texts of all reviewed files, as they are on disk now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    book: Vec<SourceFile>,
    guardrails: Option<SourceFile>,
    trust_root: SourceFile,
}

impl Files {
    /// Reads them; judges nothing.
    ///
    /// # Errors
    /// Which cannot be read, and why.
    pub(crate) fn read(config: &Config) -> Result<Self, String> {
        Ok(Self {
            book: book(&config.book)?,
            guardrails: config.guardrails.as_deref().map(source).transpose()?,
            trust_root: source(&config.trust_root)?,
        })
    }

    /// As they were in force last.
    pub(crate) fn of(last: &LastGood) -> Self {
        let source = |name: &str, text: &str| SourceFile { name: name.to_owned(), text: text.to_owned() };
        Self {
            book: last.book.clone(),
            guardrails: last.guardrails.as_deref().map(|text| source("guardrails.yaml", text)),
            trust_root: source("trust-root.yaml", &last.trust_root),
        }
    }

    /// The digest by which a part of them is known, whether or not it loads.
    pub(crate) fn digest(&self, part: Part) -> Option<Digest> {
        let of = |file: &SourceFile| Digest::sha256(file.text.as_bytes());
        match part {
            Part::Book => Some(digest_of(&self.book)),
            Part::Guardrails => self.guardrails.as_ref().map(of),
            Part::TrustRoot => Some(of(&self.trust_root)),
            Part::Governance | Part::Configuration => None,
        }
    }

    /// Takes one part of others.
    pub(crate) fn take(&mut self, part: Part, from: &Self) {
        match part {
            Part::Book => self.book.clone_from(&from.book),
            Part::Guardrails => self.guardrails.clone_from(&from.guardrails),
            Part::TrustRoot => self.trust_root.clone_from(&from.trust_root),
            Part::Governance | Part::Configuration => {}
        }
    }

    /// What governs with them, under a configuration.
    ///
    /// # Errors
    /// As [`Files::book`] and [`Files::trust_root`].
    pub(crate) fn governing(&self, configuration: Option<Vec<u8>>) -> Result<Governing, String> {
        let guardrails = self.guardrails.as_ref().map(|file| file.text.clone().into_bytes());
        let new = Governing::new(self.book()?, self.trust_root()?);
        Ok(Governing { guardrails, configuration, ..new })
    }

    /// Which of them differ, by the names that events and metrics have for them.
    pub(crate) fn changed(&self, from: &Self) -> Vec<&'static str> {
        let all = [
            ("book", self.book != from.book),
            ("guardrails", self.guardrails != from.guardrails),
            ("trust root", self.trust_root != from.trust_root),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
    }

    /// The trust root, where it is all that can be read.
    ///
    /// # Errors
    /// Why it cannot be read; within, everything that is wrong with it.
    pub(crate) fn read_trust_root(config: &Config) -> Result<Result<TrustRoot, Vec<Problem>>, String> {
        source(&config.trust_root).map(|file| trust_root(&file))
    }

    /// The book, under its guardrails.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub(crate) fn load_book(&self) -> Result<Book, Vec<Problem>> {
        let guardrails = match &self.guardrails {
            None => Guardrails::none(),
            Some(file) => Guardrails::parse(&file.name, &file.text).map_err(coded("guardrail-invalid"))?,
        };
        Book::load(self.book.clone(), &guardrails).map_err(coded("policy-invalid"))
    }

    /// The trust root.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub(crate) fn load_trust_root(&self) -> Result<TrustRoot, Vec<Problem>> {
        trust_root(&self.trust_root)
    }

    /// The book, with everything that is wrong in one line.
    ///
    /// # Errors
    /// As [`Files::load_book`].
    pub(crate) fn book(&self) -> Result<Book, String> {
        self.load_book().map_err(|errors| all(&errors))
    }

    /// The trust root, with everything that is wrong in one line.
    ///
    /// # Errors
    /// As [`Files::load_trust_root`].
    pub(crate) fn trust_root(&self) -> Result<TrustRoot, String> {
        self.load_trust_root().map_err(|errors| all(&errors))
    }
}

fn trust_root(file: &SourceFile) -> Result<TrustRoot, Vec<Problem>> {
    TrustRoot::parse(&file.name, &file.text).map_err(coded("trust-root-invalid"))
}

fn coded(code: &'static str) -> impl Fn(Vec<LoadError>) -> Vec<Problem> {
    move |errors| errors.into_iter().map(|error| (code, error)).collect()
}

fn all(errors: &[Problem]) -> String {
    errors.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("; ")
}

fn source(path: &Path) -> Result<SourceFile, String> {
    Ok(SourceFile { name: path.display().to_string(), text: text(path)? })
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
pub(crate) fn book(folder: &Path) -> Result<Vec<SourceFile>, String> {
    let failed = |e: io::Error| format!("the book {} cannot be read: {e}", folder.display());
    // the folder behind a link may be swapped for another as a whole: all files come from one of them
    let real = folder.canonicalize().map_err(failed)?;
    let name = real.file_name().map_or_else(|| "book".to_owned(), |n| n.to_string_lossy().into_owned());
    let mut files = Vec::new();
    for path in policy_paths(&real).map_err(failed)? {
        let below = path.strip_prefix(&real).unwrap_or(&path).display().to_string();
        files.push(SourceFile { name: format!("{name}/{below}"), text: text(&path)? });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The files that are a book's policies: the same for whoever serves a book and whoever checks it, since their names are in
/// its digest. Tests are no policies.
///
/// # Errors
/// A folder that cannot be read, or holds more than a book does.
pub fn policy_paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    collect(folder, &mut paths, 0)?;
    Ok(paths)
}

/// Whether a file of this name is a policy.
#[must_use]
pub fn is_policy(name: &str) -> bool {
    (name.ends_with(".yaml") || name.ends_with(".yml")) && !name.ends_with(".test.yaml")
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
        } else if is_policy(&name) {
            paths.push(path);
        }
    }
    Ok(())
}
