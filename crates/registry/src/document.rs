//! Manifests and indexes: bytes with a digest, and the one way to read them.
//!
//! Bytes that one reader takes for a manifest and another for an index verify as the one and run as the other
//! (GHSA-5j5w-g665-5m35): what has both `layers` and `manifests` is refused, whatever it says that it is.

use std::collections::BTreeMap;
use std::fmt;

use attest::digest::Hasher;
use attest::json::{self, Limits, ShapeError, each};
use attest::{Algorithm, Digest, Json, Object};

use crate::reference;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// What is asked for.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";
const DEPTH: usize = 16;
const VALUES: usize = 100_000;

/// The bytes of a manifest or an index, and the digest that they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Computed from the bytes, in the algorithm by which they were asked for.
    pub digest: Digest,
    /// What the registry says that they are; [`Document::parse`] compares.
    pub media_type: Option<String>,
}

impl Fetched {
    /// Reads the bytes.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn document(&self) -> Result<Document, DocumentError> {
        Document::parse(&self.bytes, self.media_type.as_deref())
    }
}

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// An image, or an artifact beside one.
    Manifest {
        /// As the document says, or as the registry does.
        media_type: String,
        /// What it is, where it is no image.
        artifact_type: Option<String>,
        /// What it is attached to.
        subject: Option<Descriptor>,
        /// Its configuration.
        config: Box<Descriptor>,
        /// What it is made of.
        layers: Vec<Descriptor>,
    },
    /// A list of manifests.
    Index {
        /// As the document says, or as the registry does.
        media_type: String,
        /// The manifests.
        manifests: Vec<Descriptor>,
    },
}

/// What names a blob or a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
    /// What a manifest is, where it is no image.
    pub artifact_type: Option<String>,
    /// What stands beside it; not covered by the blob's digest, but by that of the document around it.
    pub annotations: BTreeMap<String, String>,
}

/// Bytes are no manifest and no index, or can be read as both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentError {
    /// No strict JSON.
    Json(json::JsonError),
    /// JSON of another shape.
    Shape(ShapeError),
    /// `layers` or `config` beside `manifests`.
    Both,
    /// The registry calls it one thing, and it calls itself another.
    MediaType {
        /// The registry's word.
        said: String,
        /// Its own.
        found: String,
    },
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(e) => write!(f, "no manifest and no index: {e}"),
            Self::Shape(e) => write!(f, "no manifest and no index: {e}"),
            Self::Both => f.write_str("it can be read as a manifest and as an index"),
            Self::MediaType { said, found } => {
                write!(f, "the registry says {}, and it is {}", said.escape_debug(), found.escape_debug())
            }
        }
    }
}
impl std::error::Error for DocumentError {}

impl From<ShapeError> for DocumentError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

impl Document {
    /// Reads a document of which the registry says what it is; where it says nothing, the document has to.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn parse(bytes: &[u8], said: Option<&str>) -> Result<Self, DocumentError> {
        let limits = Limits { bytes: bytes.len(), depth: DEPTH, values: VALUES, exact_numbers: false };
        let value = json::parse_with(bytes, limits).map_err(DocumentError::Json)?;
        let object = value.as_object()?;
        // a null is a key too: other readers may take it for an empty list
        let has = |name: &str| object.iter().any(|(key, _)| key == name);
        if has("manifests") && (has("layers") || has("config")) {
            return Err(DocumentError::Both);
        }
        if object.int("schemaVersion")? != 2 {
            return Err(ShapeError::new("schemaVersion", "2", "another version").into());
        }
        let media_type = media_type(object, said, has("manifests"))?;
        if has("manifests") {
            // an empty list is written as null by some registries
            let manifests = each("manifests", object.optional_array("manifests")?, Descriptor::read)?;
            return Ok(Self::Index { media_type, manifests });
        }
        let config = Descriptor::read(object.get("config").unwrap_or(&Json::Null));
        let config = config.map_err(|e| e.within("config"))?;
        let subject = object.get("subject").map(Descriptor::read).transpose();
        // before there was a field for it, the configuration's type said what an artifact is
        let artifact_type = object.optional_string("artifactType")?.filter(|t| !t.is_empty());
        Ok(Self::Manifest {
            media_type,
            artifact_type: Some(artifact_type.map_or_else(|| config.media_type.clone(), str::to_owned)),
            config: Box::new(config),
            subject: subject.map_err(|e| e.within("subject"))?,
            layers: each("layers", object.array("layers")?, Descriptor::read)?,
        })
    }

    /// As the document says, or as the registry does.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self {
            Self::Manifest { media_type, .. } | Self::Index { media_type, .. } => media_type,
        }
    }
}

/// The one media type of a document, or an error where its shape, its own word and the registry's differ.
fn media_type(object: &Object, said: Option<&str>, is_index: bool) -> Result<String, DocumentError> {
    let own = object.optional_string("mediaType")?;
    let shapes = if is_index { [INDEX, DOCKER_LIST] } else { [MANIFEST, DOCKER_MANIFEST] };
    let said = said.map(|s| s.split(';').next().unwrap_or_default().trim());
    let found = own.or(said).unwrap_or(shapes[0]);
    let differs = said.is_some_and(|said| said != found);
    if differs || !shapes.contains(&found) {
        let said = said.unwrap_or("nothing").to_owned();
        let shape = if is_index { "an index" } else { "a manifest" };
        let found = if differs { found.to_owned() } else { format!("{shape} by its shape") };
        return Err(DocumentError::MediaType { said, found });
    }
    Ok(found.to_owned())
}

