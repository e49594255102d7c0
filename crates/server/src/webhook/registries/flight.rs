//! One question, and many who wait for its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Questions on their way, by what is asked. An answer is for those who waited, and is not kept.
#[derive(Debug)]
pub(crate) struct Flights<T>(Mutex<BTreeMap<String, Arc<Flight<T>>>>);

#[derive(Debug)]
struct Flight<T> {
    end: Mutex<End<T>>,
    ended: Condvar,
}

#[derive(Debug)]
enum End<T> {
    Flying,
    Landed(Arc<T>),
    /// Whoever asked did not come to an end.
    Abandoned,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Flights<T> {
    /// Asks, or waits for so long for whoever asks already; `late` is for who has waited in vain.
    pub(crate) fn fly(
        &self,
        key: &str,
        patience: Duration,
        ask: impl FnOnce() -> T,
        late: impl FnOnce() -> T,
    ) -> Arc<T> {
        let (flight, leads) = self.board(key);
        if !leads {
            return flight.wait(patience).unwrap_or_else(|| Arc::new(late()));
        }
        let leader = Leader { flights: self, key, flight: &flight };
        let answer = Arc::new(ask());
        leader.land(&answer);
        answer
    }

    fn board(&self, key: &str) -> (Arc<Flight<T>>, bool) {
        let mut all = locked(&self.0);
        if let Some(flight) = all.get(key) {
            return (Arc::clone(flight), false);
        }
        let flight = Arc::new(Flight { end: Mutex::new(End::Flying), ended: Condvar::new() });
        all.insert(key.to_owned(), Arc::clone(&flight));
        (flight, true)
    }
}

impl<T> Flight<T> {
    fn wait(&self, patience: Duration) -> Option<Arc<T>> {
        let is_flying = |end: &mut End<T>| matches!(end, End::Flying);
        let waited = self.ended.wait_timeout_while(locked(&self.end), patience, is_flying);
        let (end, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &*end {
            End::Landed(answer) => Some(Arc::clone(answer)),
            End::Flying | End::Abandoned => None,
        }
    }

    fn end(&self, how: End<T>) {
        *locked(&self.end) = how;
        self.ended.notify_all();
    }
}

/// Whoever asks. Dropped without landing (a panic), it lets the others go on.
struct Leader<'a, T> {
    flights: &'a Flights<T>,
    key: &'a str,
    flight: &'a Flight<T>,
}

impl<T> Leader<'_, T> {
    fn land(self, answer: &Arc<T>) {
        self.flight.end(End::Landed(Arc::clone(answer)));
    }
}

impl<T> Drop for Leader<'_, T> {
    fn drop(&mut self) {
        locked(&self.flights.0).remove(self.key);
        if matches!(*locked(&self.flight.end), End::Flying) {
            self.flight.end(End::Abandoned);
        }
    }
}

/// Whoever panicked held a lock between whole steps only.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn many_at_once_are_one_question_and_the_next_is_another() {
        let (flights, asked, begun) = (Flights::default(), AtomicUsize::new(0), Barrier::new(2));
        let ask = || asked.fetch_add(1, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let lead = scope.spawn(|| {
                flights.fly(
                    "a",
                    LONG,
                    || {
                        begun.wait();
                        while Arc::strong_count(locked(&flights.0).get("a").unwrap()) < 6 {
                            std::thread::yield_now();
                        }
                        ask()
                    },
                    || 99,
                )
            });
            begun.wait();
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| *flights.fly("a", LONG, || 98, || 99))).collect();
            assert_eq!(*flights.fly("a", Duration::ZERO, || 98, || 97), 97, "who has no time does not wait");
            assert_eq!(all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>(), [0; 4]);
            assert_eq!(*lead.join().unwrap(), 0);
        });
        assert_eq!(*flights.fly("a", LONG, ask, || 99), 1, "nothing is remembered");
    }

    #[test]
    fn a_question_that_broke_is_no_answer() {
        let flights: Flights<u8> = Flights::default();
        let broke = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            flights.fly("a", LONG, || panic!("broke"), || 1)
        }));
        assert!(broke.is_err());
        assert_eq!(*flights.fly("a", LONG, || 2, || 3), 2);
    }
}
