//! The one place where this binary reads the clock.

use attest::time::parse_time;
use jiff::Timestamp;

use crate::failure::Failure;

/// The time: as given, or now. One before 1970 is no time at which anything was built or signed.
pub(crate) fn now(given: Option<&str>) -> Result<Timestamp, Failure> {
    let now = match given {
        Some(text) => parse_time(text).ok_or_else(|| {
            Failure::new("the time cannot be read")
                .line("wanted", "a time in UTC, as in 2026-11-22T09:00:00Z")
                .line("found", text)
        })?,
        None => clock(),
    };
    if now.as_second() < 0 {
        return Err(Failure::new("the clock cannot be right: it says a time before 1970")
            .line("found", &now.to_string())
            .line("fix", "set the clock, or correct --at; nothing can be decided without the time"));
    }
    Ok(now)
}

#[expect(clippy::disallowed_methods, reason = "the edge at which time enters")]
fn clock() -> Timestamp {
    Timestamp::now()
}
