//! Whether witnesses keep up with the log. Whoever forks a log keeps its witnesses from being asked: a contradiction is
//! then never heard of, and that nothing is cosigned is all that can be seen.

use std::time::{Duration, Instant};

use chokepoint::alarm::{Alarm, AlarmKind};
use jiff::Timestamp;

use crate::alarm::Desk;

/// For so long the log may grow without a checkpoint that enough witnesses cosigned.
const PATIENCE: Duration = Duration::from_secs(600);
const SUBJECT: &str = "the quorum of witnesses";

/// The newest size that was cosigned, and since when it is not newer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cosigned {
    size: Option<u64>,
    since: Instant,
}

impl Cosigned {
    pub(super) fn new(now: Instant) -> Self {
        Self { size: None, since: now }
    }

    /// Whether a log of this size is without cosignatures for too long.
    fn is_late(&mut self, cosigned: Option<u64>, log: u64, now: Instant) -> bool {
        if cosigned != self.size || cosigned == Some(log) {
            *self = Self { size: cosigned, since: now };
        }
        now.saturating_duration_since(self.since) > PATIENCE
    }

    /// Raises the alarm, or closes it.
    ///
    /// # Errors
    /// Why that is not on record.
    pub(super) fn alarm(
        &mut self,
        cosigned: Option<u64>,
        log: u64,
        desk: &Desk,
        now: Timestamp,
    ) -> Result<(), String> {
        if !self.is_late(cosigned, log, Instant::now()) {
            return desk.gone(AlarmKind::WitnessRefuses, SUBJECT, now);
        }
        let found = match cosigned {
            Some(size) => format!("{size} of {log} entries are under a cosigned checkpoint"),
            None => format!("none of {log} entries is under a cosigned checkpoint since the start"),
        };
        let alarm = Alarm::found(AlarmKind::WitnessRefuses, SUBJECT, now).told(
            "the log grows, and too few witnesses sign: nobody would see that it was rolled back or forked",
            "a checkpoint with enough cosignatures every 10 minutes",
            &found,
            "see which witness does not answer (`not-cosigned` events), and who changed the network between",
        );
        desk.raise(alarm, now).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_grows_without_its_witnesses_is_late_and_one_that_rests_is_not() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let mut cosigned = Cosigned::new(start);
        assert!(!cosigned.is_late(None, 5, after(600)));
        assert!(cosigned.is_late(None, 5, after(601)), "never once");
        assert!(!cosigned.is_late(Some(5), 6, after(602)), "it goes on");
        assert!(!cosigned.is_late(Some(5), 9, after(1202)));
        assert!(cosigned.is_late(Some(5), 9, after(1203)));
        assert!(!cosigned.is_late(Some(9), 9, after(9000)), "all of it is cosigned");
        assert!(!cosigned.is_late(Some(9), 9, after(99_000)));
        assert!(!cosigned.is_late(Some(9), 10, after(99_001)));
        assert!(cosigned.is_late(Some(9), 11, after(99_602)));
    }
}
