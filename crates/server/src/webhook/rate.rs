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
        let now = now.as_second();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // names in tokens are many
        all.retain(|_, times| times.back().is_some_and(|at| *at > now - HOUR));
        let times = all.entry(key.to_owned()).or_default();
        // a clock that went back forgets nothing
        while times.front().is_some_and(|at| *at <= now - HOUR) {
            times.pop_front();
        }
        let may = times.len() < rate;
        if may {
            times.push_back(now);
        }
        may
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
    fn so_often_in_an_hour_and_each_key_for_itself() {
        let rates = Rates::default();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        assert!(rates.takes("a", 2, at(0)) && rates.takes("a", 2, at(10)));
        assert!(!rates.takes("a", 2, at(3599)) && rates.takes("b", 2, at(3599)));
        assert!(rates.takes("a", 2, at(3600)) && !rates.takes("a", 2, at(3601)));
        assert!(!rates.takes("a", 2, at(0)), "a clock that went back");
    }
}
