//! One thing that an artifact is made of.

use attest::{Digest, DigestSet};

use crate::ecosystem::Ecosystem;
use crate::purl::Purl;

/// A component. Where it has no ecosystem, no advisory can be looked up for it, and it is kept by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// Its name, as its ecosystem has it.
    pub name: String,
    /// Where it comes from.
    pub ecosystem: Option<Ecosystem>,
    /// The version that is installed.
    pub version: Option<String>,
    /// The package URL that said so.
    pub purl: Option<String>,
    /// The source package it was built from, and its version: distributions say their advisories of those.
    pub source: Option<(String, Option<String>)>,
    /// Its bytes.
    pub digests: DigestSet,
}

impl Component {
    /// A component that has only a name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// What a package URL names.
    #[must_use]
    pub fn of_purl(text: &str, purl: &Purl) -> Self {
        Self {
            name: purl.package(),
            ecosystem: purl.ecosystem(),
            version: purl.full_version(),
            purl: Some(text.to_owned()),
            source: purl.source(),
            digests: DigestSet::default(),
        }
    }

    /// A package of an ecosystem.
    #[must_use]
    pub fn package(family: &str, name: &str, version: &str) -> Self {
        Self {
            ecosystem: Some(Ecosystem::family(family)),
            version: Some(version.to_owned()),
            ..Self::named(name)
        }
    }

    /// The same with its bytes.
    #[must_use]
    pub fn with_digests(mut self, digests: &DigestSet) -> Self {
        self.digests = digests.clone();
        self
    }

    /// `npm lodash 4.17.20`.
    #[must_use]
    pub fn label(&self) -> String {
        let words = [self.ecosystem.as_ref().map(ToString::to_string), Some(self.name.clone())];
        let words = words.into_iter().chain([self.version.clone()]);
        words.flatten().collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn has_digest(&self, digest: &Digest) -> bool {
        self.digests.get(digest.algorithm()).is_some_and(|own| own == *digest)
    }

    /// The names under which an advisory may stand, each with the version that counts there.
    pub(crate) fn lookups(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let version = self.version.as_deref();
        let source = self.source.as_ref().filter(|(name, _)| *name != self.name);
        let source = source.map(|(name, own)| (name.as_str(), own.as_deref().or(version)));
        std::iter::once((self.name.as_str(), version)).chain(source)
    }
}
