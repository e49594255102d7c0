//! Image references, by the grammar of `distribution/reference`, with one spelling for one repository.

use std::fmt;

use attest::{Algorithm, Digest};

/// The registry that a name without one means, and the folder that a name without one stands in.
const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_FOLDER: &str = "library";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A reference, normalised. Where there is a digest, it alone decides; the tag is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceError {
    /// Nothing.
    Empty,
    /// Longer than any reference can be.
    TooLong,
    /// A capital letter in the repository: registries compare names byte by byte, people do not.
    UpperCase,
    /// 64 or 128 hex digits alone: an image id, not a name.
    LooksLikeId,
    /// The registry is no host name with an optional port.
    Registry(String),
    /// A part of the repository's path is none.
    Path(String),
    /// The tag is none.
    Tag(String),
    /// The digest is none, or of an algorithm that does not decide here.
    Digest(String),
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the reference is empty"),
            Self::TooLong => write!(f, "the repository has more than {MAX_NAME} characters"),
            Self::UpperCase => f.write_str("the repository has a capital letter"),
            Self::LooksLikeId => f.write_str("hex digits alone are an image id, not a name"),
            Self::Registry(text) => write!(f, "`{text}` is no registry"),
            Self::Path(text) => write!(f, "`{text}` is no part of a repository's name"),
            Self::Tag(text) => write!(f, "`{text}` is no tag"),
            Self::Digest(text) => write!(f, "`{text}` is no sha256 or sha512 digest"),
        }
    }
}
impl std::error::Error for ReferenceError {}

impl Reference {
    /// Parses `[registry/]repository[:tag][@digest]`.
    ///
    /// # Errors
    /// [`ReferenceError`] naming the part that is wrong. Nothing is trimmed or repaired.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > 2 * MAX_NAME + MAX_TAG {
            return Err(ReferenceError::TooLong);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            // the colon of a port stands before a slash
            Some((name, tag)) if !tag.contains('/') && !tag.ends_with(']') => (name, Some(parse_tag(tag)?)),
            _ => (rest, None),
        };
        Ok(Self { repository: parse_name(name)?, tag, digest })
    }

    /// The repository with its registry: the artifact's URI.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    let decides = |d: &Digest| matches!(d.algorithm(), Algorithm::Sha256 | Algorithm::Sha512);
    let digest = Digest::parse(text).ok().filter(decides);
    digest.ok_or_else(|| ReferenceError::Digest(shown(text)))
}

fn parse_tag(text: &str) -> Result<String, ReferenceError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let good = text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'));
    if good { Ok(text.to_owned()) } else { Err(ReferenceError::Tag(shown(text))) }
}

fn parse_name(name: &str) -> Result<String, ReferenceError> {
    let is_id = matches!(name.len(), 64 | 128) && name.bytes().all(|b| b.is_ascii_hexdigit());
    if name.is_empty() {
        return Err(ReferenceError::Empty);
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(ReferenceError::UpperCase);
    }
    if is_id {
        return Err(ReferenceError::LooksLikeId);
    }
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':', '[']) || first == "localhost" => (first, rest),
        _ => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    if !is_registry(registry) {
        return Err(ReferenceError::Registry(shown(registry)));
    }
    if let Some(wrong) = path.split('/').find(|part| !is_path_part(part)) {
        return Err(ReferenceError::Path(shown(wrong)));
    }
    let folder = if registry == DEFAULT_REGISTRY && !path.contains('/') {
        format!("{DEFAULT_FOLDER}/")
    } else {
        String::new()
    };
    let repository = format!("{registry}/{folder}{path}");
    if repository.len() > MAX_NAME { Err(ReferenceError::TooLong) } else { Ok(repository) }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |p: &str| (1..=5).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit());
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        label.bytes().all(|b| plain(b) || b == b'-')
            && label.bytes().next().is_some_and(plain)
            && label.bytes().next_back().is_some_and(plain)
    };
    let is_host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_label),
    };
    is_host && port.is_none_or(is_port)
}

/// Lower-case letters and digits, held together by `.`, `_`, `__` or any number of dashes.
fn is_path_part(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |gap: &str| matches!(gap, "." | "_" | "__") || gap.bytes().all(|b| b == b'-');
    let gaps = part.split(plain).filter(|gap| !gap.is_empty());
    part.starts_with(plain) && part.ends_with(plain) && gaps.into_iter().all(is_separator)
}

/// A part of a requester's text, short enough for a message.
fn shown(text: &str) -> String {
    policy::one_line(&text.chars().take(80).collect::<String>())
}
