//! How much a spool holds, who may use which part of it, and how full it is.

/// A segment's length where the whole is long enough: some two thousand decisions.
const SEGMENT: usize = 8 * 1024 * 1024;
/// What the spool before a log in files holds, unless another length is given.
const DEFAULT: usize = 64 * 1024 * 1024;
/// The reserve is so many times smaller than the ring.
const RESERVED: usize = 16;

/// The room of a spool, all of it written before anything is acknowledged: a disk that fills later takes nothing away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many segments are in the ring: two at least.
    pub segments: usize,
    /// How long each is, in bytes.
    pub segment: usize,
    /// How long the reserve is, in bytes.
    pub reserve: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self::of(DEFAULT)
    }
}

impl Room {
    /// A ring of so many bytes, and a sixteenth of that in reserve.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        let segment = SEGMENT.min(bytes / 2);
        let segments = bytes.checked_div(segment).unwrap_or(2).max(2);
        Self { segments, segment, reserve: bytes / RESERVED }
    }
}

/// What an entry is for, which says where it may lie when the ring is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Nowhere but in the ring.
    Ordinary,
    /// In the reserve's first half: what is admitted because the log is out of reach must not shut breakglass out.
    Outage,
    /// In all of the reserve.
    Reserve,
}

/// How full a spool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Bytes of the ring that hold what is not in the target, or cannot be used before it is.
    pub used: u64,
    /// Bytes of the ring.
    pub capacity: u64,
    /// Bytes of the reserve that are used.
    pub reserve_used: u64,
    /// Bytes of the reserve.
    pub reserve: u64,
    /// The highest mark that was passed.
    pub mark: Mark,
    /// Whether the target is out of reach: it did not answer the last time.
    pub is_cut_off: bool,
}

impl Fill {
    /// Whether ordinary entries find no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.mark == Mark::Full
    }
}

/// Marks of fullness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Less than 70 %.
    Low,
    /// 70 %: a person should look.
    High,
    /// 90 %.
    Critical,
    /// An ordinary entry found no room.
    Full,
}

impl Mark {
    /// The mark that so many bytes have passed.
    pub(crate) fn of(used: u64, capacity: u64, is_full: bool) -> Self {
        match used.saturating_mul(100).checked_div(capacity).unwrap_or(100) {
            _ if is_full => Self::Full,
            0..70 => Self::Low,
            70..90 => Self::High,
            _ => Self::Critical,
        }
    }

    /// The number that people see.
    #[must_use]
    pub fn percent(self) -> u8 {
        match self {
            Self::Low => 0,
            Self::High => 70,
            Self::Critical => 90,
            Self::Full => 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_the_length_that_was_asked_for_in_two_segments_at_least() {
        for (bytes, segments) in [(1 << 20, 2), (16 << 20, 2), (64 << 20, 8), (1 << 30, 128)] {
            let room = Room::of(bytes);
            assert_eq!((room.segments, room.segments * room.segment), (segments, bytes));
            assert_eq!(room.reserve, bytes / 16);
        }
        assert_eq!(Room::of(0).segments, 2);
    }

    #[test]
    fn marks_are_passed_at_their_number_and_full_is_what_was_refused() {
        let marks =
            [(0, Mark::Low), (69, Mark::Low), (70, Mark::High), (89, Mark::High), (90, Mark::Critical)];
        for (used, mark) in marks {
            assert_eq!(Mark::of(used, 100, false), mark, "{used}");
        }
        assert_eq!(Mark::of(100, 100, false), Mark::Critical, "nobody was refused yet");
        assert_eq!(Mark::of(10, 100, true), Mark::Full);
    }
}
