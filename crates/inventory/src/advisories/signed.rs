//! What a signed list of parts or OpenVEX document says: predicates that `attest` leaves unread.

use attest::Envelope;
use attest::bundle::{Bundle, Content};
use attest::dsse::Dsse;
use attest::json::{self, Limits};

/// The payload of an envelope or bundle that was opened before: the same parsers read the same bytes.
#[must_use]
pub fn payload(bytes: &[u8]) -> Option<Vec<u8>> {
    let limits = Limits { bytes: Envelope::MAX_BYTES, ..Limits::default() };
    let json = json::parse_with(bytes, limits).ok()?;
    let object = json.as_object().ok()?;
    if !Bundle::is_bundle(object) {
        return Dsse::read(object).ok().map(|dsse| dsse.payload);
    }
    match Bundle::read(object).ok()?.content {
        Content::Dsse(dsse) => Some(dsse.payload),
        Content::Message { .. } => None,
    }
}
