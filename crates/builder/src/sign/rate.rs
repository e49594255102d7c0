//! How many signatures there may be: what a stolen orchestrator can have signed before somebody looks is bounded.

use attest::time::Span;
use jiff::Timestamp;

/// A bucket that holds an hour's signatures and is refilled evenly. It is in memory: who can restart the signer, its
/// own user or root, needs no rate.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    per_hour: u32,
    /// What is left, in signatures times seconds of an hour, so that nothing is lost to rounding.
    left: i64,
    seen: Timestamp,
}

const HOUR: i64 = 3600;

impl Rate {
    /// A full bucket.
    pub(crate) fn new(per_hour: u32, now: Timestamp) -> Self {
        Self { per_hour, left: i64::from(per_hour) * HOUR, seen: now }
    }

    /// Takes one signature out.
    ///
    /// # Errors
    /// The time from which there is one again.
    pub(crate) fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let per_hour = i64::from(self.per_hour);
        // a clock that was set back refills nothing
        let passed = Span::between(self.seen, now).as_seconds().max(0);
        self.left = self.left.saturating_add(passed.saturating_mul(per_hour)).min(per_hour * HOUR);
        self.seen = now;
        if self.left >= HOUR {
            self.left -= HOUR;
            return Ok(());
        }
        let missing = (HOUR - self.left).checked_div(per_hour).unwrap_or(i64::MAX).saturating_add(1);
        Err(Timestamp::from_second(now.as_second().saturating_add(missing)).unwrap_or(Timestamp::MAX))
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} signatures of this hour are used up", self.per_hour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn an_hours_signatures_at_once_and_then_one_after_the_other() {
        let mut rate = Rate::new(6, at(0));
        for _ in 0..6 {
            rate.take(at(0)).unwrap();
        }
        let again = rate.take(at(0)).unwrap_err();
        assert!(again > at(590) && again <= at(601), "{again}");
        assert!(rate.take(at(599)).is_err());
        rate.take(again).unwrap();
        assert!(rate.take(again).is_err());
    }

    #[test]
    fn the_time_in_the_refusal_is_the_first_at_which_it_works() {
        for per_hour in [1, 7, 600, 3601, 100_000] {
            let mut rate = Rate::new(per_hour, at(0));
            for _ in 0..per_hour {
                rate.take(at(0)).unwrap();
            }
            let again = rate.take(at(0)).unwrap_err();
            assert!(rate.clone().take(again).is_ok(), "{per_hour}");
        }
    }

    #[test]
    fn a_day_without_work_saves_up_no_more_than_an_hours_worth() {
        let mut rate = Rate::new(3, at(0));
        let later = at(86_400);
        assert_eq!((0..10).filter(|_| rate.take(later).is_ok()).count(), 3);
    }

    #[test]
    fn a_clock_that_is_set_back_and_forth_gives_nothing() {
        let mut rate = Rate::new(1, at(0));
        rate.take(at(0)).unwrap();
        for _ in 0..100 {
            assert!(rate.take(at(-3000)).is_err());
        }
        assert!(rate.take(at(-3000 + 1799)).is_err());
    }

    #[test]
    fn none_an_hour_means_never() {
        assert!(Rate::new(0, at(0)).take(at(999_999)).is_err());
    }
}
