//! From a form to what it deploys.

use std::io::{self, Read as _};

use attest::json::Limits;
use attest::{Algorithm, Digest, DigestSet, Json, Object};
use aws_lc_rs::digest::{Context, SHA256, SHA512};
use blake2::digest::Digest as _;
use blake2::digest::consts::U32;
use policy::{Submitted, Unreadable};

use super::distribution::{Distribution, normalized};
use super::form::{FormError, FormPart};
use super::wheel;
use crate::proxy::ask::Subject;
use crate::proxy::hold::{Held, Part};
use crate::proxy::package::{LONGEST, unreadable};

/// Evidence that comes with an upload.
const MAX_ATTESTATIONS: u64 = 8 << 20;
/// Metadata that is a list comes in a field for each item; all else stands there once.
const LISTS: [&str; 17] = [
    "classifiers",
    "dynamic",
    "import_names",
    "import_namespaces",
    "license_file",
    "license_files",
    "obsoletes",
    "obsoletes_dist",
    "platform",
    "project_urls",
    "provides",
    "provides_dist",
    "provides_extra",
    "requires",
    "requires_dist",
    "requires_external",
    "supported_platform",
];

type Blake2b256 = blake2::Blake2b<U32>;

/// A form, read as an upload.
pub(super) struct Upload<'a> {
    held: &'a Held,
    parts: &'a [FormPart],
}

/// What the fields say together.
struct Named<'a> {
    name: String,
    version: String,
    file: &'a FormPart,
    file_name: &'a str,
}

impl<'a> Upload<'a> {
    pub(super) fn of(held: &'a Held, parts: &'a [FormPart]) -> Self {
        Self { held, parts }
    }

    /// What it deploys.
    pub(super) fn subject(&self) -> Result<Subject, FormError> {
        self.check_fields()?;
        let named = self.named()?;
        self.check_wheel(&named)?;
        let digests = self.digests(named.file)?;
        let body = Object::new()
            .with("upload", named.file_name)
            .with("name", named.name.as_str())
            .with("version", named.version.as_str());
        Ok(Subject {
            uri: format!("pkg:pypi/{}", named.name),
            name: named.name,
            digests,
            body: Some(Json::from(body)),
            envelopes: self.envelopes()?,
            unreadable: Vec::new(),
        })
    }

    /// No field says two things, and only the distribution is a file: an index stores every file that comes along.
    fn check_fields(&self) -> Result<(), FormError> {
        for (index, part) in self.parts.iter().enumerate() {
            let before = self.parts.get(..index).unwrap_or_default();
            let is_twice = before.iter().any(|other| other.name == part.name);
            if is_twice && (part.file_name.is_some() || !LISTS.contains(&part.name.as_str())) {
                return Err(wrong(&part.name, "a field stands there twice", "each field once", &part.name));
            }
            if let Some(file) = part.file_name.as_deref().filter(|_| part.name != "content") {
                let wanted = "one file, in the field `content`; signatures as `attestations`";
                return Err(wrong(&part.name, "the form has another file", wanted, file));
            }
        }
        match self.text(":action")?.as_str() {
            "file_upload" => Ok(()),
            other => Err(wrong(":action", "the form is no upload", "file_upload", other)),
        }
    }

