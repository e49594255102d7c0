//! One line of JSON for each thing that happens, to standard error. Never a token, a certificate, or a header.

use std::io::Write as _;

use attest::Object;
use jiff::Timestamp;

/// Writes one event. What cannot be written is lost: the service does not stop because nobody reads.
pub(crate) fn tell(now: Timestamp, event: &str, details: Object) {
    let mut line = Object::new().with("time", now.to_string()).with("event", event);
    for (key, value) in details.iter() {
        line.set(key, value.clone());
    }
    writeln!(std::io::stderr().lock(), "{}", attest::Json::from(line)).ok();
}
