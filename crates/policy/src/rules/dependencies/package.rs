//! Package URLs, as far as they decide what is denied.

/// What of a package URL is compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PackageUrl {
    pub(super) name: String,
    pub(super) version: Option<String>,
}

/// Splits `pkg:type/namespace/name@version?qualifiers#subpath`. Percent escapes of `@` and `/` are undone, so that
/// `%40scope` and `@scope` are one name.
pub(super) fn parse(text: &str) -> Option<PackageUrl> {
    let rest = text.strip_prefix("pkg:")?;
    let rest = rest.split(['?', '#']).next()?;
    let last = rest.rfind('/')?;
    let (name, version) = match rest.get(last..)?.split_once('@') {
        Some((_, version)) => (rest.get(..rest.len() - version.len() - 1)?, Some(version)),
        None => (rest, None),
    };
    let plain = |t: &str| {
        t.replace("%40", "@").replace("%2F", "/").replace("%2f", "/").replace("%2B", "+").replace("%2b", "+")
    };
    let name = plain(name.trim_matches('/')).to_lowercase();
    name.contains('/').then(|| PackageUrl { name, version: version.map(plain) })
}

/// Whether a dependency is the denied one; one without a version may be.
pub(super) fn denies(denied: &PackageUrl, uri: &str) -> bool {
    parse(uri).is_some_and(|used| {
        used.name == denied.name
            && (denied.version.is_none() || used.version == denied.version || used.version.is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::{denies, parse};

    #[test]
    fn a_package_url_denies_what_it_names() {
        let denied = |denied: &str, used: &str| denies(&parse(denied).unwrap(), used);
        assert!(denied("pkg:npm/left-pad", "pkg:npm/left-pad@1.3.0"));
        assert!(denied("pkg:npm/%40acme/shop@1.0.0", "pkg:npm/@acme/shop@1.0.0?arch=x"));
        assert!(denied("pkg:npm/Left-Pad@1.3.0", "pkg:npm/left-pad@1.3.0#sub"));
        assert!(
            denied("pkg:npm/left-pad@1.3.0", "pkg:npm/left-pad"),
            "an unknown version may be the denied one"
        );
        assert!(!denied("pkg:npm/left-pad@1.3.0", "pkg:npm/left-pad@1.3.1"));
        assert!(!denied("pkg:npm/left-pad", "pkg:npm/left-padding@1"));
        assert!(!denied("pkg:npm/left-pad", "pkg:cargo/left-pad@1"));
        assert!(parse("pkg:npm").is_none() && parse("left-pad").is_none());
    }
}
