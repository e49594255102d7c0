//! The reviewed files: book, guardrails, trust root; bounded, and tried before they are in force.

use std::path::Path;

use attest::{Digest, LoadError, TrustRoot};
use chokepoint::{Governing, LastGood, book_files, reviewed_text};
use policy::{Book, Guardrails, SourceFile, digest_of};

use crate::webhook::check::Problem;
use crate::webhook::config::Config;
use crate::webhook::governance::Part;

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
            book: book_files(&config.book)?,
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
    Ok(SourceFile { name: path.display().to_string(), text: reviewed_text(path)? })
}
