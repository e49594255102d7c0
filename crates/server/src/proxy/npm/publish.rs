//! From the document that `npm publish` puts to what it deploys: one version, with the archive of its files inside.

use attest::json::{Limits, ShapeError};
use attest::{Algorithm, Digest, DigestSet, Json, Object};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use policy::{Submitted, Unreadable};

use super::name::{Name, is_tag};
use super::tarball::{difference, package_json};
use crate::proxy::ask::Subject;
use crate::proxy::package::unreadable;

/// What a document may have: whatever else a registry takes from it is not known here.
const KNOWN: [&str; 10] = [
    "_id",
    "name",
    "description",
    "dist-tags",
    "versions",
    "access",
    "_attachments",
    "readme",
    "readmeFilename",
    "maintainers",
];

fn wrong(place: &str, what: &str, wanted: &str, found: &str) -> Unreadable {
    unreadable(place, what, wanted, found)
}

fn shape(e: &ShapeError) -> Unreadable {
    wrong("", "the document has another shape", "what `npm publish` writes", &e.to_string())
}

/// One version of a package, as a document says it.
struct Publication<'a> {
    name: &'a Name,
    version: &'a str,
    manifest: &'a Object,
    attachments: &'a Object,
}

/// What a document deploys under this name.
pub(super) fn subject(name: &Name, text: &[u8]) -> Result<Subject, Unreadable> {
    let limits = Limits { bytes: text.len(), ..Limits::default() }.exact();
    let read = attest::json::parse_with(text, limits).map_err(|e| {
        wrong(
            "",
            "the document cannot be read",
            "JSON with one meaning, as `npm publish` writes it",
            &e.to_string(),
        )
    })?;
    let document = read.as_object().map_err(|e| shape(&e))?;
    let publication = Publication::read(name, document)?;
    let tarball = publication.tarball()?;
    let digests = publication.digests(&tarball)?;
    publication.check_package(&tarball)?;
    let body = Object::new().with("publish", name.as_str()).with("version", publication.version);
    Ok(Subject {
        name: name.as_str().to_owned(),
        uri: name.uri(),
        digests,
        body: Some(Json::from(body.with("dist-tags", Json::from(tags(document)?.clone())))),
        envelopes: publication.provenance()?,
        unreadable: Vec::new(),
    })
}

fn tags(document: &Object) -> Result<&Object, Unreadable> {
    document.object("dist-tags").map_err(|e| shape(&e))
}

impl<'a> Publication<'a> {
    fn read(name: &'a Name, document: &'a Object) -> Result<Self, Unreadable> {
        let attachments = document.optional_object("_attachments").map_err(|e| shape(&e))?;
        let Some(attachments) = attachments.filter(|attachments| !attachments.is_empty()) else {
            let wanted = "`npm publish` of a new version; deprecating, unpublishing and owners are for the registry's keepers";
            return Err(wrong("_attachments", "the document changes what is published already", wanted, ""));
        };
        if let Some((key, _)) = document.iter().find(|(key, _)| !KNOWN.contains(key)) {
            return Err(wrong(
                key,
                "the document has a field that nobody knows here",
                &KNOWN.join(", "),
                key,
            ));
        }
        let found = document.string("name").map_err(|e| shape(&e))?;
        let id = document.optional_string("_id").map_err(|e| shape(&e))?.unwrap_or(found);
        if let Some(other) = [found, id].into_iter().find(|other| *other != name.as_str()) {
            return Err(wrong(
                "name",
                "the document is of another package than its address",
                name.as_str(),
                other,
            ));
        }
        let versions = document.object("versions").map_err(|e| shape(&e))?;
        let mut all = versions.iter();
        let (Some((version, manifest)), None) = (all.next(), all.next()) else {
            let found = format!("{} versions", versions.len());
            return Err(wrong("versions", "the document has not exactly one version", "one", &found));
        };
        if semver::Version::parse(version).is_err() || version.len() > 255 {
            return Err(wrong("versions", "this is no version", "MAJOR.MINOR.PATCH", version));
        }
        let manifest = manifest.as_object().map_err(|e| shape(&e))?;
        for (tag, value) in tags(document)?.iter() {
            if !is_tag(tag) || value != &Json::from(version) {
                let found = format!("{tag}: {value}");
                return Err(wrong("dist-tags", "a tag names another version", version, &found));
            }
        }
        Ok(Self { name, version, manifest, attachments })
    }

