//! The same evidence from an OCI image layout in a folder, as `oras copy --to-oci-layout` and `cosign save` write it.
//!
//! The folder can be anybody's: every name in it that is opened is made of a digest, and no link is followed.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use attest::{Digest, json};

use crate::answer::{Answer, Unknown, Why};
use crate::document::{Descriptor, Document, Fetched, INDEX};
use crate::evidence::{self, Evidence, Source, Wanted};
use crate::limits::Limits;
use crate::referrers::tag_of;
use crate::session::check;

const MARKER: &str = "oci-layout";
const VERSION: &str = "1.0.0";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What `cosign save` writes beside a manifest, and the end of the tag that it stands for.
const COSIGN_KIND: &str = "kind";
const ATTESTATIONS: &str = "dev.cosignproject.cosign/atts";
const COSIGN_KINDS: [(&str, &str); 2] = [("dev.cosignproject.cosign/sigs", ".sig"), (ATTESTATIONS, ".att")];

/// An image layout in a folder.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    limits: Limits,
    manifests: Vec<Descriptor>,
}

/// A folder is no image layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutError {
    /// The file in it.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: Why,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}
impl std::error::Error for LayoutError {}

impl Layout {
    /// Opens a layout: its marker and its index.
    ///
    /// # Errors
    /// [`LayoutError`] naming the file.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, LayoutError> {
        let at = |name: &str| path.join(name);
        let failed = |name: &str, why| LayoutError { path: at(name), why };
        let missing = |name: &str| failed(name, Why::File("there is no such file".to_owned()));
        let marker = read(&at(MARKER), 4096).map_err(|why| failed(MARKER, why))?;
        let marker = json::parse(&marker.ok_or_else(|| missing(MARKER))?).ok();
        let version = marker.as_ref().and_then(|m| m.as_object().ok()?.string("imageLayoutVersion").ok());
        if version != Some(VERSION) {
            return Err(failed(MARKER, Why::File(format!("wanted imageLayoutVersion {VERSION}"))));
        }
        let name = "index.json";
        let index = read(&at(name), limits.manifest).map_err(|why| failed(name, why))?;
        let index = index.ok_or_else(|| missing(name))?;
        match Document::parse(&index, Some(INDEX)) {
            Ok(Document::Index { manifests, .. }) if manifests.len() <= limits.referrers => {
                Ok(Self { root: path.to_owned(), limits, manifests })
            }
            Ok(Document::Index { .. }) => Err(failed(name, Why::TooMany("manifests", limits.referrers))),
            Ok(_) => Err(failed(name, Why::File("it is no list".to_owned()))),
            Err(e) => Err(failed(name, Why::Document(e))),
        }
    }

    /// The evidence in it that is attached to an image.
    pub fn evidence_for(&self, image: &Digest, wanted: &Wanted) -> Answer<Evidence> {
        Answer::of(evidence::evidence(self, image, wanted, &self.limits))
    }

    /// The attestations of cosign 2 in it, whatever image they are attached to: for whoever names the layout and no image.
    pub fn attestations(&self) -> Answer<Evidence> {
        let is_wanted =
            |one: &&Descriptor| one.annotations.get(COSIGN_KIND).map(String::as_str) == Some(ATTESTATIONS);
        let manifests = self.manifests.iter().filter(is_wanted).map(|one| self.fetched(one));
        let manifests: Result<Vec<Fetched>, Unknown> = manifests.collect();
        Answer::of(manifests.and_then(|found| evidence::everything_in(self, &found, &self.limits)))
    }

    fn bytes(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, Unknown> {
        let failed = |why| Unknown::new(&self.name(digest), why);
        let blobs = self.root.join("blobs").join(digest.algorithm().name());
        for folder in [self.root.join("blobs"), blobs.clone()] {
            let is_link = fs::symlink_metadata(&folder).is_ok_and(|m| m.is_symlink());
            if is_link {
                return Err(failed(Why::File(format!("{} is a link", folder.display()))));
            }
        }
        let Some(bytes) = read(&blobs.join(digest.hex()), limit).map_err(failed)? else { return Ok(None) };
        check(&bytes, digest).map_err(failed)?;
        Ok(Some(bytes))
    }

    fn fetched(&self, descriptor: &Descriptor) -> Result<Fetched, Unknown> {
        let digest = &descriptor.digest;
        let missing = || Unknown::new(&self.name(digest), Why::Missing(digest.clone()));
        let bytes = self.bytes(digest, self.limits.manifest)?.ok_or_else(missing)?;
        Ok(Fetched { bytes, digest: digest.clone(), media_type: Some(descriptor.media_type.clone()) })
    }
}

impl Source for Layout {
    fn by_digest(&self, digest: &Digest) -> Result<Option<Fetched>, Unknown> {
        let bytes = self.bytes(digest, self.limits.manifest)?;
        Ok(bytes.map(|bytes| Fetched { bytes, digest: digest.clone(), media_type: None }))
    }

    /// By the name that a pusher gave, whole or after the repository's; or by what cosign says that it is. Signatures
    /// of another image in the same layout come too, and verify for that one alone.
    fn by_tag(&self, tag: &str) -> Result<Option<Fetched>, Unknown> {
        let is_named = |one: &&Descriptor| {
            let name = one.annotations.get(REF_NAME).map(String::as_str).unwrap_or_default();
            let kind = one.annotations.get(COSIGN_KIND).map(String::as_str).unwrap_or_default();
            name.rsplit(':').next() == Some(tag)
                || COSIGN_KINDS.iter().any(|(wanted, end)| kind == *wanted && tag.ends_with(end))
        };
        self.manifests.iter().find(is_named).map(|found| self.fetched(found)).transpose()
    }

    fn blob(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, Unknown> {
        self.bytes(digest, limit)
    }

    /// Every manifest that says itself what it refers to, and those that a list under the image's tag names.
    fn referrers(&self, image: &Digest) -> Result<Vec<Descriptor>, Unknown> {
        let mut found = Vec::new();
        for one in &self.manifests {
            let fetched = self.fetched(one)?;
            let failed = |e| Unknown::new(&self.name(&one.digest), Why::Document(e));
            if let Document::Manifest { subject, artifact_type, .. } = fetched.document().map_err(failed)?
                && subject.is_some_and(|s| s.digest == *image)
            {
                found.push(Descriptor { artifact_type, ..one.clone() });
            }
        }
        if let Some(fetched) = self.by_tag(&tag_of(image))?
            && let Ok(Document::Index { manifests, .. }) = fetched.document()
        {
            found.extend(manifests);
        }
        Ok(found)
    }

    fn name(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.root.display())
    }
}

/// A file's bytes, at most `limit` of them; nothing where there is none. Links and devices are not read.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Why> {
    let failed = |e: std::io::Error| Why::File(e.to_string());
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    if !metadata.is_file() {
        return Err(Why::File("it is no file".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|n| n > limit) {
        return Err(Why::TooLarge(limit));
    }
    Ok(Some(bytes))
}
