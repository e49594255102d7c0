//! File names of distributions: wheels (PEP 427) and source distributions (PEP 625). An index goes by the file's name
//! and forgets the fields beside it: so both must say the same, and in one way.

use crate::proxy::package::LONGEST;

/// What a file's name says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Distribution<'a> {
    /// The project, as it is spelled there.
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// The word for it in the field `filetype`.
    pub(super) kind: &'static str,
}

/// A name as indexes compare it (PEP 503): in lower case, each run of `-`, `_` and `.` one `-`. Nothing where it is no
/// name.
pub(super) fn normalized(name: &str) -> Option<String> {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_name = name.len() <= LONGEST
        && is_edge(name.chars().next())
        && is_edge(name.chars().next_back())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    is_name.then(|| words.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}

impl<'a> Distribution<'a> {
    /// Reads a file's name; nothing where it is neither a wheel's nor a source distribution's.
    pub(super) fn read(file: &'a str) -> Option<Self> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.+!".contains(&b))
        };
        if file.len() > LONGEST {
            return None;
        }
        let (stem, kind) = match (file.strip_suffix(".whl"), file.strip_suffix(".tar.gz")) {
            (Some(stem), None) => (stem, "bdist_wheel"),
            (None, Some(stem)) => (stem, "sdist"),
            _ => return None,
        };
        let words: Vec<&str> = stem.split('-').collect();
        let is_build = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
        let (name, version) = match (kind, words.as_slice()) {
            ("sdist", [name, version]) | ("bdist_wheel", [name, version, _, _, _]) => (name, version),
            ("bdist_wheel", [name, version, build, _, _, _]) if is_build(build) => (name, version),
            _ => return None,
        };
        let is_version = version.starts_with(|c: char| c.is_ascii_digit());
        (is_version && words.iter().all(|word| is_word(word))).then_some(Self { name, version, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::{Distribution, normalized};

    #[test]
    fn names_are_one_name_in_every_spelling() {
        for spelled in ["Shop-Cart", "shop.cart", "SHOP__cart", "shop-_.cart"] {
            assert_eq!(normalized(spelled).unwrap(), "shop-cart");
        }
        for none in ["", "-shop", "shop.", "sh op", "shop/cart", "shöp", "../shop"] {
            assert_eq!(normalized(none), None, "{none}");
        }
    }

    #[test]
    fn files_have_one_reading() {
        let read = |file| Distribution::read(file).map(|d| (d.name, d.version, d.kind));
        assert_eq!(read("shop_cart-1.0.tar.gz"), Some(("shop_cart", "1.0", "sdist")));
        assert_eq!(read("shop-1!2.0+acme.1-py3-none-any.whl"), Some(("shop", "1!2.0+acme.1", "bdist_wheel")));
        assert_eq!(read("shop-1.0-7_a-cp311-cp311-linux_x86_64.whl"), Some(("shop", "1.0", "bdist_wheel")));
        for none in [
            "shop-cart-1.0.tar.gz",
            "shop-1.0-a-py3-none-any.whl",
            "shop-1.0-py3-none.whl",
            "shop-1.0.zip",
            "shop-1.0.tar.gz.asc",
            "shop-v1.0.tar.gz",
            "../shop-1.0.tar.gz",
            "-1.0.tar.gz",
            "shop-1.0-1-py3-none-any-.whl",
            "shop-1.0.whl.tar.gz.whl",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
