//! Names of packages, and which address means what.

use crate::proxy::package::LONGEST;

/// What an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The document of a package: where it is published.
    Package(Name),
    /// A tag of a package.
    Tag(Name, String),
}

/// A package's name: `shop`, or `@acme/shop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// As npm wants new packages to be called: nothing that would be another name in another spelling.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_part = |part: &str| {
            let is_known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._~".contains(&b);
            !part.is_empty() && !part.starts_with(['.', '_', '-']) && part.bytes().all(is_known)
        };
        let is_name = match text.strip_prefix('@').map(|scoped| scoped.split_once('/')) {
            None => is_part(text),
            Some(parts) => parts.is_some_and(|(scope, name)| is_part(scope) && is_part(name)),
        };
        (is_name && text.len() <= LONGEST.min(214)).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the scope, as files are called after it.
    pub(super) fn short(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.as_str(), |(_, name)| name)
    }

    /// As a package URL.
    pub(super) fn uri(&self) -> String {
        format!("pkg:npm/{}", self.0.replacen('@', "%40", 1))
    }

    /// In an address.
    pub(super) fn escaped(&self) -> String {
        self.0.replacen('/', "%2f", 1)
    }
}

impl Target {
    /// Reads the path of a request that changes something.
    pub(super) fn read(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        if let Some(rest) = path.strip_prefix("-/package/") {
            let (name, tag) = rest.split_once("/dist-tags/")?;
            let is_tag = is_tag(tag) && !tag.contains('/');
            return Some(Self::Tag(named(name)?, is_tag.then(|| tag.to_owned())?));
        }
        Some(Self::Package(named(path)?))
    }
}

/// A tag is a word, and never what could be a version.
pub(super) fn is_tag(text: &str) -> bool {
    let is_known = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.len() <= LONGEST && text.bytes().all(is_known)
}

/// A name in an address, where the slash behind a scope may be escaped and nothing else.
fn named(text: &str) -> Option<Name> {
    Name::parse(&text.replacen("%2f", "/", 1).replacen("%2F", "/", 1))
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn an_address_means_one_thing_or_nothing() {
        let read = |path| {
            Target::read(path).map(|target| match target {
                Target::Package(name) => (name.uri(), None),
                Target::Tag(name, tag) => (name.uri(), Some(tag)),
            })
        };
        assert_eq!(read("/shop"), Some(("pkg:npm/shop".to_owned(), None)));
        for path in ["/@acme%2fshop", "/@acme%2Fshop", "/@acme/shop"] {
            assert_eq!(read(path), Some(("pkg:npm/%40acme/shop".to_owned(), None)), "{path}");
        }
        let tag = read("/-/package/@acme%2fshop/dist-tags/next").unwrap();
        assert_eq!(tag, ("pkg:npm/%40acme/shop".to_owned(), Some("next".to_owned())));
        for path in [
            "",
            "/",
            "/Shop",
            "/shop/-rev/1-0",
            "/shop/-/shop-1.0.0.tgz",
            "/-/user/org.couchdb.user:x",
            "/-/package/shop/collaborators",
            "/-/package/shop/dist-tags/1.0.0",
            "/-/package/shop/dist-tags/a/b",
            "/-/package/shop/dist-tags",
            "/%73hop",
            "/../shop",
            "/shop%2f..%2fpayroll",
            "/@acme%252fshop",
            "/@/shop",
            "/_users",
            "//shop",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }
}
