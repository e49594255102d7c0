//! The builds that were given or lie in a store, by what came out of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use attest::{Agreement, Algorithm, Digest, DigestSet, Envelope};
use policy::Submitted;

use crate::failure::Failure;
use crate::input;
use crate::trust::{Proven, Trusted};

/// How an artifact came to be, as far as the library knows.
#[derive(Debug)]
pub(super) enum Maker {
    /// One build.
    Build(Rc<Proven>),
    /// No bundle is about it.
    Unknown,
    /// Bundles are, and none of them proves a build; why.
    NotProven(String),
}

/// Bundles, opened.
#[derive(Debug)]
pub(super) struct Library<'a> {
    trusted: &'a Trusted,
    store: Option<&'a Path>,
    builds: Vec<Rc<Proven>>,
    by_digest: BTreeMap<Digest, Vec<usize>>,
    unproven: Vec<Unproven>,
    seen: BTreeSet<Digest>,
    looked_up: BTreeSet<Digest>,
}

#[derive(Debug)]
struct Unproven {
    file: String,
    why: String,
    subjects: Vec<DigestSet>,
}

impl<'a> Library<'a> {
    pub(super) fn new(trusted: &'a Trusted, store: Option<&'a Path>) -> Self {
        Self {
            trusted,
            store,
            builds: Vec::new(),
            by_digest: BTreeMap::new(),
            unproven: Vec::new(),
            seen: BTreeSet::new(),
            looked_up: BTreeSet::new(),
        }
    }

    /// Takes a bundle in. The same bytes twice count once.
    pub(super) fn add(&mut self, submitted: &Submitted) {
        if !self.seen.insert(Digest::sha256(&submitted.bytes)) {
            return;
        }
        match self.trusted.prove(submitted) {
            Ok(proven) => {
                for digest in proven.subjects.iter().flat_map(|s| s.digests.iter()) {
                    self.by_digest.entry(digest).or_default().push(self.builds.len());
                }
                self.builds.push(Rc::new(proven));
            }
            Err(why) => {
                let subjects = Envelope::parse(&submitted.bytes).map(|e| e.unproven_subjects());
                let (file, subjects) = (submitted.name.clone(), subjects.unwrap_or_default());
                self.unproven.push(Unproven { file, why, subjects });
            }
        }
    }

    /// Every build that was taken in.
    pub(super) fn builds(&self) -> &[Rc<Proven>] {
        &self.builds
    }

    /// Why bundles prove nothing, each with its file.
    pub(super) fn unproven(&self) -> impl Iterator<Item = (&str, &str)> {
        self.unproven.iter().map(|u| (u.file.as_str(), u.why.as_str()))
    }

    /// How an artifact came to be. Two builds that both claim it are as good as none (the chapter, "Ensure Unambiguous
    /// Provenance"); a rebuilder's record beside the builder's is no second claim.
    pub(super) fn maker(&mut self, digests: &DigestSet) -> Result<Maker, Failure> {
        self.look_up(digests)?;
        let found: BTreeSet<usize> =
            digests.iter().filter_map(|d| self.by_digest.get(&d)).flatten().copied().collect();
        let is_about =
            |proven: &Proven| proven.subjects.iter().any(|s| s.digests.agrees(digests) == Agreement::Same);
        let found = found.into_iter().filter_map(|index| self.builds.get(index)).filter(|p| is_about(p));
        let mut builds: Vec<&Rc<Proven>> = found.collect();
        if builds.len() > 1 {
            let has_builder = builds.iter().any(|p| !p.is_rebuild);
            builds.retain(|p| !has_builder || !p.is_rebuild);
        }
        match builds.as_slice() {
            [one] => Ok(Maker::Build(Rc::clone(one))),
            [] => Ok(self.why_not(digests)),
            several => {
                let files: Vec<&str> = several.iter().map(|p| p.file.as_str()).collect();
                Ok(Maker::NotProven(format!("{} records claim it: {}", several.len(), files.join(", "))))
            }
        }
    }

    fn why_not(&self, digests: &DigestSet) -> Maker {
        let is_about = |u: &&Unproven| {
            let is_named = digests.iter().any(|d| u.file.contains(&d.hex()));
            is_named || u.subjects.iter().any(|s| s.agrees(digests) == Agreement::Same)
        };
        match self.unproven.iter().find(is_about) {
            Some(u) => Maker::NotProven(format!("{}: {}", u.file, u.why)),
            None => Maker::Unknown,
        }
    }

    /// The store keeps a bundle under the digest of what came out.
    fn look_up(&mut self, digests: &DigestSet) -> Result<(), Failure> {
        let Some((store, digest)) = self.store.zip(digests.get(Algorithm::Sha256)) else { return Ok(()) };
        if !self.looked_up.insert(digest.clone()) {
            return Ok(());
        }
        let path = stored(store, &digest);
        if path.exists() {
            self.add(&input::bundle(&path)?);
        }
        Ok(())
    }
}

/// Where a store keeps the provenance of an artifact.
fn stored(store: &Path, digest: &Digest) -> PathBuf {
    store.join("provenance").join(format!("{}.sigstore.json", digest.hex()))
}
