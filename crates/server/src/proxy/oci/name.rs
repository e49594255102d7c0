//! What a path of a registry names. Read from its end, for a repository can be called `manifests` too; and only as the
//! specification spells it, for two spellings could be two repositories to the registry and one route here.

use attest::{Algorithm, Digest};
use registry::Reference;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// `/v2/`.
    Base,
    /// The list of repositories.
    Catalog,
    /// Something of a repository.
    Within(String, Target),
}

/// Something of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Tags,
    Referrers,
    Blob(Digest),
    /// Where uploads begin.
    Uploads,
    /// An upload under way.
    Upload(String),
    Manifest(Name),
}

/// How a manifest is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Tag(String),
    Digest(Digest),
}

impl Address {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let below = path.strip_prefix("/v2")?;
        match below {
            "" | "/" => return Some(Self::Base),
            "/_catalog" => return Some(Self::Catalog),
            _ => {}
        }
        let (rest, last) = below.strip_prefix('/')?.rsplit_once('/')?;
        let (repository, target) = match rest.rsplit_once('/')? {
            (repository, "manifests") => (repository, Target::Manifest(Name::parse(last)?)),
            (repository, "tags") if last == "list" => (repository, Target::Tags),
            (repository, "referrers") => digest(last).map(|_| (repository, Target::Referrers))?,
            (repository, "blobs") if last != "uploads" => (repository, Target::Blob(digest(last)?)),
            (repository, "blobs") => (repository, Target::Uploads),
            (before, "uploads") => {
                let repository = before.strip_suffix("/blobs")?;
                let target = if last.is_empty() { Target::Uploads } else { Target::Upload(last.to_owned()) };
                (repository, target)
            }
            _ => return None,
        };
        is_repository(repository).then(|| Self::Within(repository.to_owned(), target))
    }
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        if text.contains(':') {
            return digest(text).map(Self::Digest);
        }
        let reference = Reference::parse(&format!("localhost/a:{text}")).ok()?;
        reference.tag().filter(|tag| *tag == text).map(|tag| Self::Tag(tag.to_owned()))
    }

    /// As it stands in a path.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Tag(tag) => tag.clone(),
            Self::Digest(digest) => digest.to_string(),
        }
    }
}

/// A digest of bytes.
pub(super) fn digest(text: &str) -> Option<Digest> {
    let is_of_bytes = |d: &Digest| matches!(d.algorithm(), Algorithm::Sha256 | Algorithm::Sha512);
    Digest::parse(text).ok().filter(is_of_bytes)
}

/// Whether it is a name in its one spelling.
pub(super) fn is_repository(name: &str) -> bool {
    let parsed = Reference::parse(&format!("localhost/{name}"));
    parsed.is_ok_and(|r| r.repository() == name && r.tag().is_none() && r.digest().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_from_its_end_and_in_one_spelling() {
        let hex = "a".repeat(64);
        let of = |text: &str| Address::parse(&text.replace("HEX", &hex));
        let within = |repository: &str, target: Target| Some(Address::Within(repository.to_owned(), target));
        let digest = Digest::parse(&format!("sha256:{hex}")).unwrap();
        assert_eq!(of("/v2/"), Some(Address::Base));
        assert_eq!(of("/v2/_catalog"), Some(Address::Catalog));
        assert_eq!(of("/v2/a/tags/list"), within("a", Target::Tags));
        let tag = |tag: &str| Target::Manifest(Name::Tag(tag.to_owned()));
        assert_eq!(of("/v2/a/b/manifests/1.4"), within("a/b", tag("1.4")));
        assert_eq!(of("/v2/a/manifests/manifests/1"), within("a/manifests", tag("1")));
        assert_eq!(of("/v2/a/blobs/sha256:HEX"), within("a", Target::Blob(digest.clone())));
        assert_eq!(of("/v2/a/manifests/sha256:HEX"), within("a", Target::Manifest(Name::Digest(digest))));
        assert_eq!(of("/v2/a/blobs/uploads/"), within("a", Target::Uploads));
        assert_eq!(of("/v2/a/blobs/uploads"), within("a", Target::Uploads));
        assert_eq!(of("/v2/a/blobs/uploads/x1"), within("a", Target::Upload("x1".to_owned())));
        for bad in [
            "/",
            "/v2x/",
            "/v1/search",
            "/v2/a",
            "/v2//manifests/1",
            "/v2/A/manifests/1",
            "/v2/a/../b/manifests/1",
            "/v2/a%2fb/manifests/1",
            "/v2/a/manifests/",
            "/v2/a/manifests/.x",
            "/v2/a/manifests/md5:aa",
            "/v2/a:b/manifests/1",
            "/v2/a@sha256:HEX/manifests/1",
            "/v2/a/blobs/x",
            "/v2/a/tags/all",
            "/v2/a/manifests/1/",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
