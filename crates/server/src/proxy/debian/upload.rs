//! From a `.changes` and the files that it names to what is deployed.

use std::collections::BTreeMap;

use attest::{Algorithm, Json, Object};
use policy::{Submitted, Unreadable};

use super::deb::{Deb, MAX_UPLOAD};
use super::listing::{Listed, Listing, is_name};
use super::pending::Waiting;
use crate::proxy::ask::Subject;
use crate::proxy::package::unreadable;

/// A list of files, or a word of the builder's.
const MAX_TEXT: u64 = 4 << 20;
/// All words of the builder's together: each package of the upload is judged with them.
const MAX_EVIDENCE: u64 = 16 << 20;

/// All that one `.changes` names, as it was held.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) changes: Listing,
    pub(super) files: Vec<(String, Waiting)>,
}

impl Upload {
    /// Pairs what is named with what is held: exactly these bytes, or none of it.
    pub(super) fn of(
        changes: Listing,
        waiting: impl Fn(&str) -> Option<Waiting>,
    ) -> Result<Self, Unreadable> {
        let mut files = Vec::new();
        for listed in &changes.files {
            let found = waiting(&listed.name);
            check(listed, found.as_ref())?;
            files.extend(found.map(|waiting| (listed.name.clone(), waiting)));
        }
        Ok(Self { changes, files })
    }

    /// What each package of it deploys, without the evidence that came along. `vendor` is whose packages they are.
    pub(super) fn subjects(&self, vendor: &str) -> Result<Vec<Subject>, Unreadable> {
        let [suite] = self.changes.suites.as_slice() else {
            let found = self.changes.suites.join(" ");
            return Err(unreadable("Distribution", "the upload is not for one suite", "one", &found));
        };
        let sources = self.sources()?;
        let (mut subjects, mut left) = (Vec::new(), MAX_UPLOAD);
        for (file, waiting) in &self.files {
            let (name, kind) = match file.rsplit_once('.').map(|(_, ending)| ending) {
                Some("deb") => (self.package(file, waiting, &mut left)?, ""),
                Some("dsc") => (self.changes.source.clone(), "?arch=source"),
                Some("buildinfo") => continue,
                _ if sources.contains_key(file.as_str()) => continue,
                _ => {
                    let wanted = "packages (.deb, .dsc), what a .dsc names, and .buildinfo";
                    return Err(unreadable(file, "nobody here knows what this file is", wanted, file));
                }
            };
            let body = Object::new().with("file", file.as_str()).with("suite", suite.as_str());
            subjects.push(Subject {
                name: format!("{suite}/{name}"),
                uri: format!("pkg:deb/{vendor}/{}{kind}", name.replace('+', "%2B")),
                digests: waiting.held.digests().clone(),
                body: Some(Json::from(body.with("source", self.changes.source.as_str()))),
                ..Subject::default()
            });
        }
        if subjects.is_empty() {
            return Err(unreadable("", "the upload has no package", "a .deb or a .dsc", ""));
        }
        Ok(subjects)
    }

    /// The name of a binary package: its own, which that of the file must fit.
    fn package(&self, file: &str, waiting: &Waiting, left: &mut u64) -> Result<String, Unreadable> {
        let deb = Deb::read(&waiting.held, left)
            .map_err(|why| unreadable(file, "the package cannot be read", "what dpkg-deb makes", &why))?;
        if !is_name(&deb.name) || deb.file_name() != file {
            let wanted = format!("{}, as its control file says", deb.file_name());
            return Err(unreadable(file, "the file is named after another package", &wanted, file));
        }
        Ok(deb.name)
    }

    /// The files that source packages of it are made of: all of them came along, as they are listed.
    fn sources(&self) -> Result<BTreeMap<&str, &Waiting>, Unreadable> {
        let mut sources = BTreeMap::new();
        for (file, waiting) in self.files.iter().filter(|(file, _)| file.ends_with(".dsc")) {
            let listing = Listing::read(file, &text(file, waiting)?)?;
            if listing.source != self.changes.source {
                return Err(unreadable(
                    file,
                    "this is another source package",
                    &self.changes.source,
                    &listing.source,
                ));
            }
            for listed in &listing.files {
                let found = self.files.iter().find(|(name, _)| *name == listed.name);
                check(listed, found.map(|(_, waiting)| waiting))?;
                sources.extend(found.map(|(name, waiting)| (name.as_str(), waiting)));
            }
        }
        Ok(sources)
    }

    /// What the builder says of the packages, where it came along and is signed.
    pub(super) fn evidence(&self) -> Result<Vec<Submitted>, Unreadable> {
        let all: Vec<_> = self.files.iter().filter(|(file, _)| file.ends_with(".buildinfo")).collect();
        let length: u64 = all.iter().map(|(_, waiting)| waiting.held.length()).sum();
        if length > MAX_EVIDENCE {
            let (wanted, found) = (format!("at most {MAX_EVIDENCE} bytes"), format!("{length} bytes"));
            return Err(unreadable(".buildinfo", "these files are too large together", &wanted, &found));
        }
        let read = all
            .into_iter()
            .map(|(file, waiting)| Ok(Submitted { name: file.clone(), bytes: text(file, waiting)? }));
        let read: Result<Vec<Submitted>, Unreadable> = read.collect();
        let is_signed = |one: &Submitted| one.bytes.starts_with(attest::openpgp::SIGNED_MESSAGE.as_bytes());
        Ok(read?.into_iter().filter(is_signed).collect())
    }
}

fn check(listed: &Listed, found: Option<&Waiting>) -> Result<(), Unreadable> {
    let wanted = format!("{} bytes with {}", listed.size, listed.digest);
    let wrong = |what: &str, found: &str| Err(unreadable(&listed.name, what, &wanted, found));
    let Some(waiting) = found else { return wrong("a file that is listed did not come", "") };
    let digest = waiting.held.digests().get(Algorithm::Sha256);
    if digest.as_ref() != Some(&listed.digest) || waiting.held.length() != listed.size {
        let found = digest.map(|digest| digest.to_string()).unwrap_or_default();
        return wrong("a file is another one than is listed", &found);
    }
    Ok(())
}

fn text(file: &str, waiting: &Waiting) -> Result<Vec<u8>, Unreadable> {
    let read = waiting.held.bytes(MAX_TEXT);
    read.map_err(|e| unreadable(file, "the file is too large", &format!("{MAX_TEXT} bytes"), &e.to_string()))
}
