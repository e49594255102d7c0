//! A set of bundles on its way beside an artifact: the body of `PUT /v1/evidence`, written by the one who brings it and
//! read by the one who keeps it.

use std::fmt;

use attest::json::{JsonError, ShapeError};
use attest::{Digest, DigestSet, Envelope, EnvelopeError, Json, Object, json};
use jiff::Timestamp;

use crate::about::{About, about, compact, to_json};
use crate::folder::{Store, WriteError};
use crate::tags::Tagged;

/// Bundles for one artifact, each in its one spelling, and perhaps a tag that stands for the artifact from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    artifact: Digest,
    bundles: Vec<Vec<u8>>,
    tag: Option<(String, String)>,
}

/// Why something is no attachment. Places count bundles from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachmentError {
    /// Not strict JSON.
    Json(JsonError),
    /// JSON of another shape.
    Shape(ShapeError),
    /// A bundle is none.
    NoEnvelope(usize, EnvelopeError),
    /// A bundle is about another artifact, or about nothing that reads.
    Elsewhere(usize, Option<Digest>),
    /// More bundles than a set may have; the field is how many.
    TooMany(usize),
    /// No repository and tag.
    Tag(String),
}

impl fmt::Display for AttachmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(e) => e.fmt(f),
            Self::Shape(e) => e.fmt(f),
            Self::NoEnvelope(number, e) => write!(f, "bundle {number}: {e}"),
            Self::Elsewhere(number, Some(digest)) => write!(f, "bundle {number} is about {digest}"),
            Self::Elsewhere(number, None) => write!(f, "bundle {number} does not say what it is about"),
            Self::TooMany(count) => write!(f, "{count} bundles; at most {} make a set", Store::MAX_SET),
            Self::Tag(text) => {
                write!(f, "{text:?} is no REGISTRY/REPOSITORY:TAG, as in registry.example/shop:1.4")
            }
        }
    }
}
impl std::error::Error for AttachmentError {}

impl From<ShapeError> for AttachmentError {
    fn from(e: ShapeError) -> Self {
        Self::Shape(e)
    }
}

impl Attachment {
    /// The bundles that are brought beside an artifact. The same bundle twice is one.
    ///
    /// # Errors
    /// [`AttachmentError`] where one is no envelope, is about another artifact, or they are too many.
    pub fn new(
        artifact: &DigestSet,
        bundles: &[Vec<u8>],
        tag: Option<&str>,
    ) -> Result<Self, AttachmentError> {
        let digest = artifact.get(attest::Algorithm::Sha256);
        let digest = digest.ok_or_else(|| ShapeError::new("artifact", "sha256:HEX", "another digest"))?;
        let mut set = Vec::new();
        for (number, bytes) in (1..).zip(bundles) {
            let envelope = Envelope::parse(bytes).map_err(|e| AttachmentError::NoEnvelope(number, e))?;
            match about(&envelope, artifact) {
                About::Artifact | About::Source => {}
                About::Other(other) => return Err(AttachmentError::Elsewhere(number, Some(other))),
                About::Nothing => return Err(AttachmentError::Elsewhere(number, None)),
            }
            let bytes = compact(bytes).map_err(|e| AttachmentError::NoEnvelope(number, e))?;
            if !set.contains(&bytes) {
                set.push(bytes);
            }
        }
        if set.len() > Store::MAX_SET {
            return Err(AttachmentError::TooMany(set.len()));
        }
        let tag = tag.map(|text| read_tag(text).ok_or_else(|| AttachmentError::Tag(text.to_owned())));
        Ok(Self { artifact: digest, bundles: set, tag: tag.transpose()? })
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`AttachmentError`] as [`Attachment::new`], and where it is another document.
    pub fn read(body: &[u8]) -> Result<Self, AttachmentError> {
        let value = json::parse(body).map_err(AttachmentError::Json)?;
        let object = value.as_object()?;
        if let Some((key, _)) = object.iter().find(|(key, _)| !["artifact", "bundles", "tag"].contains(key)) {
            return Err(ShapeError::new(key, "artifact, bundles and tag, and nothing else", "this").into());
        }
        let artifact = Digest::parse(object.string("artifact")?)
            .map_err(|e| ShapeError::new("artifact", "sha256:HEX", &e.to_string()))?;
        let bundles = object.array("bundles")?;
        if bundles.len() > Store::MAX_SET {
            return Err(AttachmentError::TooMany(bundles.len()));
        }
        let bytes = |bundle: &Json| match bundle {
            Json::String(text) => text.clone().into_bytes(),
            value => value.to_string().into_bytes(),
        };
        let bundles: Vec<Vec<u8>> = bundles.iter().map(bytes).collect();
        Self::new(&artifact.into(), &bundles, object.optional_string("tag")?)
    }

