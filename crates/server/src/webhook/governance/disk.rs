//! The reviewed files as texts with digests: as they are on disk, or as they were on record.

use std::path::Path;

use attest::Digest;
use chokepoint::LastGood;
use policy::{Book, Guardrails, SourceFile, digest_of};

use super::Part;
use crate::webhook::config::{Config, Governance};
use crate::webhook::files::Files;

/// The policies for the files, as they are on disk now.
pub(super) fn policies(folder: &Path) -> Result<Vec<SourceFile>, String> {
    chokepoint::book_files(folder)
}

/// All of them but the configuration, which is read once.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    pub(crate) files: Files,
    pub(crate) governance: Vec<SourceFile>,
}

impl Texts {
    /// As they are on disk now.
    pub(crate) fn read(config: &Config, governance: &Governance) -> Result<Self, String> {
        Ok(Self { files: Files::read(config)?, governance: policies(&governance.policies)? })
    }

    /// As they were in force last. A log that nothing governed yet has no policies for them: then `governance` counts.
    pub(crate) fn of(last: &LastGood, governance: &[SourceFile]) -> Self {
        let recorded = last.governance.as_ref().map(|(files, _)| files.clone());
        Self { files: Files::of(last), governance: recorded.unwrap_or_else(|| governance.to_vec()) }
    }

    pub(crate) fn digest(&self, part: Part) -> Option<Digest> {
        match part {
            Part::Governance => Some(digest_of(&self.governance)),
            Part::Configuration => None,
            _ => self.files.digest(part),
        }
    }

    /// These, with one of them taken from others.
    pub(crate) fn with(&self, part: Part, from: &Self) -> Self {
        let mut new = self.clone();
        match part {
            Part::Governance => new.governance.clone_from(&from.governance),
            _ => new.files.take(part, &from.files),
        }
        new
    }

    /// The policies for the files.
    pub(crate) fn policies(&self) -> Result<Book, String> {
        let all = |errors: Vec<attest::LoadError>| {
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        Book::load(self.governance.clone(), &Guardrails::none()).map_err(all)
    }
}
