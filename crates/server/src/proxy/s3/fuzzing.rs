//! S3's framing, documents and addresses.

use super::address::Address;
use super::chunks::Chunks;
use super::document::Document;

/// A framed body that came in these pieces, and what was said behind it.
pub fn chunks(length: u64, pieces: &[&[u8]]) -> Option<(Vec<u8>, Vec<(String, String)>)> {
    let mut chunks = Chunks::of(length);
    let mut body = Vec::new();
    for piece in pieces {
        body.extend_from_slice(&chunks.feed(piece).ok()?);
    }
    Some((body, chunks.finish().ok()?))
}

/// The one form of a document.
pub fn document(word: &str, bytes: &[u8]) -> Option<String> {
    Document::read(word, bytes).ok().map(|document| document.text().to_owned())
}

/// Bucket and key that an address names, and the one form of it.
pub fn address(path: &str, query: &str) -> Option<(String, String, String)> {
    let address = Address::read(path, query).ok()?;
    let form = address.to_path_and_query();
    Some((address.bucket, address.key, form))
}
