//! From names to digests: what `portcullis builder lock` does.
//!
//! Each ecosystem's own lock file says which bytes it means, in its own way. Here every one of those files is fetched
//! once, compared with what its ecosystem says, and written down with its URI and SHA-256. A build then needs neither
//! the ecosystem's tools nor its registry: it takes exactly these bytes, or fails.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use attest::Digest;
use attest::yaml::{LoadError, Place};

use crate::definition::{Base, BuildDefinition, Input};
use crate::fetch::Fetcher;
use crate::locked::{LOCK_FILE, Locked, MAX_INPUTS, MadeFor};
use crate::store::Store;

pub mod cargo;
mod debian;
mod error;
pub mod go;
mod go_hash;
pub mod npm;
pub mod pip;
mod wanted;

pub use debian::SUITE;
pub use error::LockError;
pub use wanted::{Check, Wanted};

/// A lock file is smaller; npm's are the largest.
const MAX_LOCK_FILE: u64 = 16 << 20;
/// One file of an ecosystem without a SHA-256 of its own, held in memory while it is checked.
const MAX_FILE: u64 = 1 << 30;
/// PyPI's page about one project.
const MAX_ANSWER: u64 = 64 << 20;

/// Turns the names of a definition into files.
pub struct Resolver<'a> {
    /// The folder of the definition.
    pub source: &'a Path,
    /// Where the files go.
    pub store: &'a Store,
    /// What fetches them.
    pub fetcher: &'a dyn Fetcher,
    /// What stood in the lock file before: a file known there and in the store is not fetched again.
    pub previous: &'a Locked,
    /// Hears what is being done.
    pub progress: &'a dyn Fn(&str),
}

