//! What `npm publish` sends.

use attest::Object;

use super::name::{Name, Target};
use super::{publish, tarball};

/// The package URL that a document deploys.
pub fn publication(name: &str, document: &[u8]) -> Option<String> {
    Some(publish::subject(&Name::parse(name)?, document).ok()?.uri)
}

/// The `package.json` of a packed archive.
pub fn package_json(packed: &[u8]) -> Option<Object> {
    tarball::package_json(packed).ok()
}

/// The package that an address names.
pub fn publish_target(path: &str) -> Option<String> {
    Target::read(path).map(|target| match target {
        Target::Package(name) | Target::Tag(name, _) => name.as_str().to_owned(),
    })
}
