//! Points in time and spans of it, as text. Nothing here reads a clock.

use jiff::Timestamp;

/// Parses an RFC 3339 time in UTC, as in `2026-11-22T09:00:00Z`. Other offsets are refused, as in-toto does:
/// two spellings of one moment invite two readings.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let shape = text.len() >= 20 && text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
    if shape { text.parse().ok() } else { None }
}

/// A whole span of time, as policies write it: `30d`, `12h`, `45m`, `90s`. A day is 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(i64);

impl Span {
    /// A span of so many seconds.
    #[must_use]
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Parses a positive number and one unit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) || number.len() > 6 {
            return None;
        }
        let unit = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        number.parse::<i64>().ok().filter(|n| *n > 0).map(|n| Self(n * unit))
    }

    /// The span in seconds.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0
    }

    /// From `earlier` to `later`; negative where they stand the other way round.
    #[must_use]
    pub fn between(earlier: Timestamp, later: Timestamp) -> Self {
        Self(later.as_second().saturating_sub(earlier.as_second()))
    }
}

impl std::fmt::Display for Span {
    /// The largest unit that loses nothing above a tenth: `30d`, `36h`, `5m`, `12s`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0;
        match seconds.unsigned_abs() {
            n if n >= 2 * 86_400 || (n >= 86_400 && n % 86_400 == 0) => write!(f, "{}d", seconds / 86_400),
            n if n >= 2 * 3_600 || (n >= 3_600 && n % 3_600 == 0) => write!(f, "{}h", seconds / 3_600),
            n if n >= 120 || (n >= 60 && n % 60 == 0) => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_utc_with_a_z_is_a_time() {
        assert!(parse_time("2026-11-22T09:00:00Z").is_some());
        assert!(parse_time("2026-11-22T09:00:00.123Z").is_some());
        for bad in
            ["2026-11-22T09:00:00+01:00", "2026-11-22 09:00:00Z", "2026-11-22", "", "2026-13-22T09:00:00Z"]
        {
            assert!(parse_time(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn spans_have_one_positive_number_and_one_unit() {
        assert_eq!(Span::parse("30d"), Some(Span(30 * 86_400)));
        for bad in ["0d", "-1d", "d", "30", "1.5d", "30 d", "30D", "9999999d", "é"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
        assert_eq!(Span::parse("36h").map(|s| s.to_string()).as_deref(), Some("36h"));
    }
}
