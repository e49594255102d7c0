//! Names of images, by the grammar of `distribution/reference`; a name without a registry is Docker Hub's.

use std::fmt;

use attest::{Algorithm, Digest};

/// What Docker Hub is called in names, and which host answers for it.
pub(crate) const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// `registry/repository[:tag][@digest]`, in its one spelling. Where there is a digest, it alone decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text is no name of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceError {
    /// The part that is wrong.
    pub part: &'static str,
    /// What stands there.
    pub found: String,
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no {}", self.found.escape_debug(), self.part)
    }
}
impl std::error::Error for ReferenceError {}

fn wrong(part: &'static str, found: &str) -> ReferenceError {
    ReferenceError { part, found: found.chars().take(80).collect() }
}

impl Reference {
    /// Parses `[registry[:port]/]repository[:tag][@digest]`. The first part is a registry where it has a dot or a
    /// colon, or is `localhost`; else it is `docker.io`, and a name of one part stands in its `library`.
    ///
    /// # Errors
    /// [`ReferenceError`] naming the part that is wrong. Nothing is trimmed or repaired.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            // the colon of a port stands before a slash
            Some((name, tag)) if !tag.contains('/') && !tag.ends_with(']') => (name, Some(parse_tag(tag)?)),
            _ => (rest, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':', '[']) || first == "localhost" => (first, rest),
            _ => (DOCKER_HUB, name),
        };
        let registry = match registry {
            "index.docker.io" | DOCKER_HUB_HOST => DOCKER_HUB,
            other => other,
        };
        if !is_registry(registry) {
            return Err(wrong("registry", registry));
        }
        if let Some(part) = path.split('/').find(|part| !is_path_part(part)) {
            return Err(wrong("part of a repository's name", part));
        }
        let is_official = registry == DOCKER_HUB && !path.contains('/');
        let repository = if is_official { format!("library/{path}") } else { path.to_owned() };
        if registry.len() + 1 + repository.len() > MAX_NAME {
            return Err(wrong("name of at most 255 characters", &repository));
        }
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// The registry, with its port where one is named: the key of its credentials.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Registry and repository: the artifact's URI.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
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

    /// The host that answers for the registry.
    pub(crate) fn host(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_HOST } else { &self.registry }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// A digest of bytes; of commits and trees there are no images.
pub(crate) fn digest(text: &str) -> Option<Digest> {
    let is_of_bytes = |d: &Digest| matches!(d.algorithm(), Algorithm::Sha256 | Algorithm::Sha512);
    Digest::parse(text).ok().filter(is_of_bytes)
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    digest(text).ok_or_else(|| wrong("sha256 or sha512 digest", text))
}

fn parse_tag(text: &str) -> Result<String, ReferenceError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let good = text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'));
    if good { Ok(text.to_owned()) } else { Err(wrong("tag", text)) }
}

fn is_path_part(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    part.bytes().next().is_some_and(plain)
        && part.bytes().next_back().is_some_and(plain)
        && separators.all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |p: &str| p.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == p);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_spelling() {
        let hex = "a".repeat(64);
        for (text, wanted) in [
            ("nginx".to_owned(), "docker.io/library/nginx".to_owned()),
            ("acme/shop:1.4".to_owned(), "docker.io/acme/shop:1.4".to_owned()),
            ("index.docker.io/nginx".to_owned(), "docker.io/library/nginx".to_owned()),
            ("localhost/shop".to_owned(), "localhost/shop".to_owned()),
            ("127.0.0.1:5000/a/b-c__d".to_owned(), "127.0.0.1:5000/a/b-c__d".to_owned()),
            (format!("[::1]:5000/a@sha256:{hex}"), format!("[::1]:5000/a@sha256:{hex}")),
            (format!("r.example/a:b@sha256:{hex}"), format!("r.example/a:b@sha256:{hex}")),
        ] {
            assert_eq!(Reference::parse(&text).unwrap().to_string(), wanted);
        }
        assert_eq!(Reference::parse("nginx").unwrap().host(), "registry-1.docker.io");
    }

    #[test]
    fn what_is_no_name_says_which_part() {
        for (text, part) in [
            ("", "part of a repository's name"),
            ("r.example/Shop", "part of a repository's name"),
            ("r.example/a/../b", "part of a repository's name"),
            ("r.example/a?b", "part of a repository's name"),
            ("r.example//a", "part of a repository's name"),
            ("user:secret@r.example/a", "sha256 or sha512 digest"),
            ("r.example:0/a", "registry"),
            ("r.example:99999/a", "registry"),
            ("R.example/a", "registry"),
            ("-r.example/a", "registry"),
            ("r.example/a:", "tag"),
            ("r.example/a:.b", "tag"),
            ("r.example/a@sha256:AA", "sha256 or sha512 digest"),
            ("r.example/a@md5:d41d8cd98f00b204e9800998ecf8427e", "sha256 or sha512 digest"),
        ] {
            assert_eq!(Reference::parse(text).unwrap_err().part, part, "{text}");
        }
    }
}