    /// The name, the version and the file, which must agree.
    fn named(&self) -> Result<Named<'a>, FormError> {
        let (name, version, kind) = (self.text("name")?, self.text("version")?, self.text("filetype")?);
        let Some((file, file_name)) = self.field("content").and_then(|p| Some((p, p.file_name.as_deref()?)))
        else {
            return Err(wrong(
                "content",
                "the form has no file",
                "the distribution in the field `content`",
                "",
            ));
        };
        let wanted =
            "NAME-VERSION.tar.gz (PEP 625) or NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl (PEP 427)";
        let read = Distribution::read(file_name)
            .ok_or_else(|| wrong("content", "the file's name is no distribution's", wanted, file_name))?;
        let wanted = "a project's name: letters, digits, `-`, `_` and `.`";
        let project = normalized(&name).ok_or_else(|| wrong("name", "this is no name", wanted, &name))?;
        if normalized(read.name).as_ref() != Some(&project) {
            let wanted = format!("a file of {project}");
            return Err(wrong("content", "the file is named after another project", &wanted, file_name));
        }
        if read.version != version.replace('-', "_") {
            let wanted = format!("a file of version {version}, which both spell alike (PEP 440)");
            return Err(wrong("content", "the file is named after another version", &wanted, file_name));
        }
        if read.kind != kind {
            let wanted = format!("{} for {file_name}", read.kind);
            return Err(wrong("filetype", "the file is of another type", &wanted, &kind));
        }
        Ok(Named { name: project, version, file, file_name })
    }

    /// A wheel is of the project and the version that the form and the file's name say.
    fn check_wheel(&self, named: &Named<'_>) -> Result<(), FormError> {
        if !named.file_name.ends_with(".whl") {
            return Ok(());
        }
        let place = (named.file.at, named.file.length);
        wheel::check(self.held, place, &named.name, &named.version).map_err(|why| {
            let wanted = format!("a wheel of {} {}, by the METADATA in it", named.name, named.version);
            wrong("content", "the wheel is not what the form says", &wanted, &why)
        })
    }

    /// The digests of the distribution, which those in the form must fit.
    fn digests(&self, file: &FormPart) -> Result<DigestSet, FormError> {
        let (mut sha256, mut sha512) = (Context::new(&SHA256), Context::new(&SHA512));
        let mut blake2 = Blake2b256::new();
        each_piece(self.held.part(file.at, file.length), |piece| {
            sha256.update(piece);
            sha512.update(piece);
            blake2.update(piece);
        })?;
        let (sha256, sha512) = (sha256.finish(), sha512.finish());
        for (field, found) in
            [("sha256_digest", sha256.as_ref()), ("blake2_256_digest", blake2.finalize().as_slice())]
        {
            let found = attest::digest::to_hex(found);
            if self.field(field).is_some() && self.text(field)? != found {
                return Err(wrong(
                    field,
                    "the file has another digest than the form says",
                    &found,
                    &self.text(field)?,
                ));
            }
        }
        let of = |algorithm, bytes: &[u8]| Digest::from_bytes(algorithm, bytes.to_vec());
        let digests = [of(Algorithm::Sha256, sha256.as_ref()), of(Algorithm::Sha512, sha512.as_ref())];
        Ok(digests.into_iter().flatten().collect())
    }

    /// The attestations that came along (PEP 740).
    fn envelopes(&self) -> Result<Vec<Submitted>, FormError> {
        const FIELD: &str = "attestations";
        let Some(part) = self.field(FIELD) else { return Ok(Vec::new()) };
        let broken = |why: &str| {
            wrong(FIELD, "the attestations cannot be read", "a list of PEP 740 attestations", why)
        };
        if part.length > MAX_ATTESTATIONS {
            return Err(broken("more than 8 MiB"));
        }
        let mut bytes = Vec::new();
        self.held.part(part.at, part.length).read_to_end(&mut bytes)?;
        let limits = Limits { bytes: bytes.len(), ..Limits::default() }.exact();
        let read = attest::json::parse_with(&bytes, limits).map_err(|e| broken(&e.to_string()))?;
        if !matches!(read, Json::Array(_)) {
            return Err(broken("no list"));
        }
        let pieces = evidence::unpack(&bytes, FIELD).map_err(|e| broken(&e.to_string()))?;
        Ok(pieces.into_iter().map(|piece| Submitted { name: piece.name, bytes: piece.bytes }).collect())
    }

    fn field(&self, name: &str) -> Option<&'a FormPart> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// A short field that must be there.
    fn text(&self, name: &str) -> Result<String, FormError> {
        let part = self.field(name).filter(|part| part.file_name.is_none());
        let part = part.ok_or_else(|| wrong(name, "a field is missing", name, ""))?;
        let mut bytes = Vec::new();
        self.held.part(part.at, part.length.min(LONGEST as u64 + 1)).read_to_end(&mut bytes)?;
        let text = String::from_utf8(bytes).ok();
        text.filter(|t| t.len() <= LONGEST && t.chars().all(|c| c.is_ascii_graphic())).ok_or_else(|| {
            wrong(name, "a field is no word", "letters, digits and signs, 255 at most", "something else")
        })
    }
}

fn each_piece(mut from: Part, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut piece = vec![0; 256 << 10];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(()),
            read => take(piece.get(..read).unwrap_or_default()),
        }
    }
}

fn wrong(place: &str, what: &str, wanted: &str, found: &str) -> FormError {
    FormError::Form(unreadable(place, what, wanted, found))
}

/// What is put on record where an upload cannot be read.
pub(super) fn nameless(unreadable: Unreadable) -> Subject {
    Subject {
        name: "unreadable".to_owned(),
        uri: "pkg:pypi/unreadable".to_owned(),
        unreadable: vec![unreadable],
        ..Subject::default()
    }
}
