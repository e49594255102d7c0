//! Who may come in: no more than can be answered in time.
//!
//! Whoever cannot be answered before the deadline is told so at once, and not when it has waited for nothing: the API
//! server may come again, and the others do not wait behind work that nobody wants any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::webhook::judge::Deadline;

/// The newest measurement counts for one part in so many.
const WEIGHT: u64 = 8;

/// The door to the judge.
#[derive(Debug)]
pub(crate) struct Door {
    most: usize,
    workers: usize,
    inside: AtomicUsize,
    threads: Arc<Semaphore>,
    /// What one answer takes, in microseconds, as measured lately; 0 where nothing was.
    service: AtomicU64,
}

/// One that is inside, until this is dropped.
#[derive(Debug)]
pub(crate) struct Inside(Arc<Door>);

impl Door {
    /// A door for so many at once, of whom so many are answered at the same time.
    pub(crate) fn new(most: usize, workers: usize) -> Arc<Self> {
        let workers = workers.clamp(1, most.max(1));
        Arc::new(Self {
            most,
            workers,
            inside: AtomicUsize::new(0),
            threads: Arc::new(Semaphore::new(workers)),
            service: AtomicU64::new(0),
        })
    }

    /// Lets one in, or says after how long to come again.
    pub(crate) fn enter(self: &Arc<Self>, deadline: &Deadline) -> Result<Inside, Duration> {
        let before = self.inside.fetch_add(1, Ordering::AcqRel);
        let inside = Inside(Arc::clone(self));
        let estimate = self.estimate(before);
        // with a free thread nobody waits, and only who is let in is measured
        let is_late = before >= self.workers && estimate > deadline.left();
        if before >= self.most || is_late {
            drop(inside);
            return Err(estimate);
        }
        Ok(inside)
    }

    /// How long somebody waits for an answer behind so many others.
    fn estimate(&self, before: usize) -> Duration {
        let rounds = u64::try_from(before / self.workers).unwrap_or(u64::MAX).saturating_add(1);
        Duration::from_micros(self.service.load(Ordering::Relaxed).saturating_mul(rounds))
    }

    /// A thread for one that is inside. Waits in line.
    pub(crate) async fn thread(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.threads).acquire_owned().await.ok()
    }

    /// An answer took so long.
    pub(crate) fn took(&self, span: Duration) {
        let new = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let old = self.service.load(Ordering::Relaxed);
        let next = if old == 0 { new } else { old - old / WEIGHT + new / WEIGHT };
        self.service.store(next, Ordering::Relaxed);
    }

    /// How many are inside, and how many of them wait.
    pub(crate) fn crowd(&self) -> (usize, usize) {
        let inside = self.inside.load(Ordering::Relaxed);
        (inside, inside.saturating_sub(self.workers))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_answered_in_time_is_told_so_at_the_door() {
        let door = Door::new(100, 2);
        door.took(Duration::from_millis(100));
        let second = Deadline::after(Duration::from_secs(1));
        let inside: Vec<_> = (0..20).map_while(|_| door.enter(&second).ok()).collect();
        // two at a time, a tenth of a second each, one second: behind eighteen others there is no time left
        assert!((16..=18).contains(&inside.len()), "{}", inside.len());
        let wait = door.enter(&second).unwrap_err();
        assert!(wait >= Duration::from_millis(900), "{wait:?}");
        drop(inside);
        assert!(door.enter(&second).is_ok());
    }

    #[test]
    fn no_more_than_so_many_come_in_however_fast_it_goes() {
        let door = Door::new(3, 2);
        let long = Deadline::after(Duration::from_secs(30));
        let inside: Vec<_> = (0..10).filter_map(|_| door.enter(&long).ok()).collect();
        assert_eq!(inside.len(), 3);
        assert_eq!(door.crowd(), (3, 1));
    }

    #[test]
    fn one_slow_answer_does_not_close_the_door_for_good() {
        let door = Door::new(8, 2);
        door.took(Duration::from_secs(3600));
        let short = Deadline::after(Duration::from_millis(10));
        let inside = door.enter(&short).unwrap();
        for _ in 0..200 {
            door.took(Duration::from_micros(100));
        }
        assert!(door.estimate(4) < Duration::from_millis(10), "{:?}", door.estimate(4));
        drop(inside);
    }
}