impl std::fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Resolver<'_> {
    /// Resolves everything that a definition names, and puts it into the store.
    ///
    /// # Errors
    /// [`LockError`]; the store may then hold files that nothing names yet.
    pub fn resolve(&self, definition: &BuildDefinition) -> Result<Locked, LockError> {
        let mut wanted = Vec::new();
        for (ecosystem, from) in &definition.lock {
            match ecosystem.as_str() {
                "cargo" => wanted.extend(cargo::read(from, &self.read(from)?).map_err(LockError::Files)?),
                "npm" => wanted.extend(npm::read(from, &self.read(from)?).map_err(LockError::Files)?),
                "go" => wanted.extend(go::read(from, &self.read(from)?).map_err(LockError::Files)?),
                "pip" => wanted.extend(self.releases(from)?),
                _ => {}
            }
        }
        let debian = self.debian(definition)?;
        let mut locked = Locked::default();
        let total = wanted.len() + debian.packages.len() + debian.source.len();
        if total > MAX_INPUTS {
            return Err(LockError::TooMany(total));
        }
        for (number, package) in (1..).zip(&debian.packages) {
            self.count(number, total, &package.uri);
            locked.toolchain.push(self.take(String::new(), package)?);
        }
        for (number, package) in (debian.packages.len() + 1..).zip(&debian.source) {
            self.count(number, total, &package.uri);
            locked.inputs.push(self.take(format!("debian/{}", package.file()), package)?);
        }
        if debian.has_database {
            let packages = debian.packages.iter().zip(&locked.toolchain);
            let named =
                packages.map(|(p, input)| Input { name: format!("debs/{}", p.file()), ..input.clone() });
            locked.inputs.extend(named.collect::<Vec<_>>());
        }
        self.by_hand(definition)?;
        let done = debian.packages.len() + debian.source.len();
        let known: BTreeMap<&str, &Digest> =
            self.previous.inputs.iter().map(|i| (i.uri.as_str(), &i.digest)).collect();
        for (number, file) in (done + 1..).zip(wanted) {
            self.count(number, total, &file.uri);
            let digest = self.obtain(&file, known.get(file.uri.as_str()).copied())?;
            locked.inputs.push(Input { uri: file.uri, digest, name: file.name, built_by: None });
        }
        locked.inputs.sort_by(|a, b| a.name.cmp(&b.name));
        locked.made_for = Some(MadeFor::new(definition, self.files(definition)?));
        check_names(definition, &locked)?;
        // a build reads it strictly: what it would refuse is not written
        Locked::parse(LOCK_FILE, &locked.to_text()).map_err(LockError::Files)
    }

    /// What the definition declares by hand is pinned there already: it is only brought into the store, where it can be.
    /// Another build's artifact comes with its provenance, which a build looks at.
    fn by_hand(&self, definition: &BuildDefinition) -> Result<(), LockError> {
        let archive = match &definition.toolchain.base {
            Base::Archive(archive) => Some(archive),
            Base::Debian { .. } | Base::Nothing => None,
        };
        for input in definition.inputs.iter().chain(archive) {
            if input.built_by.is_none() && input.uri.starts_with("https://") {
                (self.progress)(&format!("by hand {}", input.uri));
                self.store.fetch(input, self.fetcher).map_err(LockError::Store)?;
            }
        }
        Ok(())
    }

    /// The files that the definition's `lock` names, as they are now.
    fn files(&self, definition: &BuildDefinition) -> Result<Vec<(String, Digest)>, LockError> {
        let is_file =
            |ecosystem: &str, from: &str| ecosystem != "debian-source" || from.ends_with("debian/control");
        let named = definition.lock.iter().filter(|(ecosystem, from)| is_file(ecosystem, from));
        named.map(|(_, from)| Ok((from.clone(), Digest::sha256(self.read(from)?.as_bytes())))).collect()
    }

    fn count(&self, number: usize, total: usize, uri: &str) {
        let file = uri.rsplit('/').next().unwrap_or(uri);
        (self.progress)(&format!("{number}/{total} {file}"));
    }

    /// An ecosystem's lock file, beside the definition.
    fn read(&self, name: &str) -> Result<String, LockError> {
        let path = self.source.join(name);
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => LockError::NoFile(name.to_owned()),
            _ => LockError::Io(path.clone(), e),
        };
        let mut bytes = Vec::new();
        fs::File::open(&path)
            .and_then(|f| f.take(MAX_LOCK_FILE + 1).read_to_end(&mut bytes))
            .map_err(failed)?;
        if u64::try_from(bytes.len()).is_ok_and(|n| n > MAX_LOCK_FILE) {
            return Err(LockError::Io(path, io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        String::from_utf8(bytes).map_err(|_| {
            let place = Place { file: name.into(), line: 1, column: 1 };
            LockError::Files(vec![LoadError::new(&place, "the file is no text")])
        })
    }

    /// The files of Python releases: their URIs stand in PyPI's answers only.
    fn releases(&self, from: &str) -> Result<Vec<Wanted>, LockError> {
        let pinned = pip::read(from, &self.read(from)?).map_err(LockError::Files)?;
        let mut wanted = Vec::new();
        for requirement in &pinned {
            (self.progress)(&format!("asking for {} {}", requirement.name, requirement.version));
            let answer = self.fetcher.get(&requirement.index(), MAX_ANSWER).map_err(LockError::Fetch)?;
            let page = String::from_utf8_lossy(&answer);
            wanted.extend(requirement.choose(&page).map_err(|e| LockError::Files(vec![*e]))?);
        }
        Ok(wanted)
    }

    /// A file whose SHA-256 is known before it is fetched.
    fn take(&self, name: String, package: &debian::Package) -> Result<Input, LockError> {
        let input = Input { uri: package.uri.clone(), digest: package.digest.clone(), name, built_by: None };
        self.store.fetch(&input, self.fetcher).map_err(LockError::Store)?;
        Ok(input)
    }

    /// The SHA-256 of a file that is what its ecosystem says, from the store or fetched into it.
    fn obtain(&self, file: &Wanted, known: Option<&Digest>) -> Result<Digest, LockError> {
        if let Some(digest) = file.check.sha256() {
            let (uri, digest) = (file.uri.clone(), digest.clone());
            let input = Input { uri, digest: digest.clone(), name: file.name.clone(), built_by: None };
            self.store.fetch(&input, self.fetcher).map_err(LockError::Store)?;
            return Ok(digest);
        }
        // what stands in the store under a digest may have been edited: it is hashed as it is read
        let kept = known.and_then(|digest| {
            let bytes = fs::read(self.store.path(digest)).ok()?;
            let is_good = Digest::sha256(&bytes) == *digest && file.check.refuse(&bytes).is_none();
            // a lock file may claim any digest for any URI
            (is_good && self.store.is_from(digest, &file.uri)).then(|| digest.clone())
        });
        if let Some(digest) = kept {
            return Ok(digest);
        }
        let bytes = self.fetcher.get(&file.uri, MAX_FILE).map_err(LockError::Fetch)?;
        if let Some(why) = file.check.refuse(&bytes) {
            return Err(LockError::Content { uri: file.uri.clone(), why, place: file.place.clone() });
        }
        self.store.put_bytes(&file.uri, &bytes).map_err(LockError::Store)
    }

    fn debian(&self, definition: &BuildDefinition) -> Result<Debian, LockError> {
        let Base::Debian { suite, packages } = &definition.toolchain.base else {
            return Ok(Debian::default());
        };
        let suite = suite.as_deref().unwrap_or(SUITE);
        let source = definition.lock.iter().find(|(ecosystem, _)| ecosystem == "debian-source");
        (self.progress)(&format!("asking apt for the packages of {suite}"));
        let folder = self.store.folder("apt").join(suite);
        let apt = debian::Apt::update(&folder, suite, source.is_some())?;
        let mut found = Debian { packages: apt.packages(packages)?, ..Debian::default() };
        if let Some((_, of)) = source {
            let is_folder = of.ends_with("debian/control");
            let what = if is_folder { "./" } else { of.as_str() };
            let beside = self.source.join(of.strip_suffix("debian/control").unwrap_or_default());
            for package in apt.build_dependencies(what, &beside)? {
                if !found.packages.contains(&package) {
                    found.packages.push(package);
                }
            }
            found.source = if is_folder { Vec::new() } else { apt.source(of)? };
            found.has_database = true;
        }
        Ok(found)
    }
}

/// What comes from Debian's archive.
#[derive(Default)]
struct Debian {
    packages: Vec<debian::Package>,
    source: Vec<debian::Package>,
    /// Whether the packages are wanted as inputs too: dpkg's own tools ask what is installed.
    has_database: bool,
}

/// An input declared by hand and one that was resolved cannot stand in the same place.
fn check_names(definition: &BuildDefinition, locked: &Locked) -> Result<(), LockError> {
    let twice =
        definition.inputs.iter().find(|input| locked.inputs.iter().any(|other| other.name == input.name));
    twice.map_or(Ok(()), |input| Err(LockError::Twice(input.name.clone())))
}