    /// The body of a request.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let bundles = self.bundles.iter().filter_map(|bytes| to_json(bytes).ok()).collect();
        let mut object =
            Object::new().with("artifact", self.artifact.to_string()).with("bundles", Json::Array(bundles));
        object.set_some("tag", self.tag.as_ref().map(|(repository, tag)| format!("{repository}:{tag}")));
        object.into()
    }

    /// The artifact.
    #[must_use]
    pub fn artifact(&self) -> &Digest {
        &self.artifact
    }

    /// The bundles, each in its one spelling.
    #[must_use]
    pub fn bundles(&self) -> &[Vec<u8>] {
        &self.bundles
    }

    /// Repository and tag that stand for the artifact from now on.
    #[must_use]
    pub fn tag(&self) -> Option<(&str, &str)> {
        self.tag.as_ref().map(|(repository, tag)| (repository.as_str(), tag.as_str()))
    }

    /// The digests of the bundles, as `portcullis.dev/evidence-digest` lists them.
    #[must_use]
    pub fn digests(&self) -> Vec<Digest> {
        self.bundles.iter().map(|bytes| Digest::sha256(bytes)).collect()
    }
}

impl Store {
    /// Keeps a whole attachment: the bundles, then the artifact's set, then the tag. Broken off between, it leaves
    /// bundles that nothing names yet; brought again, it is the same.
    ///
    /// # Errors
    /// [`WriteError`] with the first that could not be kept.
    pub fn keep_attachment(&self, attachment: &Attachment, at: Timestamp) -> Result<Vec<Digest>, WriteError> {
        // nothing is begun that a later bundle would end
        if let Some(large) = attachment.bundles.iter().find(|bytes| bytes.len() > Self::MAX_BYTES) {
            return Err(WriteError::TooLarge(large.len()));
        }
        let digests =
            attachment.bundles.iter().map(|bytes| self.put(bytes)).collect::<Result<Vec<_>, _>>()?;
        self.attach(&attachment.artifact, &digests)?;
        if let Some((repository, tag)) = attachment.tag() {
            self.tag(repository, tag, &Tagged { digest: attachment.artifact.clone(), at })?;
        }
        Ok(digests)
    }
}

/// Repository and tag. The registry is named, in its one spelling: `shop:1.4` is `docker.io/library/shop:1.4`.
fn read_tag(text: &str) -> Option<(String, String)> {
    let (repository, tag) = text.rsplit_once(':')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if tag.is_empty() || tag.len() > 128 || !tag.bytes().all(plain) || tag.starts_with(['.', '-']) {
        return None;
    }
    let (host, path) = repository.split_once('/')?;
    let is_host = host.contains(['.', ':']) || host == "localhost";
    let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let is_part =
        |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.bytes().all(small);
    let is_path = path.split('/').all(is_part);
    let host_byte = |b: u8| small(b) || b == b':';
    let is_whole = match host {
        "docker.io" => path.contains('/'),
        "index.docker.io" => false,
        _ => true,
    };
    (is_host && is_path && is_whole && host.bytes().all(host_byte))
        .then(|| (repository.to_owned(), tag.to_owned()))
}
