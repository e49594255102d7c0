//! What was taken in, and what of it was reviewed: one small file each, beside the bytes by their digests.
//!
//! The folder belongs to whoever imports. Nothing here is evidence: that is the signed review.

use std::fs;
use std::path::{Path, PathBuf};

use advisory::Purl;
use attest::time::parse_time;
use attest::{Algorithm, Digest, DigestSet, Json, Object, json};
use builder::Store;
use jiff::Timestamp;

use crate::failure::Failure;
use crate::{input, keys};

/// A release of a package, with a version.
#[derive(Clone, Debug)]
pub(super) struct Package {
    /// As it was written.
    pub(super) purl: String,
    /// The same without its version: what all releases share.
    base: String,
}

/// A release that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) purl: String,
    pub(super) from: String,
    pub(super) digest: Digest,
    pub(super) fetched: Timestamp,
}

/// A release that somebody reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reviewed {
    pub(super) release: Release,
    pub(super) at: Timestamp,
}

/// The store, and the records in it.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) store: Store,
    dir: PathBuf,
}

impl Package {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |found: &str| {
            Failure::new("the package URL does not name a release")
                .line("wanted", "pkg:TYPE/NAME@VERSION, as in pkg:cargo/left-pad@1.3.0")
                .line("found", &policy::one_line(found))
        };
        let purl = Purl::parse(text).map_err(|e| wrong(&format!("{text}: {e}")))?;
        if purl.version.is_none() {
            return Err(wrong(&format!("{text}, without a version")));
        }
        let namespace = purl.namespace.map(|n| format!("{n}/")).unwrap_or_default();
        let qualifiers: String = purl.qualifiers.iter().map(|(k, v)| format!("?{k}={v}")).collect();
        let base = format!("pkg:{}/{namespace}{}{qualifiers}", purl.kind, purl.name);
        Ok(Self { purl: text.to_owned(), base })
    }
}

impl Shelf {
    pub(super) fn new(store: Store) -> Self {
        let dir = store.folder("imports");
        Self { store, dir }
    }

    fn folder(&self, package: &Package) -> PathBuf {
        self.dir.join(Digest::sha256(package.base.as_bytes()).hex())
    }

    fn release_path(&self, package: &Package, digest: &Digest) -> PathBuf {
        self.folder(package).join(format!("{}.json", digest.hex()))
    }

    fn review_path(&self, package: &Package, digest: &Digest) -> PathBuf {
        self.folder(package).join(format!("{}.reviewed.json", digest.hex()))
    }

    /// Writes down that a release was taken in.
    pub(super) fn keep(&self, package: &Package, release: &Release) -> Result<(), Failure> {
        let text = release.to_json().to_string();
        keys::write(&self.release_path(package, &release.digest), &format!("{text}\n"))
    }

    /// Writes down that a release was reviewed.
    pub(super) fn keep_review(
        &self,
        package: &Package,
        release: &Release,
        at: Timestamp,
    ) -> Result<(), Failure> {
        let text = release.to_json().with("reviewed", at.to_string()).to_string();
        keys::write(&self.review_path(package, &release.digest), &format!("{text}\n"))
    }

    /// The release of exactly this package URL; one version of a package has one content.
    pub(super) fn release(&self, package: &Package) -> Result<Option<Release>, Failure> {
        let all = self.records(package)?;
        let mut releases =
            all.into_iter().filter(|(_, reviewed)| reviewed.is_none()).map(|(release, _)| release);
        Ok(releases.find(|release| release.purl == package.purl))
    }

    /// The release of a package URL that somebody fetched, or what to do.
    pub(super) fn fetched(&self, package: &Package) -> Result<Release, Failure> {
        self.release(package)?.ok_or_else(|| {
            Failure::new(&format!("{} was not taken in", policy::one_line(&package.purl)))
                .line("fix", "fetch it first: portcullis import fetch PURL --from URL --sha256 HEX")
        })
    }

    /// The release that was reviewed last, but this one; or the one that is named.
    pub(super) fn last_reviewed(
        &self,
        package: &Package,
        but: &Digest,
        named: Option<&str>,
    ) -> Result<Option<Reviewed>, Failure> {
        let wanted = named.map(sha256).transpose()?;
        let all = self.records(package)?.into_iter();
        let reviewed = all.filter_map(|(release, at)| Some(Reviewed { release, at: at? }));
        let others = reviewed.filter(|r| r.release.digest != *but);
        let found =
            others.filter(|r| wanted.as_ref().is_none_or(|w| r.release.digest == *w)).max_by_key(|r| r.at);
        if found.is_none() && wanted.is_some() {
            return Err(Failure::new("nobody reviewed what it should be compared with")
                .line("wanted", "another release of the package that was reviewed")
                .line("found", named.unwrap_or_default()));
        }
        Ok(found)
    }

    /// The bytes of a release, hashed anew.
    pub(super) fn file(&self, digest: &Digest) -> Result<(PathBuf, DigestSet), Failure> {
        let path = self.store.path(digest);
        let found = input::digests(&path.display().to_string(), &[Algorithm::Sha512])?;
        if found.get(Algorithm::Sha256).as_ref() == Some(digest) {
            return Ok((path, found));
        }
        Err(Failure::new("the store holds other bytes than were taken in")
            .line("wanted", &digest.to_string())
            .line("found", &path.display().to_string())
            .line("fix", "find out who writes into the store, and fetch the release again"))
    }

    fn records(&self, package: &Package) -> Result<Vec<(Release, Option<Timestamp>)>, Failure> {
        let folder = self.folder(package);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let failed = |e| Failure::io("read the releases in", &folder, &e);
        let mut all = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|e| e == "json") {
                all.push(read(&path)?);
            }
        }
        Ok(all)
    }
}

impl Release {
    fn to_json(&self) -> Object {
        Object::new()
            .with("purl", self.purl.as_str())
            .with("from", self.from.as_str())
            .with("digest", self.digest.to_string())
            .with("fetched", self.fetched.to_string())
    }
}

fn read(path: &Path) -> Result<(Release, Option<Timestamp>), Failure> {
    let wrong = || {
        Failure::new(&format!("{} is no record of an import", path.display()))
            .line("fix", "remove it, and fetch the release again")
    };
    let json =
        json::parse(&input::read("record of an import", path, input::MAX_TEXT)?).map_err(|_| wrong())?;
    let object = Json::as_object(&json).map_err(|_| wrong())?;
    let text = |key: &str| object.string(key).map(str::to_owned).map_err(|_| wrong());
    let time = |key: &str| parse_time(&text(key)?).ok_or_else(wrong);
    let digest = Digest::parse(&text("digest")?).map_err(|_| wrong())?;
    let release = Release { purl: text("purl")?, from: text("from")?, digest, fetched: time("fetched")? };
    let reviewed = if object.get("reviewed").is_some() { Some(time("reviewed")?) } else { None };
    Ok((release, reviewed))
}

/// A SHA-256, with or without its name in front.
pub(super) fn sha256(text: &str) -> Result<Digest, Failure> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    Digest::from_hex(Algorithm::Sha256, hex).map_err(|e| {
        Failure::new("the digest cannot be read")
            .line("wanted", "what `sha256sum FILE` prints")
            .line("found", &format!("{}: {e}", policy::one_line(text)))
    })
}
