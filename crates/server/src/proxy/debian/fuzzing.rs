//! Debian's uploads.

use super::deb::{Deb, MAX_UPLOAD};
use super::listing::Listing;
use crate::proxy::fuzzing::held;

/// The name that a package says for its file.
pub fn deb(bytes: &[u8]) -> Option<String> {
    Some(Deb::read(&held(bytes)?, &mut { MAX_UPLOAD }).ok()?.file_name())
}

/// The names of the files that a `.changes` lists.
pub fn listing(bytes: &[u8]) -> Option<Vec<String>> {
    let listing = Listing::read("fuzz.changes", bytes).ok()?;
    Some(listing.files.into_iter().map(|file| file.name).collect())
}