impl Descriptor {
    pub(crate) fn read(value: &Json) -> Result<Self, ShapeError> {
        let object = value.as_object()?;
        let digest = object.string("digest")?;
        // what stands there is a stranger's, and may be made for a terminal
        let wanted = || ShapeError::new("digest", "a sha256 or sha512 digest", "another text");
        let size = object.int("size")?;
        let text = |(key, value): (&str, &Json)| {
            let value = value
                .as_str()
                .map_err(|e| e.within(&key.escape_debug().to_string()).within("annotations"))?;
            Ok((key.to_owned(), value.to_owned()))
        };
        let annotations = object.optional_object("annotations")?;
        Ok(Self {
            media_type: object.string("mediaType")?.to_owned(),
            digest: reference::digest(digest).ok_or_else(wanted)?,
            size: u64::try_from(size).or(Err(ShapeError::new("size", "a size", "a negative number")))?,
            artifact_type: object.optional_string("artifactType")?.map(str::to_owned),
            annotations: annotations
                .map(|a| a.iter().map(text).collect::<Result<_, ShapeError>>())
                .transpose()?
                .unwrap_or_default(),
        })
    }

    pub(crate) fn to_json(&self) -> Json {
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        let mut object = Object::new()
            .with("mediaType", self.media_type.as_str())
            .with("digest", self.digest.to_string())
            .with("size", size);
        object.set_some("artifactType", self.artifact_type.as_deref());
        if !self.annotations.is_empty() {
            let pairs = self.annotations.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str())));
            object.set("annotations", Object::from_unique(pairs));
        }
        object.into()
    }
}

/// The digest that bytes have in an algorithm.
pub(crate) fn hash(bytes: &[u8], algorithm: Algorithm) -> Digest {
    let mut hasher = Hasher::new(&[algorithm]);
    hasher.update(bytes);
    hasher.finish().get(algorithm).unwrap_or_else(|| Digest::sha256(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn parse(text: &str, said: Option<&str>) -> Result<Document, DocumentError> {
        Document::parse(text.replace("HEX", HEX).as_bytes(), said)
    }

    #[test]
    fn one_document_has_one_meaning() {
        let config = r#""config":{"mediaType":"c","digest":"HEX","size":1}"#;
        let both = format!(r#"{{"schemaVersion":2,{config},"layers":[],"manifests":[]}}"#);
        assert_eq!(parse(&both, Some(MANIFEST)), Err(DocumentError::Both));
        assert_eq!(parse(&both, Some(INDEX)), Err(DocumentError::Both));
        let null = r#"{"schemaVersion":2,"layers":null,"manifests":[]}"#;
        assert_eq!(parse(null, Some(INDEX)), Err(DocumentError::Both));
        let half = format!(r#"{{"schemaVersion":2,{config},"manifests":[]}}"#);
        assert_eq!(parse(&half, None), Err(DocumentError::Both));
        let twice = format!(r#"{{"schemaVersion":2,{config},"layers":[],"layers":[]}}"#);
        assert!(matches!(parse(&twice, None), Err(DocumentError::Json(_))));
        let manifest = format!(r#"{{"schemaVersion":2,{config},"layers":[]}}"#);
        assert_eq!(parse(&manifest, None).unwrap().media_type(), MANIFEST);
        assert_eq!(parse(&manifest, Some(DOCKER_MANIFEST)).unwrap().media_type(), DOCKER_MANIFEST);
        for said in [INDEX, "text/html", "application/json"] {
            let error = parse(&manifest, Some(said)).unwrap_err();
            assert!(matches!(error, DocumentError::MediaType { .. }), "{said}");
        }
        let named = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}",{config},"layers":[]}}"#);
        for said in [None, Some(INDEX), Some(MANIFEST)] {
            assert!(matches!(parse(&named, said), Err(DocumentError::MediaType { .. })), "{said:?}");
        }
    }

    #[test]
    fn a_malformed_part_is_named() {
        for (text, path) in [
            (r#"[]"#, ""),
            (r#"{}"#, "schemaVersion"),
            (r#"{"schemaVersion":1,"manifests":[]}"#, "schemaVersion"),
            (r#"{"schemaVersion":2,"layers":[]}"#, "config"),
            (r#"{"schemaVersion":2,"manifests":[{"mediaType":"m","digest":"HEX"}]}"#, "manifests[0].size"),
            (
                r#"{"schemaVersion":2,"manifests":[{"mediaType":"m","digest":"HEX","size":-1}]}"#,
                "manifests[0].size",
            ),
            (
                r#"{"schemaVersion":2,"manifests":[{"mediaType":"m","digest":"md5:aa","size":1}]}"#,
                "manifests[0].digest",
            ),
        ] {
            let Err(DocumentError::Shape(error)) = parse(text, None) else { panic!("{text}") };
            assert_eq!(error.path, path, "{text}");
        }
    }
}
