//! Keeps what was verified of an envelope, so that the same evidence costs its signatures once.
//!
//! Never a verdict: rules, key windows and revocations are asked anew for every case. Never a failure. Kept under the
//! digest of the very bytes and the trust root's: other bytes, or another trust root, are something else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use attest::{Digest, Directly, Opener, TrustRoot, Unopened, Verified};

/// The envelope's digest and the trust root's.
type Key = (Digest, Digest);
type Outcome = Result<Arc<Verified>, Unopened>;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// The most envelopes.
    pub count: usize,
    /// The most memory that they may take, estimated.
    pub bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { count: 10_000, bytes: 64 << 20 }
    }
}

/// What the cache did since it was made, and how full it is: for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Asked for and there.
    pub hits: u64,
    /// Asked for and verified.
    pub misses: u64,
    /// Asked for while somebody else verified the same, and taken from them.
    pub shared: u64,
    /// Put out to make room.
    pub evicted: u64,
    /// Envelopes kept now.
    pub entries: u64,
    /// Memory that they take now, estimated.
    pub bytes: u64,
}

/// A bounded cache in front of [`Directly`]. Many threads may ask at once; the same envelope is then verified once.
#[derive(Debug)]
pub struct EvidenceCache {
    limits: CacheLimits,
    state: Mutex<State>,
    hits: AtomicU64,
    misses: AtomicU64,
    shared: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    kept: BTreeMap<Key, Kept>,
    /// The keys by when they were last asked for, oldest first.
    order: BTreeMap<u64, Key>,
    flights: BTreeMap<Key, Arc<Flight>>,
    /// Grows with every question.
    now: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    verified: Arc<Verified>,
    cost: usize,
    used: u64,
}

/// A verification on its way.
#[derive(Debug, Default)]
struct Flight {
    end: Mutex<Option<End>>,
    ended: Condvar,
}

#[derive(Clone, Debug)]
enum End {
    /// What came of it. A failure is as true for everybody who waits as for whoever verified.
    Landed(Outcome),
    /// Whoever verified did not come to an end. That says nothing of the envelope.
    Abandoned,
}

/// What to do about a question.
enum Turn {
    Have(Arc<Verified>),
    Wait(Arc<Flight>),
    Lead(Arc<Flight>),
}

impl Default for EvidenceCache {
    fn default() -> Self {
        Self::new(CacheLimits::default())
    }
}

impl Opener for EvidenceCache {
    fn verify(&self, root: &TrustRoot, bytes: &[u8], digest: &Digest) -> Outcome {
        let key = (digest.clone(), root.digest().clone());
        self.get_or(&key, cost_of(bytes), || Directly.verify(root, bytes, digest))
    }
}

/// The statement in memory, from the envelope's length: base64 and JSON shrink, and small strings grow.
fn cost_of(bytes: &[u8]) -> usize {
    bytes.len().saturating_mul(4).saturating_add(1024)
}

impl EvidenceCache {
    /// An empty cache.
    #[must_use]
    pub fn new(limits: CacheLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// What it did, and how full it is.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        let (entries, bytes) = {
            let state = self.state();
            (state.kept.len(), state.bytes)
        };
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        CacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            shared: self.shared.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            entries: number(entries),
            bytes: number(bytes),
        }
    }

    /// A thread that panicked held the lock between whole steps only: the state is good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get_or(&self, key: &Key, cost: usize, verify: impl Fn() -> Outcome) -> Outcome {
        loop {
            match self.turn(key) {
                Turn::Have(verified) => {
                    self.hits.fetch_add(1, Ordering::Relaxed);
                    return Ok(verified);
                }
                Turn::Wait(flight) => {
                    if let End::Landed(outcome) = flight.wait() {
                        self.shared.fetch_add(1, Ordering::Relaxed);
                        return outcome;
                    }
                }
                Turn::Lead(flight) => {
                    self.misses.fetch_add(1, Ordering::Relaxed);
                    let leader = Leader { cache: self, key, flight: &flight };
                    let outcome = verify();
                    leader.land(outcome.clone(), cost);
                    return outcome;
                }
            }
        }
    }

    fn turn(&self, key: &Key) -> Turn {
        let mut state = self.state();
        if let Some(verified) = state.touch(key) {
            return Turn::Have(verified);
        }
        if let Some(flight) = state.flights.get(key) {
            return Turn::Wait(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::default());
        state.flights.insert(key.clone(), Arc::clone(&flight));
        Turn::Lead(flight)
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.now = self.now.saturating_add(1);
        self.now
    }

    /// What is kept under a key, which is now the newest.
    fn touch(&mut self, key: &Key) -> Option<Arc<Verified>> {
        let now = self.tick();
        let kept = self.kept.get_mut(key)?;
        let verified = Arc::clone(&kept.verified);
        if let Some(key) = self.order.remove(&kept.used) {
            self.order.insert(now, key);
        }
        kept.used = now;
        Some(verified)
    }

    /// Keeps something, and puts out the oldest until it fits. How many went.
    fn keep(&mut self, key: &Key, verified: Arc<Verified>, cost: usize, limits: CacheLimits) -> u64 {
        if cost > limits.bytes || limits.count == 0 || self.kept.contains_key(key) {
            return 0;
        }
        let used = self.tick();
        self.bytes = self.bytes.saturating_add(cost);
        self.kept.insert(key.clone(), Kept { verified, cost, used });
        self.order.insert(used, key.clone());
        let mut gone = 0;
        while self.kept.len() > limits.count || self.bytes > limits.bytes {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            let cost = self.kept.remove(&oldest).map_or(0, |kept| kept.cost);
            self.bytes = self.bytes.saturating_sub(cost);
            gone += 1;
        }
        gone
    }
}

impl Flight {
    fn wait(&self) -> End {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*end {
                Some(end) => return end.clone(),
                None => end = self.ended.wait(end).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The first end counts.
    fn end(&self, how: End) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(how);
        self.ended.notify_all();
    }
}

/// Whoever verifies. Dropped without landing (a panic), it lets the others go on, and one of them leads then.
struct Leader<'c> {
    cache: &'c EvidenceCache,
    key: &'c Key,
    flight: &'c Flight,
}

impl Leader<'_> {
    fn land(self, outcome: Outcome, cost: usize) {
        if let Ok(verified) = &outcome
            && verified.is_readable()
            // whoever asked under the digest of other bytes must not be believed
            && *verified.envelope() == self.key.0
            && *verified.root() == self.key.1
        {
            let verified = Arc::clone(verified);
            let gone = self.cache.state().keep(self.key, verified, cost, self.cache.limits);
            self.cache.evicted.fetch_add(gone, Ordering::Relaxed);
        }
        self.flight.end(End::Landed(outcome));
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.cache.state().flights.remove(self.key);
        self.flight.end(End::Abandoned);
    }
}

#[cfg(test)]
mod tests;
