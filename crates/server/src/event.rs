//! One line of JSON for each thing that happens, to standard error. Never a token, a certificate, or a header.

use std::io::Write as _;

use attest::Object;
use jiff::Timestamp;

/// Writes one event. What cannot be written is lost: the service does not stop because nobody reads.
pub(crate) fn tell(now: Timestamp, event: &str, details: Object) {
    write(&line(now, event, details));
}

/// The line of one event.
pub(crate) fn line(now: Timestamp, event: &str, details: Object) -> String {
    let mut line = Object::new().with("time", now.to_string()).with("event", event);
    for (key, value) in details.iter() {
        line.set(key, value.clone());
    }
    format!("{}\n", attest::Json::from(line))
}

/// Writes a line in one piece: standard error has no buffer, and lines of several processes must not mix.
pub(crate) fn write(line: &str) {
    std::io::stderr().lock().write_all(line.as_bytes()).ok();
}
