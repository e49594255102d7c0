//! Something of which there is so much, and of which each requester may have so much: one who takes all that one can get
//! leaves room for another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// How much is taken, in all and by whom.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    taken: AtomicU64,
    requesters: Mutex<BTreeMap<Option<String>, Weak<AtomicU64>>>,
}

/// How much may be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) all: u64,
    /// By one requester.
    pub(crate) one: u64,
}

/// What one has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    own: Arc<AtomicU64>,
    count: u64,
}

/// Why there is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All of it is taken; the field says how much that is.
    All(u64),
    /// This requester has as much as one may; the field says how much that is.
    One(u64),
}

impl Shares {
    /// Nothing yet of a requester's share.
    pub(crate) fn of(self: &Arc<Self>, requester: Option<&str>) -> Share {
        let mut requesters = self.requesters.lock().unwrap_or_else(PoisonError::into_inner);
        requesters.retain(|_, own| own.strong_count() > 0);
        let key = requester.map(str::to_owned);
        let own = requesters.get(&key).and_then(Weak::upgrade).unwrap_or_default();
        requesters.insert(key, Arc::downgrade(&own));
        Share { shares: Arc::clone(self), own, count: 0 }
    }

    /// One of it.
    pub(crate) fn one(self: &Arc<Self>, requester: Option<&str>, bounds: Bounds) -> Result<Share, Full> {
        let mut share = self.of(requester);
        share.more(1, bounds)?;
        Ok(share)
    }

    /// What is taken in all.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }
}

/// Adds, where the sum is not too much; the number as it was otherwise.
fn add(to: &AtomicU64, count: u64, most: u64) -> Result<u64, u64> {
    let sum = |taken: u64| taken.checked_add(count).filter(|sum| *sum <= most);
    to.fetch_update(Ordering::AcqRel, Ordering::Acquire, sum)
}

impl Bounds {
    /// Whether there may be one more, where there are so many in all and of one.
    pub(crate) fn check(self, in_all: usize, of_one: usize) -> Result<(), Full> {
        let is_less = |found: usize, most: u64| u64::try_from(found).is_ok_and(|found| found < most);
        if !is_less(of_one, self.one) {
            return Err(self.full_for_one());
        }
        if is_less(in_all, self.all) { Ok(()) } else { Err(Full::All(self.all)) }
    }

    fn full_for_one(self) -> Full {
        if self.one < self.all { Full::One(self.one) } else { Full::All(self.all) }
    }
}

impl Full {
    /// What is full, in words: so many of what.
    pub(crate) fn text(self, what: &str) -> String {
        match self {
            Self::All(most) => format!("all {most} {what} are taken; come again later"),
            Self::One(most) => format!(
                "one requester may have {most} of the {what} (`limits: share`), and this one would have more; come again later"
            ),
        }
    }
}

impl Share {
    /// How much it is.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Counts it as another requester's from now on, where that one may have so much more.
    pub(crate) fn give(&mut self, requester: Option<&str>, bounds: Bounds) -> Result<(), Full> {
        let other = self.shares.of(requester);
        add(&other.own, self.count, bounds.one).or(Err(bounds.full_for_one()))?;
        self.own.fetch_sub(self.count, Ordering::AcqRel);
        self.own = Arc::clone(&other.own);
        Ok(())
    }

    /// Takes more; nothing of it where there is not all of it.
    pub(crate) fn more(&mut self, count: u64, bounds: Bounds) -> Result<(), Full> {
        add(&self.own, count, bounds.one).or(Err(bounds.full_for_one()))?;
        if add(&self.shares.taken, count, bounds.all).is_err() {
            self.own.fetch_sub(count, Ordering::AcqRel);
            return Err(Full::All(bounds.all));
        }
        self.count = self.count.saturating_add(count);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.own.fetch_sub(self.count, Ordering::AcqRel);
        self.shares.taken.fetch_sub(self.count, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_takes_all_that_one_can_get_leaves_room_for_another() {
        let (shares, bounds) = (Arc::new(Shares::default()), Bounds { all: 10, one: 5 });
        let take = |who: &str, count: u64| {
            let mut share = shares.of(Some(who));
            share.more(count, bounds).map(|()| share)
        };
        let first = take("greedy", 3).unwrap();
        let second = take("greedy", 2).unwrap();
        assert_eq!(take("greedy", 1).unwrap_err(), Full::One(5));
        let mut other = take("other", 4).unwrap();
        assert_eq!(take("third", 2).unwrap_err(), Full::All(10));
        assert_eq!(shares.taken(), 9, "what was not given does not count");
        other.more(1, bounds).unwrap();
        assert_eq!(take("third", 1).unwrap_err(), Full::All(10));
        drop(first);
        assert_eq!(take("greedy", 4).unwrap_err(), Full::One(5));
        drop((second, other));
        assert_eq!((shares.taken(), take("greedy", 5).unwrap().count()), (0, 5));
        drop(shares.of(None));
        assert_eq!(shares.requesters.lock().unwrap().len(), 1, "who has nothing is not remembered for long");
    }

    #[test]
    fn who_may_have_all_of_it_hears_that_all_is_taken() {
        let (shares, bounds) = (Arc::new(Shares::default()), Bounds { all: 2, one: 2 });
        let mut share = shares.of(None);
        share.more(2, bounds).unwrap();
        assert_eq!(shares.one(None, bounds).unwrap_err(), Full::All(2));
    }
}
