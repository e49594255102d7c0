//! How often each key is asked for, and each client brings something: whoever may is a machine, and may be somebody
//! else's by now.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

const HOUR: i64 = 3600;

/// When each was asked for in the last hour.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<BTreeMap<String, VecDeque<i64>>>);

impl Rates {
    /// Whether it may be asked for once more; then it was.
    pub(crate) fn takes(&self, key: &str, rate: usize, now: Timestamp) -> bool {
        self.of_this_hour(key, now, |times| {
            let may = times.len() < rate;
            if may {
                times.push_back(now.as_second());
            }
            may
        })
    }

    fn of_this_hour<T>(&self, key: &str, now: Timestamp, look: impl FnOnce(&mut VecDeque<i64>) -> T) -> T {
        let now = now.as_second();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // names in tokens are many
        all.retain(|_, times| times.back().is_some_and(|at| *at > now - HOUR));
        let times = all.entry(key.to_owned()).or_default();
        // a clock that went back forgets nothing
        while times.front().is_some_and(|at| *at <= now - HOUR) {
            times.pop_front();
        }
        look(times)
    }

    /// What one may still bring in this hour.
    pub(crate) fn allowance(&self, key: &str, rate: usize, now: Timestamp) -> Allowance<'_> {
        Allowance { rates: self, key: key.to_owned(), rate, now }
    }
}

/// What one may still bring in this hour. It is asked for all at once, and charged for what was taken.
#[derive(Debug)]
pub struct Allowance<'r> {
    rates: &'r Rates,
    key: String,
    rate: usize,
    now: Timestamp,
}

impl Allowance<'_> {
    /// One beside it, for one thing alone.
    #[must_use]
    pub fn beside(&self, what: &str, rate: usize) -> Self {
        self.rates.allowance(&format!("{} {what}", self.key), rate, self.now)
    }

    /// Whether there is room for so many more.
    #[must_use]
    pub fn has_room(&self, count: usize) -> bool {
        count == 0
            || self
                .rates
                .of_this_hour(&self.key, self.now, |times| times.len().saturating_add(count) <= self.rate)
    }

    /// One was taken.
    pub fn charge(&self) {
        self.rates.of_this_hour(&self.key, self.now, |times| times.push_back(self.now.as_second()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_come_for_an_hour_is_forgotten() {
        let rates = Rates::default();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        assert!(rates.takes("a", 1, at(0)) && rates.takes("b", 1, at(10)) && !rates.takes("b", 1, at(3605)));
        assert_eq!(rates.0.lock().unwrap().keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn there_is_room_for_all_or_for_none_and_only_what_was_taken_is_charged() {
        let (rates, now) = (Rates::default(), Timestamp::from_second(0).unwrap());
        let allowance = rates.allowance("a", 3, now);
        allowance.charge();
        assert!(allowance.has_room(2) && !allowance.has_room(3) && allowance.has_room(2));
        allowance.charge();
        allowance.charge();
        assert!(allowance.has_room(0) && !allowance.has_room(1));
        assert!(rates.allowance("b", 3, now).has_room(3));
        assert!(rates.allowance("a", 3, Timestamp::from_second(HOUR).unwrap()).has_room(3));
    }

    #[test]
    fn so_often_in_an_hour_and_each_key_for_itself() {
        let rates = Rates::default();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        assert!(rates.takes("a", 2, at(0)) && rates.takes("a", 2, at(10)));
        assert!(!rates.takes("a", 2, at(3599)) && rates.takes("b", 2, at(3599)));
        assert!(rates.takes("a", 2, at(3600)) && !rates.takes("a", 2, at(3601)));
        assert!(!rates.takes("a", 2, at(0)), "a clock that went back");
    }
}