    /// The bytes of the archive: the first attachment, because that is the one that registries take.
    fn tarball(&self) -> Result<Vec<u8>, Unreadable> {
        let (file, bundle) = (self.called(".tgz"), self.called(".sigstore"));
        let keys: Vec<&str> = self.attachments.iter().map(|(key, _)| key).collect();
        if keys != [file.as_str()] && keys != [file.as_str(), bundle.as_str()] {
            let wanted = format!("{file}, and behind it no more than {bundle}");
            return Err(wrong("_attachments", "the document brings other files", &wanted, &keys.join(", ")));
        }
        let attachment = self.attachments.object(&file).map_err(|e| shape(&e))?;
        let text = attachment.string("data").map_err(|e| shape(&e))?;
        let bytes = STANDARD.decode(text).map_err(|e| {
            wrong("_attachments", "the archive is not in base64", "base64 as RFC 4648 has it", &e.to_string())
        })?;
        let length = attachment.int("length").map_err(|e| shape(&e))?;
        if usize::try_from(length) != Ok(bytes.len()) {
            let wanted = format!("{} bytes", bytes.len());
            return Err(wrong(
                "_attachments",
                "the archive has another length",
                &wanted,
                &length.to_string(),
            ));
        }
        Ok(bytes)
    }

    /// The digests of the archive, which those in the document must fit: installers go by them.
    fn digests(&self, tarball: &[u8]) -> Result<DigestSet, Unreadable> {
        let (sha256, sha512) = (Digest::sha256(tarball), digest(&aws_lc_rs::digest::SHA512, tarball));
        let integrity = format!("sha512-{}", STANDARD.encode(sha512.as_ref()));
        let shasum = attest::digest::to_hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, tarball).as_ref());
        let said = self.manifest.object("dist").map_err(|e| shape(&e))?;
        let found = said.string("integrity").map_err(|e| shape(&e))?;
        if found != integrity {
            return Err(wrong("dist.integrity", "the archive has another digest", &integrity, found));
        }
        let found = said.optional_string("shasum").map_err(|e| shape(&e))?.unwrap_or(&shasum);
        if found != shasum {
            return Err(wrong("dist.shasum", "the archive has another digest", &shasum, found));
        }
        let path = format!("/{}/-/{}-{}.tgz", self.name.as_str(), self.name.short(), self.version);
        let long = format!("/{}/-/{}", self.name.as_str(), self.called(".tgz"));
        let found = said.optional_string("tarball").map_err(|e| shape(&e))?.unwrap_or(&path);
        let plain = found.replacen("%2f", "/", 2);
        if !plain.ends_with(&path) && !plain.ends_with(&long) {
            return Err(wrong("dist.tarball", "the archive is said to lie elsewhere", &path, found));
        }
        let sha512 = Digest::from_bytes(Algorithm::Sha512, sha512.as_ref().to_vec());
        Ok([Some(sha256), sha512.ok()].into_iter().flatten().collect())
    }

    /// The archive is of this package, and needs what the document says that it needs.
    fn check_package(&self, tarball: &[u8]) -> Result<(), Unreadable> {
        let package = package_json(tarball).map_err(|why| {
            wrong("_attachments", "the archive cannot be read", "what `npm pack` makes", &why)
        })?;
        for (key, wanted) in [("name", self.name.as_str()), ("version", self.version)] {
            let of_package = package.string(key).unwrap_or_default();
            let of_manifest = self.manifest.string(key).unwrap_or_default();
            if let Some(found) = [of_package, of_manifest].into_iter().find(|found| *found != wanted) {
                return Err(wrong(key, "the archive is of another package", wanted, found));
            }
        }
        match difference(self.manifest, &package) {
            None => Ok(()),
            Some(key) => {
                let wanted = format!("what package.json in the archive says of {key}");
                Err(wrong(
                    key,
                    "the document says something else than the archive",
                    &wanted,
                    "something else",
                ))
            }
        }
    }

    /// The provenance that npm put beside the archive.
    fn provenance(&self) -> Result<Vec<Submitted>, Unreadable> {
        let name = self.called(".sigstore");
        let Some(attachment) = self.attachments.get(&name) else { return Ok(Vec::new()) };
        let text = attachment.as_object().and_then(|a| a.string("data")).map_err(|e| shape(&e))?;
        Ok(vec![Submitted { name, bytes: text.as_bytes().to_vec() }])
    }

    /// A file's name, as npm calls those of a version.
    fn called(&self, ending: &str) -> String {
        format!("{}-{}{ending}", self.name.as_str(), self.version)
    }
}

/// What is put on record where a document cannot be read.
pub(super) fn nameless(name: &Name, unreadable: Unreadable) -> Subject {
    Subject {
        name: name.as_str().to_owned(),
        uri: name.uri(),
        unreadable: vec![unreadable],
        ..Subject::default()
    }
}
