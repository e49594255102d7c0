//! Paths of registries.

use super::name::Address;

/// The repository that a path is within.
pub fn repository(path: &str) -> Option<String> {
    match Address::parse(path)? {
        Address::Within(repository, _) => Some(repository),
        Address::Base | Address::Catalog => None,
    }
}
